//! The derive macros of `shizuku-kv`, which re-exports them.

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, Generics, parse_macro_input, parse_quote};

/// Implements `shizuku::ByteSerialize` as JSON, for a type that implements `serde::Serialize`.
#[proc_macro_derive(JsonByteSer)]
pub fn json_byte_ser(input: TokenStream) -> TokenStream {
    let mut input = parse_macro_input!(input as DeriveInput);
    require(
        &mut input.generics,
        &parse_quote!(::shizuku::__private::serde::Serialize),
    );
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics ::shizuku::ByteSerialize for #name #type_generics #where_clause {
            fn to_bytes(
                &self,
            ) -> ::core::result::Result<::shizuku::Bytes, ::shizuku::kv::BoxError> {
                ::shizuku::__private::json_to_bytes(self)
            }
        }
    }
    .into()
}

/// Implements `shizuku::ByteDeserialize` as JSON, for a type that implements
/// `serde::Deserialize` without borrowing.
#[proc_macro_derive(JsonByteDes)]
pub fn json_byte_des(input: TokenStream) -> TokenStream {
    let mut input = parse_macro_input!(input as DeriveInput);
    require(
        &mut input.generics,
        &parse_quote!(::shizuku::__private::serde::de::DeserializeOwned),
    );
    let name = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics ::shizuku::ByteDeserialize for #name #type_generics #where_clause {
            fn parse_from_bytes(
                bytes: &[u8],
            ) -> ::core::result::Result<Self, ::shizuku::kv::BoxError> {
                ::shizuku::__private::json_from_bytes(bytes)
            }
        }
    }
    .into()
}

/// Asks the bound of every type parameter, so that generic types work too.
fn require(generics: &mut Generics, bound: &syn::TypeParamBound) {
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(bound.clone());
    }
}
