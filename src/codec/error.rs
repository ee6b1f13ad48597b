//! What can be wrong with a packet. Always the peer's fault: these are its bytes.

use std::error::Error;
use std::fmt;

use super::{PacketType, PropertyId, ReasonCode};
use crate::topic::TopicError;

/// Why bytes from a client are no packet a client may send. The connection is to be closed
/// [MQTT-4.13.1-1]; [`DecodeError::reason_code`] is what MQTT 5.0 tells the client before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Packet type 0, or 15 (AUTH) where the version is not 5.0.
    UnknownPacketType(u8),
    /// The first packet is not CONNECT [MQTT-3.1.0-1].
    ConnectExpected(PacketType),
    /// CONNACK, SUBACK, UNSUBACK or PINGRESP from a client.
    SentByServersOnly(PacketType),
    /// The packet is longer than the server takes; both lengths in bytes, fixed header included.
    TooLarge {
        /// Which packet.
        packet: PacketType,
        /// As its fixed header says.
        len: usize,
        /// As the server says.
        len_max: usize,
    },
    /// The protocol name in CONNECT (its beginning is given) is not MQTT's [MQTT-3.1.2-1].
    UnknownProtocolName(Box<str>),
    /// The protocol level (given) is none of ours [MQTT-3.1.2-2].
    UnsupportedProtocolLevel(u8),
    /// The bytes do not have the form they must have.
    Malformed {
        /// Which packet.
        packet: PacketType,
        /// What is wrong with its form.
        problem: MalformedPacket,
    },
    /// The form is right, but the packet says what it may not say.
    Protocol {
        /// Which packet.
        packet: PacketType,
        /// What it may not say.
        problem: ProtocolError,
    },
    /// A topic name that is none.
    TopicName {
        /// Which packet.
        packet: PacketType,
        /// Where in the packet.
        field: &'static str,
        /// The text, or its beginning.
        text: Box<str>,
        /// The rule it breaks.
        error: TopicError,
    },
    /// A topic filter that is none.
    TopicFilter {
        /// SUBSCRIBE or UNSUBSCRIBE.
        packet: PacketType,
        /// Which filter of the packet; the first is 1.
        number: usize,
        /// The text, or its beginning.
        text: Box<str>,
        /// The rule it breaks.
        error: TopicError,
    },
}

