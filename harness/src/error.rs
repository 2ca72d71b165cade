use std::fmt::{self, Debug, Display, Formatter};

/// The result type of the harness.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a server could not be started or controlled.
///
/// It is text for a person reading a failed test, so `Debug` prints it verbatim: `unwrap` in a test
/// then shows the end of the log on separate lines.
#[derive(Clone)]
pub struct Error(String);

impl Error {
    /// Creates an error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Creates an error of the operating system; `doing` says what failed.
    pub(crate) fn io(doing: impl Display, source: impl Display) -> Self {
        Self(format!("{doing}: {source}"))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Debug for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
