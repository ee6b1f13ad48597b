//! SUBACK: the answer to SUBSCRIBE.
//!
//! Specification: MQTT 5.0 chapter 3.9.

use super::{PacketId, PacketType, ProtocolVersion, ReasonCode, UserProperties, writer};

/// What became of each topic filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// That of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter, in their order [MQTT-3.8.4-6]: the QoS granted, or why none was.
    pub reason_codes: &'a [ReasonCode],
    /// What happened in words, for people. MQTT 5.0 only.
    pub reason_string: Option<&'a str>,
    /// Whatever else the server wants to say. MQTT 5.0 only.
    pub user_properties: UserProperties<'a>,
}

impl SubAck<'_> {
    /// Appends the packet as a client that speaks `version` takes it.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        writer::packet(out, PacketType::SubAck, 0, |out| {
            writer::u16(out, self.packet_id.get());
            let codes = self.reason_codes.iter();
            if version == ProtocolVersion::V5 {
                writer::with_length(out, |out| {
                    writer::properties_of_answers(out, self.reason_string, self.user_properties);
                });
                out.extend(codes.map(|&code| code as u8));
            } else {
                out.extend(codes.map(|code| code.subscribe_return_code()));
            }
        });
    }
}
