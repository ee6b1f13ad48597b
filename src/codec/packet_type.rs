//! The types of control packets.

use std::fmt;

/// What a packet is: the upper four bits of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// A client asks to be connected.
    Connect = 1,
    /// The answer to CONNECT. Sent by servers only.
    ConnAck = 2,
    /// A message.
    Publish = 3,
    /// The answer to a PUBLISH of QoS 1.
    PubAck = 4,
    /// The answer to a PUBLISH of QoS 2.
    PubRec = 5,
    /// The answer to PUBREC.
    PubRel = 6,
    /// The answer to PUBREL.
    PubComp = 7,
    /// A client asks for messages.
    Subscribe = 8,
    /// The answer to SUBSCRIBE. Sent by servers only.
    SubAck = 9,
    /// A client asks for messages no more.
    Unsubscribe = 10,
    /// The answer to UNSUBSCRIBE. Sent by servers only.
    UnsubAck = 11,
    /// A client shows that it is there.
    PingReq = 12,
    /// The answer to PINGREQ. Sent by servers only.
    PingResp = 13,
    /// The connection ends on purpose.
    Disconnect = 14,
    /// A step of an extended authentication. MQTT 5.0 only.
    Auth = 15,
}

impl PacketType {
    /// The type whose number is `value`; `None` for 0 and for what does not fit in four bits.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The first byte of such a packet with `flags` (0 to 15) in its lower half.
    pub(super) fn first_byte(self, flags: u8) -> u8 {
        (self as u8) << 4 | flags
    }
}

/// As the specification writes it: `PUBLISH`.
impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        })
    }
}
