//! Why a write failed, with what more InfluxDB said of it.

use std::time::Duration;

use crate::store::StoreError;

/// A write that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Failure {
    /// Whose fault it is, and InfluxDB's words.
    pub(in crate::store) error: StoreError,
    /// The lines that InfluxDB does not want, where it names lines; it says that it has the others.
    pub(in crate::store) named: Vec<NamedLine>,
    /// How long InfluxDB asks to be left alone.
    pub(in crate::store) retry_after: Option<Duration>,
}

/// A line that InfluxDB names as one that it does not want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct NamedLine {
    /// Which of the lines of the write, from 0.
    pub(in crate::store) index: usize,
    /// The line, or its beginning, as InfluxDB repeats it.
    pub(in crate::store) original: String,
    /// What is wrong with it.
    pub(in crate::store) answer: String,
}

impl Failure {
    /// No answer, for this reason.
    pub(super) fn unavailable(reason: String) -> Self {
        StoreError::Unavailable { reason }.into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            named: Vec::new(),
            retry_after: None,
        }
    }
}
