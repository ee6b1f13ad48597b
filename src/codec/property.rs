//! Properties: what MQTT 5.0 adds to packets.
//!
//! Specification: MQTT 5.0 chapter 2.2.2.

use std::fmt;
use std::num::NonZeroU16;

use super::error::RESPONSE_TOPIC;
use super::reader::Reader;
use super::{DecodeError, MalformedPacket, ProtocolError, UserProperties};
use crate::topic::TopicName;

/// Names a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(
    missing_docs,
    reason = "the table of chapter 2.2.2.2, whose names say it all"
)]
pub enum PropertyId {
    PayloadFormatIndicator = 0x01,
    MessageExpiryInterval = 0x02,
    ContentType = 0x03,
    ResponseTopic = 0x08,
    CorrelationData = 0x09,
    SubscriptionIdentifier = 0x0b,
    SessionExpiryInterval = 0x11,
    AssignedClientIdentifier = 0x12,
    ServerKeepAlive = 0x13,
    AuthenticationMethod = 0x15,
    AuthenticationData = 0x16,
    RequestProblemInformation = 0x17,
    WillDelayInterval = 0x18,
    RequestResponseInformation = 0x19,
    ResponseInformation = 0x1a,
    ServerReference = 0x1c,
    ReasonString = 0x1f,
    ReceiveMaximum = 0x21,
    TopicAliasMaximum = 0x22,
    TopicAlias = 0x23,
    MaximumQoS = 0x24,
    RetainAvailable = 0x25,
    UserProperty = 0x26,
    MaximumPacketSize = 0x27,
    WildcardSubscriptionAvailable = 0x28,
    SubscriptionIdentifiersAvailable = 0x29,
    SharedSubscriptionAvailable = 0x2a,
}

impl PropertyId {
    fn from_u32(value: u32) -> Option<Self> {
        Some(match value {
            0x01 => Self::PayloadFormatIndicator,
            0x02 => Self::MessageExpiryInterval,
            0x03 => Self::ContentType,
            0x08 => Self::ResponseTopic,
            0x09 => Self::CorrelationData,
            0x0b => Self::SubscriptionIdentifier,
            0x11 => Self::SessionExpiryInterval,
            0x12 => Self::AssignedClientIdentifier,
            0x13 => Self::ServerKeepAlive,
            0x15 => Self::AuthenticationMethod,
            0x16 => Self::AuthenticationData,
            0x17 => Self::RequestProblemInformation,
            0x18 => Self::WillDelayInterval,
            0x19 => Self::RequestResponseInformation,
            0x1a => Self::ResponseInformation,
            0x1c => Self::ServerReference,
            0x1f => Self::ReasonString,
            0x21 => Self::ReceiveMaximum,
            0x22 => Self::TopicAliasMaximum,
            0x23 => Self::TopicAlias,
            0x24 => Self::MaximumQoS,
            0x25 => Self::RetainAvailable,
            0x26 => Self::UserProperty,
            0x27 => Self::MaximumPacketSize,
            0x28 => Self::WildcardSubscriptionAvailable,
            0x29 => Self::SubscriptionIdentifiersAvailable,
            0x2a => Self::SharedSubscriptionAvailable,
            _ => return None,
        })
    }

    /// As the specification calls it, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PayloadFormatIndicator => "payload format indicator",
            Self::MessageExpiryInterval => "message expiry interval",
            Self::ContentType => "content type",
            Self::ResponseTopic => RESPONSE_TOPIC,
            Self::CorrelationData => "correlation data",
            Self::SubscriptionIdentifier => "subscription identifier",
            Self::SessionExpiryInterval => "session expiry interval",
            Self::AssignedClientIdentifier => "assigned client identifier",
            Self::ServerKeepAlive => "server keep alive",
            Self::AuthenticationMethod => "authentication method",
            Self::AuthenticationData => "authentication data",
            Self::RequestProblemInformation => "request problem information",
            Self::WillDelayInterval => "will delay interval",
            Self::RequestResponseInformation => "request response information",
            Self::ResponseInformation => "response information",
            Self::ServerReference => "server reference",
            Self::ReasonString => "reason string",
            Self::ReceiveMaximum => "receive maximum",
            Self::TopicAliasMaximum => "topic alias maximum",
            Self::TopicAlias => "topic alias",
            Self::MaximumQoS => "maximum qo s",
            Self::RetainAvailable => "retain available",
            Self::UserProperty => "user property",
            Self::MaximumPacketSize => "maximum packet size",
            Self::WildcardSubscriptionAvailable => "wildcard subscription available",
            Self::SubscriptionIdentifiersAvailable => "subscription identifiers available",
            Self::SharedSubscriptionAvailable => "shared subscription available",
        }
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a publisher says its payload is. Passed on, not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadFormat {
    /// Any bytes.
    Unspecified = 0,
    /// UTF-8 text.
    Utf8 = 1,
}

