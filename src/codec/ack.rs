//! PUBACK, PUBREC, PUBREL and PUBCOMP: one form, four meanings.
//!
//! Specification: MQTT 5.0 chapters 3.4 to 3.7.

use super::property::{Properties, Property};
use super::reader::Reader;
use super::{
    DecodeError, Frame, PacketId, PacketType, ProtocolError, ProtocolVersion, ReasonCode,
    UserProperties, writer,
};

/// A step in the delivery of a message of QoS 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The message's.
    pub packet_id: PacketId,
    /// How it went. Always success in MQTT 3.1 and 3.1.1, which cannot say it.
    pub reason: ReasonCode,
    /// The same in words, for people.
    pub reason_string: Option<&'a str>,
    /// Whatever else the sender wants to say.
    pub user_properties: UserProperties<'a>,
}

/// Which of the four an [`Ack`] is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckType {
    /// Answers PUBLISH of QoS 1.
    PubAck,
    /// Answers PUBLISH of QoS 2.
    PubRec,
    /// Answers PUBREC.
    PubRel,
    /// Answers PUBREL.
    PubComp,
}

impl<'a> Ack<'a> {
    /// An acknowledgement that says no more than `reason`.
    #[must_use]
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self {
            packet_id,
            reason,
            reason_string: None,
            user_properties: UserProperties::default(),
        }
    }

    /// Decodes any of the four. In MQTT 5.0 it has two bytes, three, or four and more.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Malformed`] or [`DecodeError::Protocol`].
    pub fn decode(frame: &Frame<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.packet_type, frame.body);
        let mut ack = Self::new(reader.packet_id()?, ReasonCode::Success);
        if version == ProtocolVersion::V5 && !reader.is_empty() {
            ack.reason = read_reason(&mut reader)?;
            if !reader.is_empty() {
                ack.read_properties(&mut reader)?;
            }
        }
        reader.finish()?;
        Ok(ack)
    }

    fn read_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut properties = Properties::read(reader, "property length")?;
        while let Some((id, property)) = properties.next()? {
            match property {
                Property::ReasonString(text) => self.reason_string = Some(text),
                _ => return Err(properties.misplaced(id)),
            }
        }
        self.user_properties = properties.user_properties();
        Ok(())
    }

    /// Appends the packet, in its shortest form.
    pub fn encode(&self, ack_type: AckType, version: ProtocolVersion, out: &mut Vec<u8>) {
        let has_properties = self.reason_string.is_some() || !self.user_properties.is_empty();
        let has_reason = has_properties || self.reason != ReasonCode::Success;
        let (packet_type, flags) = match ack_type {
            AckType::PubAck => (PacketType::PubAck, 0),
            AckType::PubRec => (PacketType::PubRec, 0),
            AckType::PubRel => (PacketType::PubRel, 0b0010), // [MQTT-3.6.1-1]
            AckType::PubComp => (PacketType::PubComp, 0),
        };
        writer::packet(out, packet_type, flags, |out| {
            writer::u16(out, self.packet_id.get());
            if version != ProtocolVersion::V5 || !has_reason {
                return;
            }
            out.push(self.reason as u8);
            if has_properties {
                writer::with_length(out, |out| {
                    writer::properties_of_answers(out, self.reason_string, self.user_properties);
                });
            }
        });
    }
}

/// The reason code, which must be one of the packet's [MQTT-3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1].
fn read_reason(reader: &mut Reader<'_>) -> Result<ReasonCode, DecodeError> {
    let code = reader.u8("reason code")?;
    let allowed = |reason: &ReasonCode| match reason {
        ReasonCode::Success => true,
        ReasonCode::PacketIdentifierNotFound => {
            matches!(reader.packet(), PacketType::PubRel | PacketType::PubComp)
        }
        // The first is for servers to say, but to hear it from a client harms nobody.
        ReasonCode::NoMatchingSubscribers
        | ReasonCode::UnspecifiedError
        | ReasonCode::ImplementationSpecificError
        | ReasonCode::NotAuthorized
        | ReasonCode::TopicNameInvalid
        | ReasonCode::PacketIdentifierInUse
        | ReasonCode::QuotaExceeded
        | ReasonCode::PayloadFormatInvalid => {
            matches!(reader.packet(), PacketType::PubAck | PacketType::PubRec)
        }
        _ => false,
    };
    ReasonCode::from_u8(code)
        .filter(allowed)
        .ok_or_else(|| reader.protocol(ProtocolError::ReasonCode(code)))
}
