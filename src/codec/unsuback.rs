//! UNSUBACK: the answer to UNSUBSCRIBE.
//!
//! Specification: MQTT 5.0 chapter 3.11.

use super::{PacketId, PacketType, ProtocolVersion, ReasonCode, UserProperties, writer};

/// What became of each topic filter of an UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// That of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each filter, in their order [MQTT-3.11.3-1]. MQTT 5.0 only.
    pub reason_codes: &'a [ReasonCode],
    /// What happened in words, for people. MQTT 5.0 only.
    pub reason_string: Option<&'a str>,
    /// Whatever else the server wants to say. MQTT 5.0 only.
    pub user_properties: UserProperties<'a>,
}

impl UnsubAck<'_> {
    /// Appends the packet as a client that speaks `version` takes it.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        writer::packet(out, PacketType::UnsubAck, 0, |out| {
            writer::u16(out, self.packet_id.get());
            if version == ProtocolVersion::V5 {
                writer::with_length(out, |out| {
                    writer::properties_of_answers(out, self.reason_string, self.user_properties);
                });
                out.extend(self.reason_codes.iter().map(|&code| code as u8));
            }
        });
    }
}
