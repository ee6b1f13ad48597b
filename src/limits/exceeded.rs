//! Why a client is turned away.

use std::fmt;

use super::{Host, Limit};
use crate::codec::ReasonCode;

/// The limit that a client would be beyond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// There are as many connections as there may be.
    Connections,
    /// This address has as many as one may have.
    ConnectionsPerAddress(Host),
    /// This user has as many as one may have.
    ConnectionsPerUser(Box<str>),
    /// CONNECTs come from this address faster than they may.
    ConnectRate(Host),
}

impl Exceeded {
    /// Which limit it is.
    #[must_use]
    pub fn limit(&self) -> Limit {
        match self {
            Self::Connections => Limit::Connections,
            Self::ConnectionsPerAddress(_) => Limit::ConnectionsPerAddress,
            Self::ConnectionsPerUser(_) => Limit::ConnectionsPerUser,
            Self::ConnectRate(_) => Limit::ConnectRate,
        }
    }

    /// What a client of MQTT 5.0 is told, if it has come far enough to be told anything.
    #[must_use]
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Self::ConnectRate(_) => ReasonCode::ConnectionRateExceeded,
            Self::Connections | Self::ConnectionsPerAddress(_) | Self::ConnectionsPerUser(_) => {
                ReasonCode::QuotaExceeded
            }
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections => f.write_str("there are too many connections"),
            Self::ConnectionsPerAddress(host) => write!(f, "too many connections from {host}"),
            Self::ConnectionsPerUser(user) => write!(f, "too many connections of user {user:?}"),
            Self::ConnectRate(host) => write!(f, "too many CONNECTs per second from {host}"),
        }
    }
}
