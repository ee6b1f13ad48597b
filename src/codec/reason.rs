//! Reason codes, and the return codes of MQTT 3.1 and 3.1.1 they stand for.
//!
//! Specification: MQTT 5.0 chapter 2.4, MQTT 3.1.1 chapters 3.2.2.3 and 3.9.3.

use std::fmt;

/// Why a packet was sent, or how what it answers went. 0x80 and above are failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ReasonCode {
    /// Done. Also: normal disconnection, granted QoS 0.
    #[default]
    Success = 0x00,
    /// The subscription was made with at most QoS 1.
    GrantedQoS1 = 0x01,
    /// The subscription was made with at most QoS 2.
    GrantedQoS2 = 0x02,
    /// The client leaves and wants its will to be published.
    DisconnectWithWillMessage = 0x04,
    /// The message was accepted, and nobody was there for it.
    NoMatchingSubscribers = 0x10,
    /// There was nothing to unsubscribe from.
    NoSubscriptionExisted = 0x11,
    /// The authentication goes on with another step.
    ContinueAuthentication = 0x18,
    /// The client begins a new authentication.
    ReAuthenticate = 0x19,
    /// The sender does not say why.
    UnspecifiedError = 0x80,
    /// The bytes do not follow the specification.
    MalformedPacket = 0x81,
    /// The packet came out of place, or says what it may not.
    ProtocolError = 0x82,
    /// Valid, but not accepted here.
    ImplementationSpecificError = 0x83,
    /// The level in CONNECT is not one of ours.
    UnsupportedProtocolVersion = 0x84,
    /// The client identifier is not allowed.
    ClientIdentifierNotValid = 0x85,
    /// User name and password are not accepted.
    BadUserNameOrPassword = 0x86,
    /// The client may not do this.
    NotAuthorized = 0x87,
    /// The server is there but cannot serve.
    ServerUnavailable = 0x88,
    /// Try again later.
    ServerBusy = 0x89,
    /// This client is kept out.
    Banned = 0x8a,
    /// The server goes away.
    ServerShuttingDown = 0x8b,
    /// The method is not supported, or not the one agreed on.
    BadAuthenticationMethod = 0x8c,
    /// Nothing came for 1.5 times the keep alive.
    KeepAliveTimeout = 0x8d,
    /// Another connection uses the same client identifier.
    SessionTakenOver = 0x8e,
    /// The topic filter is not accepted.
    TopicFilterInvalid = 0x8f,
    /// The topic name is not accepted.
    TopicNameInvalid = 0x90,
    /// The packet identifier is taken.
    PacketIdentifierInUse = 0x91,
    /// The packet identifier is not known.
    PacketIdentifierNotFound = 0x92,
    /// More messages in flight than allowed.
    ReceiveMaximumExceeded = 0x93,
    /// The topic alias is 0, too large or not set.
    TopicAliasInvalid = 0x94,
    /// The packet is longer than the receiver takes.
    PacketTooLarge = 0x95,
    /// Too many messages in too little time.
    MessageRateTooHigh = 0x96,
    /// A limit of the operator is reached.
    QuotaExceeded = 0x97,
    /// Somebody closed the connection on purpose.
    AdministrativeAction = 0x98,
    /// The payload is not what its format indicator says.
    PayloadFormatInvalid = 0x99,
    /// Retained messages are off.
    RetainNotSupported = 0x9a,
    /// The QoS is higher than the server allows.
    QoSNotSupported = 0x9b,
    /// Another server serves, for now.
    UseAnotherServer = 0x9c,
    /// Another server serves, for good.
    ServerMoved = 0x9d,
    /// Shared subscriptions are off.
    SharedSubscriptionsNotSupported = 0x9e,
    /// Too many connections in too little time.
    ConnectionRateExceeded = 0x9f,
    /// The time granted to this connection is over.
    MaximumConnectTime = 0xa0,
    /// Subscription identifiers are off.
    SubscriptionIdentifiersNotSupported = 0xa1,
    /// Subscriptions with wildcards are off.
    WildcardSubscriptionsNotSupported = 0xa2,
}

