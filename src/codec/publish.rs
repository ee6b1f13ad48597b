//! PUBLISH: a message on the wire.
//!
//! Specification: MQTT 5.0 chapter 3.3.

use std::num::NonZeroU16;

use super::property::{Properties, Property};
use super::reader::Reader;
use super::{
    DecodeError, Frame, MalformedPacket, PacketId, PacketType, PayloadFormat, PropertyId,
    ProtocolError, ProtocolVersion, QoS, UserProperties, var_int, writer,
};
use crate::topic::TopicName;

/// A message on its way, in either direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// It may have been sent before. Never with QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// How surely it is delivered.
    pub qos: QoS,
    /// To be kept, or (from a server) it was kept.
    pub retain: bool,
    /// A topic name that has been checked; or empty, in MQTT 5.0 and with a topic alias.
    pub topic: &'a str,
    /// There is one if and only if QoS is 1 or 2 [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// Default where the version is not 5.0, and then not encoded.
    pub properties: PublishProperties<'a>,
    /// Any bytes, or none.
    pub payload: &'a [u8],
}

/// What MQTT 5.0 says about a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties<'a> {
    /// What the payload is.
    pub payload_format_indicator: Option<PayloadFormat>,
    /// In seconds; after that nobody is to have it.
    pub message_expiry_interval: Option<u32>,
    /// Stands for the topic. Never 0; the upper bound is the receiver's.
    pub topic_alias: Option<NonZeroU16>,
    /// Where an answer is awaited.
    pub response_topic: Option<TopicName<'a>>,
    /// Tells which question an answer is for.
    pub correlation_data: Option<&'a [u8]>,
    /// Of the subscriptions this copy is for, 1 to 268,435,455 each. From servers only
    /// [MQTT-3.3.4-6].
    pub subscription_identifiers: &'a [u32],
    /// What the payload is, as publisher and subscriber agreed.
    pub content_type: Option<&'a str>,
    /// To be passed on as they are.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Publish<'a> {
    /// Decodes a PUBLISH of a client that speaks `version`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TopicName`], [`DecodeError::Malformed`] or [`DecodeError::Protocol`].
    pub fn decode(frame: &Frame<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PacketType::Publish, frame.body);
        let qos = QoS::try_from(frame.flags >> 1 & 0b11)
            .map_err(|_| reader.malformed(MalformedPacket::QoS3("QoS")))?;

        let topic = read_topic(&mut reader, version)?;
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(reader.packet_id()?),
        };
        let properties = if version == ProtocolVersion::V5 {
            PublishProperties::read(&mut reader)?
        } else {
            PublishProperties::default()
        };
        if topic.is_empty() && properties.topic_alias.is_none() {
            return Err(reader.protocol(ProtocolError::NoTopic));
        }
        Ok(Self {
            dup: frame.flags & 0b1000 != 0,
            qos,
            retain: frame.flags & 0b0001 != 0,
            topic,
            packet_id,
            properties,
            payload: reader.rest(),
        })
    }

    /// Appends the packet as a client that speaks `version` takes it. The caller has made sure
    /// that [`Publish::encoded_len`] is not beyond [`PACKET_LEN_MAX`](super::PACKET_LEN_MAX), nor
    /// beyond what the client takes.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        debug_assert_eq!(self.qos == QoS::AtMostOnce, self.packet_id.is_none());
        out.reserve(self.encoded_len(version));
        let flags = u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain);
        out.push(PacketType::Publish.first_byte(flags));
        put_len(out, self.remaining_len(version));
        writer::string(out, self.topic);
        if let Some(packet_id) = self.packet_id {
            writer::u16(out, packet_id.get());
        }
        if version == ProtocolVersion::V5 {
            put_len(out, self.properties.encoded_len());
            self.properties.encode(out);
        }
        out.extend_from_slice(self.payload);
    }

    /// The bytes that [`Publish::encode`] appends.
    #[must_use]
    pub fn encoded_len(&self, version: ProtocolVersion) -> usize {
        with_len(self.remaining_len(version)).saturating_add(1)
    }

    fn remaining_len(&self, version: ProtocolVersion) -> usize {
        let packet_id_len = if self.packet_id.is_some() { 2 } else { 0 };
        let properties_len = match version {
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => 0,
            ProtocolVersion::V5 => with_len(self.properties.encoded_len()),
        };
        writer::binary_len(self.topic.len())
            .saturating_add(packet_id_len)
            .saturating_add(properties_len)
            .saturating_add(self.payload.len())
    }
}

