//! PUBLISH.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::PendingAck;
use crate::broker::Publication;
use crate::close_reason::CloseReason;
use crate::codec::{AckType, PacketId, PayloadFormat, ProtocolVersion, Publish, QoS, ReasonCode};
use crate::connection::{Connection, SessionExpiry};
use crate::session::Receipt;

/// The highest topic alias that a client may use [MQTT-3.2.2-18]. Each is a topic that is kept.
pub(super) const TOPIC_ALIAS_MAX: u16 = 64;

impl Connection<'_> {
    /// Takes a message into the run, with the acknowledgement that is sent once it is stored.
    pub(super) fn on_publish<'a>(
        &mut self,
        publish: &Publish<'a>,
        place: Range<usize>,
        messages: &mut Vec<Publication<'a>>,
    ) -> Result<(), CloseReason> {
        self.pace.note_message();
        let alias = self.resolve_alias(publish)?;
        let topic = alias.as_deref().unwrap_or(publish.topic);
        let refused = |code, what: String| CloseReason::Refused {
            code,
            what: format!("PUBLISH: {what}"),
        };

        if has_wrong_format(publish) {
            let code = ReasonCode::PayloadFormatInvalid;
            let Some(packet_id) = publish.packet_id else {
                return Err(refused(
                    code,
                    format!("the payload to {topic:?} is not UTF-8 as it says"),
                ));
            };
            self.acknowledge(publish.qos, packet_id, code, false);
            return Ok(());
        }
        // Before anything is noted for it: what is refused here is neither received nor acknowledged.
        let version = self.version();
        let mut message = self
            .publisher
            .take_in(self.broker, publish, topic, version, place)
            .map_err(|what| refused(ReasonCode::TopicNameInvalid, what))?;
        if !self.publisher.may_write(self.broker, &self.link, &message) {
            if let Some(packet_id) = publish.packet_id {
                let code = match version {
                    ProtocolVersion::V5 => ReasonCode::NotAuthorized,
                    // [MQTT-3.3.5-2 in 3.1.1] which has no way to refuse one message.
                    ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => ReasonCode::Success,
                };
                self.acknowledge(publish.qos, packet_id, code, false);
            }
            return Ok(());
        }
        let exactly_once = publish
            .packet_id
            .filter(|_| publish.qos == QoS::ExactlyOnce);
        let mut timestamp_ns = None;
        if let Some(packet_id) = publish.packet_id
            && publish.qos == QoS::AtLeastOnce
            && self.expiry > SessionExpiry::AT_ONCE
        {
            let fingerprint = self.fingerprint(topic, publish.payload);
            message.at_least_once = Some((packet_id, fingerprint));
            if publish.dup {
                timestamp_ns = self.session.timestamp_of_sent(packet_id, fingerprint);
            }
        }
        if let Some(packet_id) = exactly_once {
            // [MQTT-4.3.3-10] until PUBREL it is the same message, sent again.
            let again = match self.session.receive(packet_id) {
                Receipt::New => None,
                Receipt::Unfinished(timestamp) => {
                    timestamp_ns = Some(timestamp);
                    None
                }
                Receipt::UnderWay => Some(true),
                Receipt::Complete => Some(false),
            };
            if let Some(is_for_new) = again {
                self.acknowledge(publish.qos, packet_id, ReasonCode::Success, is_for_new);
                return Ok(());
            }
        }
        if let Some(packet_id) = publish.packet_id {
            self.acknowledge(publish.qos, packet_id, ReasonCode::Success, true);
        }
        message.exactly_once = exactly_once;
        message.timestamp_ns = timestamp_ns;
        messages.push(message);
        Ok(())
    }

    /// Tells this session's messages from one another.
    fn fingerprint(&self, topic: &str, payload: &[u8]) -> u64 {
        FixedState::with_seed(self.session.number().0).hash_one((topic, payload))
    }

    fn acknowledge(&mut self, qos: QoS, packet_id: PacketId, reason: ReasonCode, is_for_new: bool) {
        let ack_type = match qos {
            QoS::AtMostOnce | QoS::AtLeastOnce => AckType::PubAck,
            QoS::ExactlyOnce => AckType::PubRec,
        };
        self.pending.push(PendingAck {
            ack_type,
            packet_id,
            reason,
            is_for_new,
        });
    }

    /// What the topic alias stands for, where the packet has one; sets it where the packet names a
    /// topic too [MQTT-3.3.2-7 to 3.3.2-12].
    fn resolve_alias(&mut self, publish: &Publish<'_>) -> Result<Option<Arc<str>>, CloseReason> {
        let Some(alias) = publish.properties.topic_alias else {
            return Ok(None);
        };
        let invalid = |what| CloseReason::Refused {
            code: ReasonCode::TopicAliasInvalid,
            what,
        };
        if alias.get() > TOPIC_ALIAS_MAX {
            let what =
                format!("PUBLISH: topic alias {alias} is above the maximum {TOPIC_ALIAS_MAX}");
            return Err(invalid(what));
        }
        if !publish.topic.is_empty() {
            self.aliases.insert(alias, publish.topic.into());
        }
        match self.aliases.get(&alias) {
            Some(topic) => Ok(Some(Arc::clone(topic))),
            None => Err(invalid(format!(
                "PUBLISH: topic alias {alias} stands for nothing yet"
            ))),
        }
    }
}

/// Whether the payload says that it is UTF-8 and is not [MQTT-3.3.2-4].
fn has_wrong_format(publish: &Publish<'_>) -> bool {
    publish.properties.payload_format_indicator == Some(PayloadFormat::Utf8)
        && std::str::from_utf8(publish.payload).is_err()
}
