//! One error for the crate: a kind that tells the caller what to do, and a chain of what was being done.

use std::fmt;
use std::path::Path;

/// Result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum ErrorKind {
    /// The request is wrong; mend it.
    InvalidInput,
    /// The named collection or point does not exist.
    NotFound,
    /// The thing to create exists already, or a condition did not hold.
    Conflict,
    /// Not now: starting, shutting down or overloaded; try again.
    Unavailable,
    /// No space left for writes; reads go on.
    StorageFull,
    /// Bytes on disk are not what was written there.
    Corrupted,
    /// The operating system or RocksDB refused.
    Io,
}

/// An error with its [`ErrorKind`] and, outermost first, what was being done.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    context: Vec<String>,
}

impl Error {
    /// An error of `kind`; `message` says what, where and how to mend.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            context: Vec::new(),
        }
    }

    /// Shorthand for [`ErrorKind::InvalidInput`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Shorthand for [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Shorthand for [`ErrorKind::Corrupted`].
    pub fn corrupted(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupted, message)
    }

    /// An I/O error with the path it concerns.
    pub fn io(error: &std::io::Error, path: &Path) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::StorageFull {
            ErrorKind::StorageFull
        } else {
            ErrorKind::Io
        };
        Self::new(kind, format!("{}: {error}", path.display()))
    }

    /// The same error; one about damaged bytes also says how to mend the data folder.
    #[must_use]
    pub(crate) fn or_repair(self, dir: &Path) -> Self {
        if self.kind == ErrorKind::Corrupted && !self.message.contains(REPAIR) {
            return self.noted(&how_to_repair(dir));
        }
        self
    }

    /// The same error with a further fact at the end.
    #[must_use]
    pub(crate) fn noted(mut self, fact: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(fact);
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The innermost message, without context.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Adds what was being done: verb and object, as in `"read manifest"`.
    #[must_use]
    pub fn context(mut self, action: impl Into<String>) -> Self {
        self.context.push(action.into());
        self
    }
}

/// The command that mends a data folder.
const REPAIR: &str = "vecino doctor --repair";

/// How to mend the data in `dir`.
pub(crate) fn how_to_repair(dir: &Path) -> String {
    format!("stop the server and run `{REPAIR} {}`", dir.display())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for action in self.context.iter().rev() {
            write!(f, "{action}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<rocksdb::Error> for Error {
    fn from(error: rocksdb::Error) -> Self {
        let text = error.to_string();
        let kind = match error.kind() {
            rocksdb::ErrorKind::Corruption => ErrorKind::Corrupted,
            // RocksDB reads no file that it did not write.
            _ if text.contains("No such file or directory") => ErrorKind::Corrupted,
            _ if text.contains("No space left") || text.contains("NoSpace") => {
                ErrorKind::StorageFull
            }
            _ => ErrorKind::Io,
        };
        Self::new(kind, text)
    }
}

/// Adds context to a result's error.
pub trait ResultExt<T> {
    /// Adds what was being done: verb and object, as in `"read manifest"`.
    ///
    /// # Errors
    ///
    /// The same error, with the action in front.
    fn context(self, action: &str) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for std::result::Result<T, E> {
    fn context(self, action: &str) -> Result<T> {
        self.map_err(|error| error.into().context(action))
    }
}
