//! What is wrong with a password file or an access-control file.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a file cannot be used, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    path: PathBuf,
    line: Option<usize>,
    what: String,
}

impl FileError {
    /// Something is wrong with the file as a whole.
    pub(super) fn whole(path: &Path, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            what: what.into(),
        }
    }

    /// Something is wrong in this line, counted from 1. `what` must not hold a password or a hash.
    pub(super) fn at(path: &Path, line: usize, what: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::whole(path, what)
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for FileError {}
