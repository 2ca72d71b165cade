//! How something fails.

/// Asserts that something was refused in a certain way.
#[macro_export]
macro_rules! assert_refused {
    ($result:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!("not refused as {}: {other:?}", stringify!($pattern)),
        }
    };
}
