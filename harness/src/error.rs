use std::fmt::{self, Debug, Display, Formatter};

/// What the harness returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a server could not be started or controlled.
///
/// It is text for the person who reads a failed test, so `Debug` prints it as it is: `unwrap` in a
/// test then shows the log tail on lines of its own.
#[derive(Clone)]
pub struct Error(String);

impl Error {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// An error of the operating system, with what was being done.
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