impl<'a> PublishProperties<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::from_section(Properties::read(reader, "property length")?)
    }

    /// Reads what [`PublishProperties::encode`] wrote, as somebody does who kept the bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Malformed`] or [`DecodeError::Protocol`] if `bytes` are not that.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::from_section(Properties::new(Reader::new(PacketType::Publish, bytes)))
    }

    fn from_section(mut properties: Properties<'a>) -> Result<Self, DecodeError> {
        let mut publish = Self::default();
        while let Some((id, property)) = properties.next()? {
            match property {
                Property::PayloadFormatIndicator(format) => {
                    publish.payload_format_indicator = Some(format);
                }
                Property::MessageExpiryInterval(seconds) => {
                    publish.message_expiry_interval = Some(seconds);
                }
                Property::TopicAlias(alias) => publish.topic_alias = Some(alias),
                Property::ResponseTopic(topic) => publish.response_topic = Some(topic),
                Property::CorrelationData(data) => publish.correlation_data = Some(data),
                Property::ContentType(text) => publish.content_type = Some(text),
                // [MQTT-3.3.4-6]
                Property::SubscriptionIdentifier(_) => return Err(properties.of_servers(id)),
                _ => return Err(properties.misplaced(id)),
            }
        }
        publish.user_properties = properties.user_properties();
        Ok(publish)
    }

    /// Appends the properties as they stand in a packet, without the length in front.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let format = self.payload_format_indicator.map(|format| format as u8);
        writer::property_u8(out, PropertyId::PayloadFormatIndicator, format);
        writer::property_u32(
            out,
            PropertyId::MessageExpiryInterval,
            self.message_expiry_interval,
        );
        let alias = self.topic_alias.map(NonZeroU16::get);
        writer::property_u16(out, PropertyId::TopicAlias, alias);
        let response_topic = self.response_topic.map(TopicName::as_str);
        writer::property_string(out, PropertyId::ResponseTopic, response_topic);
        writer::property_binary(out, PropertyId::CorrelationData, self.correlation_data);
        for &identifier in self.subscription_identifiers {
            out.push(PropertyId::SubscriptionIdentifier as u8);
            var_int::encode(identifier, out);
        }
        writer::property_string(out, PropertyId::ContentType, self.content_type);
        self.user_properties.encode(out);
    }

    /// The bytes that `encode` appends.
    fn encoded_len(&self) -> usize {
        let fixed = [
            self.payload_format_indicator.map_or(0, |_| 2),
            self.message_expiry_interval.map_or(0, |_| 5),
            self.topic_alias.map_or(0, |_| 3),
        ];
        let response_topic = self.response_topic.map(|topic| topic.as_str().len());
        let content_type = self.content_type.map(str::len);
        let data = [
            response_topic,
            self.correlation_data.map(<[u8]>::len),
            content_type,
        ];
        let data = data
            .into_iter()
            .flatten()
            .map(|len| writer::binary_len(len).saturating_add(1));
        let identifiers = self.subscription_identifiers.iter();
        let identifiers = identifiers.map(|&id| var_int::encoded_len(id).saturating_add(1));
        let lens = fixed.into_iter().chain(data).chain(identifiers);
        lens.fold(self.user_properties.encoded_len(), usize::saturating_add)
    }
}

/// The topic: empty only where a topic alias can stand for it, which the caller sees to.
fn read_topic<'a>(
    reader: &mut Reader<'a>,
    version: ProtocolVersion,
) -> Result<&'a str, DecodeError> {
    if version == ProtocolVersion::V5 && reader.rest().starts_with(&[0, 0]) {
        return reader.utf8("topic name");
    }
    // [MQTT-3.3.2-1, -2]
    Ok(reader.topic_name("topic name")?.as_str())
}

/// A part of `len` bytes and its length.
fn with_len(len: usize) -> usize {
    let int = u32::try_from(len).unwrap_or(u32::MAX);
    len.saturating_add(var_int::encoded_len(int))
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    var_int::encode(u32::try_from(len).unwrap_or(u32::MAX), out);
}
