//! DISCONNECT: the end of a connection, said aloud.
//!
//! Specification: MQTT 5.0 chapter 3.14.

use super::property::{Properties, Property};
use super::reader::Reader;
use super::{
    DecodeError, Frame, PacketType, PropertyId, ProtocolError, ProtocolVersion, ReasonCode,
    UserProperties, writer,
};

/// The last packet of a connection. In MQTT 3.1 and 3.1.1 only clients send it, and it says
/// nothing: all fields have their defaults there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why.
    pub reason: ReasonCode,
    /// In seconds; from clients only [MQTT-3.14.2-2], and not encoded.
    pub session_expiry_interval: Option<u32>,
    /// The reason in words, for people.
    pub reason_string: Option<&'a str>,
    /// Whatever else the sender wants to say.
    pub user_properties: UserProperties<'a>,
    /// Another server that the client may turn to; from servers only.
    pub server_reference: Option<&'a str>,
}

impl<'a> Disconnect<'a> {
    /// Decodes a DISCONNECT of a client that speaks `version`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Malformed`] or [`DecodeError::Protocol`].
    pub fn decode(frame: &Frame<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PacketType::Disconnect, frame.body);
        let mut disconnect = Self::default();
        if version == ProtocolVersion::V5 && !reader.is_empty() {
            disconnect.reason = read_reason(&mut reader)?;
            if !reader.is_empty() {
                disconnect.read_properties(&mut reader)?;
            }
        }
        reader.finish()?;
        Ok(disconnect)
    }

    fn read_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), DecodeError> {
        let mut properties = Properties::read(reader, "property length")?;
        while let Some((id, property)) = properties.next()? {
            match property {
                Property::SessionExpiryInterval(seconds) => {
                    self.session_expiry_interval = Some(seconds);
                }
                Property::ReasonString(text) => self.reason_string = Some(text),
                _ => return Err(properties.misplaced(id)),
            }
        }
        self.user_properties = properties.user_properties();
        Ok(())
    }

    /// Appends the packet as servers send it in MQTT 5.0, in its shortest form. Earlier versions
    /// have none from a server: there one just closes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let has_properties = self.reason_string.is_some()
            || self.server_reference.is_some()
            || !self.user_properties.is_empty();
        writer::packet(out, PacketType::Disconnect, 0, |out| {
            if !has_properties && self.reason == ReasonCode::NORMAL_DISCONNECTION {
                return;
            }
            out.push(self.reason as u8);
            if has_properties {
                writer::with_length(out, |out| {
                    writer::properties_of_answers(out, self.reason_string, self.user_properties);
                    let reference = self.server_reference;
                    writer::property_string(out, PropertyId::ServerReference, reference);
                });
            }
        });
    }
}

/// The reason code, which must be one that clients send [MQTT-3.14.2-1].
fn read_reason(reader: &mut Reader<'_>) -> Result<ReasonCode, DecodeError> {
    let code = reader.u8("reason code")?;
    let from_clients = |reason: &ReasonCode| {
        matches!(
            reason,
            ReasonCode::Success
                | ReasonCode::DisconnectWithWillMessage
                | ReasonCode::UnspecifiedError
                | ReasonCode::MalformedPacket
                | ReasonCode::ProtocolError
                | ReasonCode::ImplementationSpecificError
                | ReasonCode::TopicNameInvalid
                | ReasonCode::ReceiveMaximumExceeded
                | ReasonCode::TopicAliasInvalid
                | ReasonCode::PacketTooLarge
                | ReasonCode::MessageRateTooHigh
                | ReasonCode::QuotaExceeded
                | ReasonCode::AdministrativeAction
                | ReasonCode::PayloadFormatInvalid
        )
    };
    ReasonCode::from_u8(code)
        .filter(from_clients)
        .ok_or_else(|| reader.protocol(ProtocolError::ReasonCode(code)))
}
