//! AUTH: a step of an extended authentication.
//!
//! Specification: MQTT 5.0 chapter 3.15.

use super::property::{Properties, Property};
use super::reader::Reader;
use super::{
    DecodeError, Frame, PacketType, PropertyId, ProtocolError, ReasonCode, UserProperties, writer,
};

/// A step of an extended authentication, in either direction. MQTT 5.0 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// From a client `ContinueAuthentication` or `ReAuthenticate`, from a server `Success` or
    /// `ContinueAuthentication`.
    pub reason: ReasonCode,
    /// Names the method.
    pub authentication_method: &'a str,
    /// What the method has to say.
    pub authentication_data: Option<&'a [u8]>,
    /// The reason in words, for people.
    pub reason_string: Option<&'a str>,
    /// Whatever else the sender wants to say.
    pub user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    /// Decodes an AUTH of a client.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Malformed`] or [`DecodeError::Protocol`].
    pub fn decode(frame: &Frame<'a>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PacketType::Auth, frame.body);
        if reader.is_empty() {
            // That stands for success, which is for the server to say [MQTT-3.15.2-1].
            return Err(reader.protocol(ProtocolError::ReasonCode(ReasonCode::Success as u8)));
        }
        let reason = match reader.u8("reason code")? {
            0x18 => ReasonCode::ContinueAuthentication,
            0x19 => ReasonCode::ReAuthenticate,
            code => return Err(reader.protocol(ProtocolError::ReasonCode(code))),
        };
        let (mut method, mut authentication_data, mut reason_string) = (None, None, None);
        let mut properties = Properties::read(&mut reader, "property length")?;
        while let Some((id, property)) = properties.next()? {
            match property {
                Property::AuthenticationMethod(text) => method = Some(text),
                Property::AuthenticationData(data) => authentication_data = Some(data),
                Property::ReasonString(text) => reason_string = Some(text),
                _ => return Err(properties.misplaced(id)),
            }
        }
        let user_properties = properties.user_properties();
        let authentication_method =
            method.ok_or_else(|| reader.protocol(ProtocolError::NoAuthenticationMethod))?;
        reader.finish()?;
        Ok(Self {
            reason,
            authentication_method,
            authentication_data,
            reason_string,
            user_properties,
        })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        writer::packet(out, PacketType::Auth, 0, |out| {
            out.push(self.reason as u8);
            writer::with_length(out, |out| {
                let method = Some(self.authentication_method);
                writer::property_string(out, PropertyId::AuthenticationMethod, method);
                let data = self.authentication_data;
                writer::property_binary(out, PropertyId::AuthenticationData, data);
                writer::properties_of_answers(out, self.reason_string, self.user_properties);
            });
        });
    }
}
