//! The versions of the protocol.

use std::fmt;

/// A version of MQTT, as CONNECT names it by protocol name and level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolVersion {
    /// MQTT 3.1: `MQIsdp`, level 3.
    V3_1,
    /// MQTT 3.1.1: `MQTT`, level 4.
    V3_1_1,
    /// MQTT 5.0: `MQTT`, level 5.
    V5,
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3_1 => "3.1",
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}