/// One property a client may send, with its value; all but user properties.
#[derive(Clone, Copy, Debug)]
pub(super) enum Property<'a> {
    PayloadFormatIndicator(PayloadFormat),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(TopicName<'a>),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(NonZeroU16),
    MaximumPacketSize(u32),
}

/// Reads a property section.
///
/// ```text
/// let mut properties = Properties::read(reader, "property length")?;
/// while let Some((id, property)) = properties.next()? { match property { ... } }
/// let user_properties = properties.user_properties();
/// ```
#[derive(Debug)]
pub(super) struct Properties<'a> {
    reader: Reader<'a>,
    /// A bit for each property that was there.
    seen: u64,
    /// From the first user property to the end of the section; empty before there is one.
    from_first_user_property: &'a [u8],
    /// What was left after the last user property, in bytes.
    after_last_user_property: usize,
    /// The user properties alone, in bytes.
    user_properties_len: usize,
}

impl<'a> Properties<'a> {
    /// Takes the section, which begins with its length, off `reader`.
    pub(super) fn read(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, DecodeError> {
        Ok(Self::new(reader.section(field)?))
    }

    /// Reads a section that is all of `reader`.
    pub(super) fn new(reader: Reader<'a>) -> Self {
        Self {
            reader,
            seen: 0,
            from_first_user_property: &[],
            after_last_user_property: 0,
            user_properties_len: 0,
        }
    }

    /// The next property that is not a user property; `None` at the end of the section.
    pub(super) fn next(&mut self) -> Result<Option<(PropertyId, Property<'a>)>, DecodeError> {
        while !self.reader.is_empty() {
            let before = self.reader.rest();
            let id = read_id(&mut self.reader)?;
            if let Some(property) = read_value(&mut self.reader, id)? {
                let bit = 1_u64.wrapping_shl(u32::from(id as u8));
                if self.seen & bit != 0 {
                    return Err(self.reader.protocol(ProtocolError::RepeatedProperty(id)));
                }
                self.seen |= bit;
                return Ok(Some((id, property)));
            }
            self.note_user_property(before);
        }
        Ok(None)
    }

    /// The user properties met so far, in their order.
    pub(super) fn user_properties(&self) -> UserProperties<'a> {
        let from_first = self.from_first_user_property;
        let len = from_first
            .len()
            .saturating_sub(self.after_last_user_property);
        let span = from_first.get(..len).unwrap_or_default();
        UserProperties::from_span(span, self.user_properties_len)
    }

    /// The error of a property that does not belong into this packet.
    pub(super) fn misplaced(&self, id: PropertyId) -> DecodeError {
        self.reader
            .malformed(MalformedPacket::MisplacedProperty(id))
    }

    /// The error of a property that only servers send in this packet.
    pub(super) fn of_servers(&self, id: PropertyId) -> DecodeError {
        self.reader.protocol(ProtocolError::PropertyOfServers(id))
    }

    fn note_user_property(&mut self, before: &'a [u8]) {
        let after = self.reader.rest().len();
        if self.user_properties_len == 0 {
            self.from_first_user_property = before;
        }
        let len = before.len().saturating_sub(after);
        self.user_properties_len = self.user_properties_len.saturating_add(len);
        self.after_last_user_property = after;
    }
}

