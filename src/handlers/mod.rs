//! What each packet does.

mod acknowledge;
mod connect;
mod publish;
mod subscribe;
mod unsubscribe;

use std::ops::Range;

pub(crate) use connect::on_connect;

use crate::close_reason::CloseReason;
use crate::codec::{Frame, Packet, PacketType, PingResp, Publish, ReasonCode};
use crate::connection::Connection;
use crate::publisher::Message;

impl Connection<'_> {
    /// Handles one packet, which stands at `place` in `batch`.
    ///
    /// Messages and the acknowledgements that belong to them wait in `messages` and in the answers
    /// until the run of them ends; every other packet ends it first, so that packets take effect in
    /// the order they came.
    pub(crate) fn on_packet<'a>(
        &mut self,
        frame: &Frame<'a>,
        batch: &'a [u8],
        place: Range<usize>,
        messages: &mut Vec<Message<'a>>,
    ) -> Result<(), CloseReason> {
        let version = self.session.version();
        // Most packets are these: not worth the way through the enum of all packets.
        if frame.packet_type == PacketType::Publish {
            return self.on_publish(&Publish::decode(frame, version)?, place, messages);
        }
        let packet = frame.decode(version)?;
        if !matches!(packet, Packet::PubRel(_)) {
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
                self.on_pubrel(&ack);
                Ok(())
            }
            // Answers to messages of QoS 1 and 2, of which none are sent yet: nobody waits for them.
            Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_) => Ok(()),
            Packet::Subscribe(subscribe) => self.on_subscribe(&subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                self.on_unsubscribe(&unsubscribe);
                Ok(())
            }
            Packet::PingReq => {
                PingResp.encode(&mut self.answers);
                Ok(())
            }
            Packet::Disconnect(_) => Err(CloseReason::Disconnected),
            Packet::Auth(_) => Err(CloseReason::Refused {
                code: ReasonCode::ProtocolError,
                what: "AUTH: no authentication method was agreed on".to_owned(),
            }),
        }
    }
}