impl ReasonCode {
    /// What 0x00 is called in DISCONNECT.
    pub const NORMAL_DISCONNECTION: Self = Self::Success;
    /// What 0x00 is called in SUBACK.
    pub const GRANTED_QOS_0: Self = Self::Success;

    /// Whether the code says that something failed.
    #[must_use]
    pub fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// The CONNACK return code of MQTT 3.1 and 3.1.1 that says the same. `None` if there is none:
    /// the connection is then closed without a CONNACK [MQTT-3.2.2-6 3.1.1].
    #[must_use]
    pub fn connect_return_code(self) -> Option<u8> {
        match self {
            Self::Success => Some(0x00),
            Self::UnsupportedProtocolVersion => Some(0x01),
            Self::ClientIdentifierNotValid => Some(0x02),
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::ServerShuttingDown
            | Self::QuotaExceeded
            | Self::ConnectionRateExceeded => Some(0x03),
            Self::BadUserNameOrPassword => Some(0x04),
            Self::NotAuthorized | Self::Banned | Self::BadAuthenticationMethod => Some(0x05),
            _ => None,
        }
    }

    /// The SUBACK return code of MQTT 3.1 and 3.1.1 that says the same: all failures are 0x80
    /// there [MQTT-3.9.3-2 3.1.1]. (MQTT 3.1 has no failure in SUBACK; brokers send 0x80 all the
    /// same, since the truth helps more than a grant that was not made.)
    #[must_use]
    pub fn subscribe_return_code(self) -> u8 {
        if self.is_error() { 0x80 } else { self as u8 }
    }

    /// The code whose number is `value`; `None` if the specification does not have it.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            0x00 => Self::Success,
            0x01 => Self::GrantedQoS1,
            0x02 => Self::GrantedQoS2,
            0x04 => Self::DisconnectWithWillMessage,
            0x10 => Self::NoMatchingSubscribers,
            0x11 => Self::NoSubscriptionExisted,
            0x18 => Self::ContinueAuthentication,
            0x19 => Self::ReAuthenticate,
            0x80 => Self::UnspecifiedError,
            0x81 => Self::MalformedPacket,
            0x82 => Self::ProtocolError,
            0x83 => Self::ImplementationSpecificError,
            0x84 => Self::UnsupportedProtocolVersion,
            0x85 => Self::ClientIdentifierNotValid,
            0x86 => Self::BadUserNameOrPassword,
            0x87 => Self::NotAuthorized,
            0x88 => Self::ServerUnavailable,
            0x89 => Self::ServerBusy,
            0x8a => Self::Banned,
            0x8b => Self::ServerShuttingDown,
            0x8c => Self::BadAuthenticationMethod,
            0x8d => Self::KeepAliveTimeout,
            0x8e => Self::SessionTakenOver,
            0x8f => Self::TopicFilterInvalid,
            0x90 => Self::TopicNameInvalid,
            0x91 => Self::PacketIdentifierInUse,
            0x92 => Self::PacketIdentifierNotFound,
            0x93 => Self::ReceiveMaximumExceeded,
            0x94 => Self::TopicAliasInvalid,
            0x95 => Self::PacketTooLarge,
            0x96 => Self::MessageRateTooHigh,
            0x97 => Self::QuotaExceeded,
            0x98 => Self::AdministrativeAction,
            0x99 => Self::PayloadFormatInvalid,
            0x9a => Self::RetainNotSupported,
            0x9b => Self::QoSNotSupported,
            0x9c => Self::UseAnotherServer,
            0x9d => Self::ServerMoved,
            0x9e => Self::SharedSubscriptionsNotSupported,
            0x9f => Self::ConnectionRateExceeded,
            0xa0 => Self::MaximumConnectTime,
            0xa1 => Self::SubscriptionIdentifiersNotSupported,
            0xa2 => Self::WildcardSubscriptionsNotSupported,
            _ => return None,
        })
    }
}