/// Takes a property's identifier.
pub(super) fn read_id(reader: &mut Reader<'_>) -> Result<PropertyId, DecodeError> {
    let id = reader.var_int("property identifier")?;
    PropertyId::from_u32(id).ok_or_else(|| reader.malformed(MalformedPacket::UnknownProperty(id)))
}

/// Takes a property's value and checks its range. `None` for a user property, whose text is
/// checked but not given: [`UserProperties`] reads it again when somebody asks.
pub(super) fn read_value<'a>(
    reader: &mut Reader<'a>,
    id: PropertyId,
) -> Result<Option<Property<'a>>, DecodeError> {
    let name = id.name();
    let out_of_range =
        |reader: &Reader<'_>, value| reader.protocol(ProtocolError::PropertyValue(id, value));
    Ok(Some(match id {
        PropertyId::PayloadFormatIndicator => {
            Property::PayloadFormatIndicator(match reader.u8(name)? {
                0 => PayloadFormat::Unspecified,
                1 => PayloadFormat::Utf8,
                value => return Err(out_of_range(reader, value.into())),
            })
        }
        PropertyId::MessageExpiryInterval => Property::MessageExpiryInterval(reader.u32(name)?),
        PropertyId::ContentType => Property::ContentType(reader.string(name)?),
        // [MQTT-3.3.2-13, -14]
        PropertyId::ResponseTopic => Property::ResponseTopic(reader.topic_name(name)?),
        PropertyId::CorrelationData => Property::CorrelationData(reader.binary(name)?),
        PropertyId::SubscriptionIdentifier => {
            Property::SubscriptionIdentifier(match reader.var_int(name)? {
                0 => return Err(out_of_range(reader, 0)),
                value => value,
            })
        }
        PropertyId::SessionExpiryInterval => Property::SessionExpiryInterval(reader.u32(name)?),
        PropertyId::AuthenticationMethod => Property::AuthenticationMethod(reader.string(name)?),
        PropertyId::AuthenticationData => Property::AuthenticationData(reader.binary(name)?),
        PropertyId::RequestProblemInformation => {
            Property::RequestProblemInformation(read_bool(reader, id)?)
        }
        PropertyId::WillDelayInterval => Property::WillDelayInterval(reader.u32(name)?),
        PropertyId::RequestResponseInformation => {
            Property::RequestResponseInformation(read_bool(reader, id)?)
        }
        PropertyId::ReasonString => Property::ReasonString(reader.string(name)?),
        PropertyId::ReceiveMaximum => Property::ReceiveMaximum(match reader.u16(name)? {
            0 => return Err(out_of_range(reader, 0)),
            value => value,
        }),
        PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(reader.u16(name)?),
        PropertyId::TopicAlias => {
            let alias = NonZeroU16::new(reader.u16(name)?);
            Property::TopicAlias(
                alias.ok_or_else(|| reader.protocol(ProtocolError::TopicAliasZero))?,
            )
        }
        PropertyId::MaximumPacketSize => Property::MaximumPacketSize(match reader.u32(name)? {
            0 => return Err(out_of_range(reader, 0)),
            value => value,
        }),
        PropertyId::UserProperty => {
            reader.string("user property key")?;
            reader.string("user property value")?;
            return Ok(None);
        }
        PropertyId::AssignedClientIdentifier
        | PropertyId::ServerKeepAlive
        | PropertyId::ResponseInformation
        | PropertyId::ServerReference
        | PropertyId::MaximumQoS
        | PropertyId::RetainAvailable
        | PropertyId::WildcardSubscriptionAvailable
        | PropertyId::SubscriptionIdentifiersAvailable
        | PropertyId::SharedSubscriptionAvailable => {
            return Err(reader.protocol(ProtocolError::PropertyOfServers(id)));
        }
    }))
}

fn read_bool(reader: &mut Reader<'_>, id: PropertyId) -> Result<bool, DecodeError> {
    match reader.u8(id.name())? {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(reader.protocol(ProtocolError::PropertyValue(id, value.into()))),
    }
}
