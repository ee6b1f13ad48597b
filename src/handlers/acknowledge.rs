//! PUBACK, PUBREC, PUBREL and PUBCOMP.

use crate::broker::Publication;
use crate::close_reason::{CloseReason, not_safe_code};
use crate::codec::{Ack, AckType, PacketId, ProtocolVersion, QoS, ReasonCode};
use crate::connection::Connection;
use crate::publisher::PublishError;
use crate::state::Change;

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
        if self.session.is_kept() {
            // Otherwise the next message with this packet id could be taken for this one. Also where
            // it was not there: it may still be on disk, where forgetting it had failed.
            self.changes
                .push(Change::Forget(self.session.number().0, ack.packet_id));
        }
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
            .on_acks(&mut self.acks, &mut self.answers, &mut self.changes)
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
        error: PublishError,
    ) -> Result<(), CloseReason> {
        let all_are_acknowledged = messages.iter().all(|message| message.qos > QoS::AtMostOnce);
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
                // [MQTT-4.3.3-9] a refused message is over: its packet id is free.
                if self.session.release(pending.packet_id) && self.session.is_kept() {
                    self.changes
                        .push(Change::Forget(self.session.number().0, pending.packet_id));
                }
                ack.reason = not_safe_code(&error);
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