/// As the specification calls it, in lower case.
impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::GrantedQoS1 => "granted QoS 1",
            Self::GrantedQoS2 => "granted QoS 2",
            Self::DisconnectWithWillMessage => "disconnect with will message",
            Self::NoMatchingSubscribers => "no matching subscribers",
            Self::NoSubscriptionExisted => "no subscription existed",
            Self::ContinueAuthentication => "continue authentication",
            Self::ReAuthenticate => "re-authenticate",
            Self::UnspecifiedError => "unspecified error",
            Self::MalformedPacket => "malformed packet",
            Self::ProtocolError => "protocol error",
            Self::ImplementationSpecificError => "implementation specific error",
            Self::UnsupportedProtocolVersion => "unsupported protocol version",
            Self::ClientIdentifierNotValid => "client identifier not valid",
            Self::BadUserNameOrPassword => "bad user name or password",
            Self::NotAuthorized => "not authorized",
            Self::ServerUnavailable => "server unavailable",
            Self::ServerBusy => "server busy",
            Self::Banned => "banned",
            Self::ServerShuttingDown => "server shutting down",
            Self::BadAuthenticationMethod => "bad authentication method",
            Self::KeepAliveTimeout => "keep alive timeout",
            Self::SessionTakenOver => "session taken over",
            Self::TopicFilterInvalid => "topic filter invalid",
            Self::TopicNameInvalid => "topic name invalid",
            Self::PacketIdentifierInUse => "packet identifier in use",
            Self::PacketIdentifierNotFound => "packet identifier not found",
            Self::ReceiveMaximumExceeded => "receive maximum exceeded",
            Self::TopicAliasInvalid => "topic alias invalid",
            Self::PacketTooLarge => "packet too large",
            Self::MessageRateTooHigh => "message rate too high",
            Self::QuotaExceeded => "quota exceeded",
            Self::AdministrativeAction => "administrative action",
            Self::PayloadFormatInvalid => "payload format invalid",
            Self::RetainNotSupported => "retain not supported",
            Self::QoSNotSupported => "QoS not supported",
            Self::UseAnotherServer => "use another server",
            Self::ServerMoved => "server moved",
            Self::SharedSubscriptionsNotSupported => "shared subscriptions not supported",
            Self::ConnectionRateExceeded => "connection rate exceeded",
            Self::MaximumConnectTime => "maximum connect time",
            Self::SubscriptionIdentifiersNotSupported => "subscription identifiers not supported",
            Self::WildcardSubscriptionsNotSupported => "wildcard subscriptions not supported",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_agree() {
        let codes = (0..=0xff).filter_map(ReasonCode::from_u8);
        assert_eq!(codes.clone().count(), 43); // the table of chapter 2.4
        for code in codes {
            assert_eq!(ReasonCode::from_u8(code as u8), Some(code));
        }
    }

    /// The table of MQTT 3.1.1 chapter 3.2.2.3.
    #[test]
    fn knows_the_return_codes_of_3_1_1() {
        for (reason, return_code) in [
            (ReasonCode::Success, Some(0)),
            (ReasonCode::UnsupportedProtocolVersion, Some(1)),
            (ReasonCode::ClientIdentifierNotValid, Some(2)),
            (ReasonCode::ServerUnavailable, Some(3)),
            (ReasonCode::QuotaExceeded, Some(3)),
            (ReasonCode::ConnectionRateExceeded, Some(3)),
            (ReasonCode::BadUserNameOrPassword, Some(4)),
            (ReasonCode::NotAuthorized, Some(5)),
            (ReasonCode::MalformedPacket, None),
        ] {
            assert_eq!(reason.connect_return_code(), return_code);
        }
        assert_eq!(ReasonCode::GrantedQoS2.subscribe_return_code(), 2);
        assert_eq!(ReasonCode::NotAuthorized.subscribe_return_code(), 0x80);
    }
}
