//! The derive macros of `shizuku-kv`, which re-exports them.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use shizuku::{ByteDeserialize, ByteSerialize, JsonByteDes, JsonByteSer};
//!
//! // For any type that serde supports, generic ones too.
//! #[derive(Serialize, Deserialize, JsonByteSer, JsonByteDes)]
//! struct Dated<T> {
//!     since: u32,
//!     value: T,
//! }
//!
//! let bytes = Dated { since: 2026, value: "blue" }.to_bytes()?;
//! let read = Dated::<String>::parse_from_bytes(&bytes)?;
//! assert_eq!((read.since, &*read.value), (2026, "blue"));
//! # Ok::<(), shizuku::kv::BoxError>(())
//! ```

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, Generics, parse_macro_input, parse_quote};

/// Implements `shizuku::ByteSerialize` as JSON, for a type that implements `serde::Serialize`.
///
/// Serde's attributes on the type apply: names, defaults, skipped fields.
///
/// ```
/// use serde::Serialize;
/// use shizuku::{ByteSerialize, JsonByteSer};
///
/// #[derive(Serialize, JsonByteSer)]
/// #[serde(rename_all = "camelCase")]
/// struct Database {
///     max_connections: u32,
///     #[serde(skip_serializing_if = "Option::is_none")]
///     replica: Option<String>,
/// }
///
/// let bytes = Database { max_connections: 10, replica: None }.to_bytes()?;
/// assert_eq!(bytes, r#"{"maxConnections":10}"#);
/// # Ok::<(), shizuku::kv::BoxError>(())
/// ```
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
///
/// A bucket may hold values older than the code that reads them, so a field added later needs a default:
///
/// ```
/// use serde::Deserialize;
/// use shizuku::{ByteDeserialize, JsonByteDes};
///
/// #[derive(Debug, Deserialize, JsonByteDes)]
/// struct Database {
///     url: String,
///     #[serde(default = "ten")]
///     max_connections: u32,
/// }
///
/// fn ten() -> u32 {
///     10
/// }
///
/// let old = Database::parse_from_bytes(br#"{"url": "db:5432"}"#)?;
/// assert_eq!(old.max_connections, 10);
/// let error = Database::parse_from_bytes(br#"{"max_connections": 20}"#).unwrap_err();
/// assert!(error.to_string().starts_with("missing field `url`"));
/// # Ok::<(), shizuku::kv::BoxError>(())
/// ```
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

/// Adds the bound to every type parameter, so that generic types work too.
fn require(generics: &mut Generics, bound: &syn::TypeParamBound) {
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(bound.clone());
    }
}
