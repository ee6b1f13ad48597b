//! Quality of service.

use std::error::Error;
use std::fmt;

/// How surely a message is delivered. Ordered: the lower of two is `min`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// QoS 0: sent and forgotten.
    #[default]
    AtMostOnce = 0,
    /// QoS 1: acknowledged, may come twice.
    AtLeastOnce = 1,
    /// QoS 2: acknowledged in two steps, comes once.
    ExactlyOnce = 2,
}

impl TryFrom<u8> for QoS {
    type Error = InvalidQoS;

    fn try_from(value: u8) -> Result<Self, InvalidQoS> {
        match value {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            _ => Err(InvalidQoS(value)),
        }
    }
}

impl fmt::Display for QoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", *self as u8)
    }
}

/// A number (given) that is no quality of service: neither 0, 1 nor 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidQoS(pub u8);

impl fmt::Display for InvalidQoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no QoS {}", self.0)
    }
}

impl Error for InvalidQoS {}