impl DecodeError {
    /// What DISCONNECT or CONNACK says about it. In MQTT 3.1 and 3.1.1 only CONNACK can say
    /// something: see [`ReasonCode::connect_return_code`].
    #[must_use]
    pub fn reason_code(&self) -> ReasonCode {
        match self {
            Self::UnknownPacketType(_) | Self::Malformed { .. } => ReasonCode::MalformedPacket,
            Self::TooLarge { .. } => ReasonCode::PacketTooLarge,
            // A name of another protocol has no return code in 3.1.1: just close [3.1.2-1 3.1.1].
            // The handler tells the two apart by the variant.
            Self::UnknownProtocolName(_) | Self::UnsupportedProtocolLevel(_) => {
                ReasonCode::UnsupportedProtocolVersion
            }
            Self::Protocol {
                problem: ProtocolError::TopicAliasZero,
                ..
            } => {
                ReasonCode::TopicAliasInvalid // [MQTT-3.3.2-8]
            }
            // [MQTT-3.3.2-14]
            Self::TopicName {
                field: RESPONSE_TOPIC,
                ..
            }
            | Self::ConnectExpected(_)
            | Self::SentByServersOnly(_)
            | Self::Protocol { .. } => ReasonCode::ProtocolError,
            Self::TopicName { .. } => ReasonCode::TopicNameInvalid,
            Self::TopicFilter { .. } => ReasonCode::TopicFilterInvalid,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPacketType(number) => write!(f, "unknown packet type {number}"),
            Self::ConnectExpected(packet) => {
                write!(f, "{packet}: the first packet must be CONNECT")
            }
            Self::SentByServersOnly(packet) => write!(f, "{packet}: only servers send it"),
            Self::TooLarge {
                packet,
                len,
                len_max,
            } => {
                write!(f, "{packet}: {len} bytes are more than {len_max}")
            }
            Self::UnknownProtocolName(name) => write!(f, "CONNECT: unknown protocol name {name:?}"),
            Self::UnsupportedProtocolLevel(level) => {
                write!(f, "CONNECT: protocol level {level} is not supported")
            }
            Self::Malformed { packet, problem } => write!(f, "{packet}: {problem}"),
            Self::Protocol { packet, problem } => write!(f, "{packet}: {problem}"),
            Self::TopicName {
                packet,
                field,
                text,
                error,
            } => {
                write!(f, "{packet}: {field} {text:?}: {error}")
            }
            Self::TopicFilter {
                packet,
                number,
                text,
                error,
            } => {
                write!(f, "{packet}: topic filter {number} {text:?}: {error}")
            }
        }
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TopicName { error, .. } | Self::TopicFilter { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What is wrong with the form of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedPacket {
    /// The flags of the fixed header (given) are not those of the packet type [MQTT-2.1.3-1].
    Flags(u8),
    /// QoS 3, in the field given [MQTT-3.3.1-4, 3.1.2-12].
    QoS3(&'static str),
    /// DUP is set though QoS is 0 [MQTT-3.3.1-2].
    DupAtQoS0,
    /// The remaining length has a fifth byte, or is longer than it need be.
    RemainingLength,
    /// The packet, or its property section, ends inside the field given.
    Truncated(&'static str),
    /// So many bytes are left over after the last field.
    TrailingBytes(usize),
    /// The field given is not UTF-8; surrogates are not either [MQTT-1.5.4-1].
    NotUtf8(&'static str),
    /// The field given has U+0000 in it [MQTT-1.5.4-2].
    NulCharacter(&'static str),
    /// In the field given a variable byte integer has a fifth byte, or is longer than it need be
    /// [MQTT-1.5.5-1].
    VariableByteInteger(&'static str),
    /// The lowest connect flag, which is reserved, is set in the flags given [MQTT-3.1.2-3].
    ReservedConnectFlag(u8),
    /// Will QoS or will retain are set without the will flag in the flags given
    /// [MQTT-3.1.2-11, -13].
    WillFlagsWithoutWill(u8),
    /// A password without a user name [MQTT-3.1.2-22 3.1.1].
    PasswordWithoutUserName,
    /// Reserved bits are set in subscription options [MQTT-3.8.3-5].
    ReservedSubscriptionOption {
        /// Which filter's; the first is 1.
        number: usize,
        /// The whole byte.
        options: u8,
    },
    /// There is no property of the number given.
    UnknownProperty(u32),
    /// The property given does not belong into this packet.
    MisplacedProperty(PropertyId),
}

impl fmt::Display for MalformedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(flags) => write!(f, "fixed header flags {flags:#06b} are not allowed"),
            Self::QoS3(field) => write!(f, "{field} 3 is not allowed"),
            Self::DupAtQoS0 => write!(f, "DUP is set with QoS 0"),
            Self::RemainingLength => write!(f, "the remaining length is too long a number"),
            Self::Truncated(field) => write!(f, "ends inside the {field}"),
            Self::TrailingBytes(len) => write!(f, "bytes left over after the last field: {len}"),
            Self::NotUtf8(field) => write!(f, "the {field} is not UTF-8"),
            Self::NulCharacter(field) => write!(f, "the {field} must not contain U+0000"),
            Self::VariableByteInteger(field) => write!(f, "the {field} is too long a number"),
            Self::ReservedConnectFlag(flags) => {
                write!(f, "the reserved bit of connect flags {flags:#010b} is set")
            }
            Self::WillFlagsWithoutWill(flags) => {
                write!(
                    f,
                    "connect flags {flags:#010b} describe a will, but there is none"
                )
            }
            Self::PasswordWithoutUserName => write!(f, "a password without a user name"),
            Self::ReservedSubscriptionOption { number, options } => {
                write!(
                    f,
                    "reserved bits of subscription options {number} {options:#010b} are set"
                )
            }
            Self::UnknownProperty(id) => write!(f, "there is no property {id:#04x}"),
            Self::MisplacedProperty(id) => write!(f, "property \"{id}\" does not belong here"),
        }
    }
}

/// What a well-formed packet may not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// Packet identifier 0 [MQTT-2.2.1-3].
    PacketIdZero,
    /// The property given is there twice.
    RepeatedProperty(PropertyId),
    /// The property given has a value that is out of its range.
    PropertyValue(PropertyId, u32),
    /// Only servers send the property given in this packet [MQTT-3.3.4-6].
    PropertyOfServers(PropertyId),
    /// The reason code given is not one a client sends in this packet.
    ReasonCode(u8),
    /// Topic alias 0 [MQTT-3.3.2-8].
    TopicAliasZero,
    /// Neither topic name nor topic alias.
    NoTopic,
    /// No topic filter [MQTT-3.8.3-2, 3.10.3-2].
    NoTopicFilter,
    /// Subscription options ask for QoS 3; which filter's, the first is 1.
    MaximumQoS3(usize),
    /// Subscription options have retain handling 3; which filter's, the first is 1.
    RetainHandling3(usize),
    /// A shared subscription with no local; which filter's, the first is 1 [MQTT-3.8.3-4].
    NoLocalOnShared(usize),
    /// AUTH without authentication method.
    NoAuthenticationMethod,
    /// CONNECT has authentication data, but no authentication method.
    AuthenticationDataAlone,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PacketIdZero => write!(f, "packet identifier 0 is not allowed"),
            Self::RepeatedProperty(id) => write!(f, "property \"{id}\" is there twice"),
            Self::PropertyValue(id, value) => {
                write!(f, "property \"{id}\" must not be {value}")
            }
            Self::PropertyOfServers(id) => write!(f, "only servers send property \"{id}\""),
            Self::ReasonCode(code) => write!(f, "reason code {code:#04x} is not allowed here"),
            Self::TopicAliasZero => write!(f, "topic alias 0 is not allowed"),
            Self::NoTopic => write!(f, "neither a topic name nor a topic alias"),
            Self::NoTopicFilter => write!(f, "no topic filter"),
            Self::MaximumQoS3(number) => {
                write!(f, "subscription options {number}: QoS 3 is not allowed")
            }
            Self::RetainHandling3(number) => {
                write!(
                    f,
                    "subscription options {number}: retain handling 3 is not allowed"
                )
            }
            Self::NoLocalOnShared(number) => {
                write!(
                    f,
                    "subscription options {number}: no local on a shared subscription"
                )
            }
            Self::NoAuthenticationMethod => write!(f, "no authentication method"),
            Self::AuthenticationDataAlone => {
                write!(f, "authentication data without authentication method")
            }
        }
    }
}

/// The beginning of a text from a peer, as much as a log line should bear.
pub(super) fn excerpt(text: &str) -> Box<str> {
    text.chars().take(EXCERPT_CHARS_MAX).collect()
}

/// The one topic name that is a property: what is wrong with it is a protocol error.
pub(super) const RESPONSE_TOPIC: &str = "response topic";

/// A topic may have 65,535 bytes; a hundred characters tell which it was.
const EXCERPT_CHARS_MAX: usize = 100;
