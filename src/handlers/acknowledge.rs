//! PUBACK, PUBREC, PUBREL and PUBCOMP.

use crate::broker::Publication;
use crate::close_reason::{CloseReason, not_stored_code};
use crate::codec::{Ack, AckType, PacketId, ProtocolVersion, QoS, ReasonCode};
use crate::connection::Connection;
use crate::store::StoreError;

/// An acknowledgement that is sent once the messages before it are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingAck {
    pub(crate) ack_type: AckType,
    pub(crate) packet_id: PacketId,
    pub(crate) reason: ReasonCode,
    /// It is for a message that is not stored yet.
    pub(crate) is_for_new: bool,
}

impl Connection<'_> {
    /// The client has our PUBREC, so it will not send the message again: its packet id is free.
    pub(super) fn on_pubrel(&mut self, ack: &Ack<'_>) {
        let reason = match self.session.release(ack.packet_id) {
            true => ReasonCode::Success,
            // [MQTT-4.3.3-11] it is answered all the same.
            false => ReasonCode::PacketIdentifierNotFound,
        };
        let ack_type = AckType::PubComp;
        self.pending.push(PendingAck {
            ack_type,
            packet_id: ack.packet_id,
            reason,
            is_for_new: false,
        });
    }

    /// Handles the acknowledgements of the batch.
    pub(crate) fn handle_acks(&mut self) -> Result<(), CloseReason> {
        if self.acks.is_empty() {
            return Ok(());
        }
        self.session
            .on_acks(&mut self.acks, &mut self.answers)
            .map_err(|(ack_type, packet_id)| CloseReason::Refused {
                code: ReasonCode::ProtocolError,
                what: format!(
                    "{ack_type:?} for packet id {packet_id}, which waits for another packet"
                ),
            })
    }

    /// The messages are stored: acknowledges them.
    pub(crate) fn acknowledge_pending(&mut self) {
        let version = self.version();
        for pending in self.pending.drain(..) {
            Ack::new(pending.packet_id, pending.reason).encode(
                pending.ack_type,
                version,
                &mut self.answers,
            );
        }
    }

    /// The messages are not stored: a client of MQTT 5.0 is told so for each of them; another one
    /// is disconnected without an acknowledgement, so that it sends them again.
    pub(crate) fn refuse_pending(
        &mut self,
        messages: &[Publication<'_>],
        error: StoreError,
    ) -> Result<(), CloseReason> {
        let all_are_acknowledged = messages.iter().all(|message| message.qos > QoS::AtMostOnce);
        // What was noted as received was not.
        for pending in self.pending.iter().filter(|pending| pending.is_for_new) {
            self.session.release(pending.packet_id);
        }
        if self.version() != ProtocolVersion::V5 || !all_are_acknowledged {
            self.pending.clear();
            return Err(error.into());
        }
        log::error!(
            "{}: {} messages refused: {error}",
            self.name(),
            messages.len()
        );
        let words = error.to_string();
        let terms = *self.link.terms();
        for pending in self.pending.drain(..) {
            let mut ack = Ack::new(pending.packet_id, pending.reason);
            if pending.is_for_new {
                ack.reason = not_stored_code(&error);
                ack.reason_string = terms.wants_reasons.then_some(words.as_str());
            }
            let start = self.answers.len();
            ack.encode(pending.ack_type, terms.version, &mut self.answers);
            // [MQTT-3.4.2-2] the words are the first to go.
            if self.answers.len() - start > terms.packet_len_max {
                self.answers.truncate(start);
                Ack {
                    reason_string: None,
                    ..ack
                }
                .encode(pending.ack_type, terms.version, &mut self.answers);
            }
        }
        Ok(())
    }
}
