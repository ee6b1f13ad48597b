//! PUBACK, PUBREC, PUBREL and PUBCOMP.

use crate::codec::{Ack, AckType, ReasonCode};
use crate::connection::Connection;

impl Connection<'_> {
    /// The client has our PUBREC, so it will not send the message again: its packet id is free.
    pub(super) fn on_pubrel(&mut self, ack: &Ack<'_>) {
        let reason = match self.received.remove(&ack.packet_id) {
            true => ReasonCode::Success,
            // [MQTT-3.6.4-1 in 3.1.1] it is answered all the same.
            false => ReasonCode::PacketIdentifierNotFound,
        };
        let version = self.session.version();
        Ack::new(ack.packet_id, reason).encode(AckType::PubComp, version, &mut self.answers);
    }
}
