//! Why points could not be stored.

use std::fmt;

use super::NOT_SENT;

/// Why a write failed. Whose fault it is decides what may be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// InfluxDB did not answer: no connection, a broken one, or a timeout. The points may have been
    /// stored all the same.
    Unavailable {
        /// What happened, for the log.
        reason: String,
    },
    /// InfluxDB answered, and refused for a reason that is not the points' fault: a password, a
    /// missing database, a full disk. Somebody can mend it, and then the same points are welcome.
    Refused {
        /// The HTTP status.
        status: u16,
        /// InfluxDB's own words.
        answer: String,
    },
    /// InfluxDB does not want at least one of these points and never will, for example because a
    /// field has another type already. Such points are kept aside, so that this is the end of a
    /// write only where there is no room for them.
    Rejected {
        /// The HTTP status.
        status: u16,
        /// InfluxDB's own words.
        answer: String,
    },
    /// InfluxDB is away, and the journal cannot take the points either: it is full, or the disk.
    NoRoom {
        /// What is missing.
        reason: String,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { reason } => write!(f, "InfluxDB does not answer: {reason}"),
            Self::Refused { status, answer } => {
                write!(f, "InfluxDB refuses to write ({status}): {answer}")
            }
            Self::Rejected {
                status: NOT_SENT,
                answer,
            } => write!(f, "a rule rejects a point, whose message {answer}"),
            Self::Rejected { status, answer } => {
                write!(f, "InfluxDB rejects a point ({status}): {answer}")
            }
            Self::NoRoom { reason } => {
                write!(f, "InfluxDB is away, and the journal is full: {reason}")
            }
        }
    }
}

impl std::error::Error for StoreError {}
