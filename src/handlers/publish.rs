//! PUBLISH.

use std::ops::Range;

use crate::close_reason::CloseReason;
use crate::codec::{Ack, AckType, Publish, QoS, ReasonCode};
use crate::connection::Connection;
use crate::publisher::Message;

impl Connection<'_> {
    /// Takes a message into the run, with the acknowledgement that is sent once it is stored.
    pub(super) fn on_publish<'a>(
        &mut self,
        publish: &Publish<'a>,
        place: Range<usize>,
        messages: &mut Vec<Message<'a>>,
    ) -> Result<(), CloseReason> {
        let version = self.session.version();
        if let Some(packet_id) = publish.packet_id {
            let ack_type = match publish.qos {
                QoS::AtMostOnce | QoS::AtLeastOnce => AckType::PubAck,
                QoS::ExactlyOnce => AckType::PubRec,
            };
            Ack::new(packet_id, ReasonCode::Success).encode(ack_type, version, &mut self.answers);
            // [MQTT-4.3.3-2 in 3.1.1] until PUBREL it is the same message, sent again. If the store
            // fails now the connection ends, and the session with it.
            if publish.qos == QoS::ExactlyOnce && !self.received.insert(packet_id) {
                return Ok(());
            }
        }
        let message = self
            .publisher
            .message(self.broker, publish, place)
            .map_err(|what| CloseReason::Refused {
                code: ReasonCode::TopicNameInvalid,
                what: format!("PUBLISH: {what}"),
            })?;
        // It is acknowledged all the same: MQTT 3.1.1 has no way to refuse one message.
        if self
            .publisher
            .may_write(self.broker, &self.session, &message)
        {
            messages.push(message);
        }
        Ok(())
    }
}
