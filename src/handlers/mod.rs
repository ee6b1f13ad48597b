//! What each packet does.

mod acknowledge;
mod connect;
mod disconnect;
mod publish;
mod subscribe;
mod unsubscribe;

use std::ops::Range;

pub(crate) use acknowledge::PendingAck;
pub(crate) use connect::on_connect;

use crate::broker::Publication;
use crate::close_reason::CloseReason;
use crate::codec::{Ack, AckType, Frame, Packet, PacketType, PingResp, Publish, ReasonCode};
use crate::connection::Connection;

impl Connection<'_> {
    /// Handles one packet, which stands at `place` in `batch`.
    ///
    /// Messages wait in `messages` until the run of them ends. Acknowledgements do not end it; every
    /// other packet does, so that packets take effect in the order they came.
    pub(crate) fn on_packet<'a>(
        &mut self,
        frame: &Frame<'a>,
        batch: &'a [u8],
        place: Range<usize>,
        messages: &mut Vec<Publication<'a>>,
    ) -> Result<(), CloseReason> {
        let version = self.version();
        // Most packets are these: not worth the way through the enum of all packets.
        if frame.packet_type == PacketType::Publish {
            return self.on_publish(&Publish::decode(frame, version)?, place, messages);
        }
        let packet = frame.decode(version)?;
        if !matches!(
            packet,
            Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_)
        ) {
            self.publish(batch, messages)?;
        }
        match packet {
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => Err(CloseReason::Refused {
                code: ReasonCode::ProtocolError,
                what: "CONNECT: a second one on the same connection".to_owned(),
            }),
            Packet::Publish(publish) => self.on_publish(&publish, place, messages),
            Packet::PubRel(ack) => {
                if self.session.is_under_way(ack.packet_id) {
                    // It must be complete before it can be forgotten.
                    self.publish(batch, messages)?;
                }
                self.on_pubrel(&ack);
                Ok(())
            }
            Packet::PubAck(ack) => self.on_ack(AckType::PubAck, &ack),
            Packet::PubRec(ack) => self.on_ack(AckType::PubRec, &ack),
            Packet::PubComp(ack) => self.on_ack(AckType::PubComp, &ack),
            Packet::Subscribe(subscribe) => self.on_subscribe(&subscribe),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(&unsubscribe),
            Packet::PingReq => {
                PingResp.encode(&mut self.answers);
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(self.on_disconnect(&disconnect)),
            Packet::Auth(_) => Err(CloseReason::Refused {
                code: ReasonCode::ProtocolError,
                what: "AUTH: no authentication method was agreed on".to_owned(),
            }),
        }
    }

    /// Adds an answer that can be neither left out nor shortened.
    ///
    /// # Errors
    /// When it is longer than the client takes [MQTT-3.1.2-24]: a client that asks for so much at
    /// once would wait for ever.
    fn answer(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), CloseReason> {
        let start = self.answers.len();
        encode(&mut self.answers);
        let len = self.answers.len() - start;
        let len_max = self.link.terms().packet_len_max;
        if len > len_max {
            self.answers.truncate(start);
            return Err(CloseReason::Refused {
                code: ReasonCode::PacketTooLarge,
                what: format!(
                    "the answer of {len} bytes is longer than the client takes: {len_max}"
                ),
            });
        }
        Ok(())
    }

    /// Notes an acknowledgement; those of one batch are handled together.
    fn on_ack(&mut self, ack_type: AckType, ack: &Ack<'_>) -> Result<(), CloseReason> {
        self.acks.push((ack_type, ack.packet_id, ack.reason));
        Ok(())
    }
}
