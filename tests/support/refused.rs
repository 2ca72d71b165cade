//! Assertions about errors.

/// Asserts that a result is an error of this form.
#[macro_export]
macro_rules! assert_refused {
    ($result:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!("not refused as {}: {other:?}", stringify!($pattern)),
        }
    };
}
