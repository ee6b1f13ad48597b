//! SUBSCRIBE.

use std::sync::Arc;

use log::warn;

use crate::broker::Subscription;
use crate::close_reason::CloseReason;
use crate::codec::{
    Publish, PublishProperties, QoS, ReasonCode, SubAck, Subscribe, SubscribeFilter, UserProperties,
};
use crate::connection::Connection;
use crate::publisher::check_limits;

/// The highest quality of service that a subscription is granted.
const QOS_GRANTED_MAX: QoS = QoS::AtMostOnce;

/// Retained messages are sent in pieces of this many bytes: few sends, and little memory.
const RETAINED_PIECE: usize = 64 * 1024;

impl Connection<'_> {
    /// Enters subscriptions, answers with a code for each in their order [MQTT-3.8.4-5 in 3.1.1],
    /// and sends the retained messages that match them.
    pub(super) fn on_subscribe(&mut self, subscribe: &Subscribe<'_>) -> Result<(), CloseReason> {
        let reason_codes: Vec<_> = subscribe
            .filters
            .map(|filter| self.subscribe(&filter))
            .collect();
        let answer = SubAck {
            packet_id: subscribe.packet_id,
            reason_codes: &reason_codes,
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        answer.encode(self.session.version(), &mut self.answers);
        self.session.outbox().answer(&self.answers);
        self.answers.clear();
        for (filter, reason) in subscribe.filters.zip(reason_codes) {
            if !reason.is_error() && !self.send_retained(&filter) {
                // The outbox was closed meanwhile; the next read tells why.
                break;
            }
        }
        Ok(())
    }

    fn subscribe(&mut self, filter: &SubscribeFilter<'_>) -> ReasonCode {
        let limits = &self.broker.config;
        let refusal = match check_limits(filter.full, limits) {
            Err(what) => Some((ReasonCode::TopicFilterInvalid, what)),
            Ok(()) if filter.share.is_some() => Some((
                ReasonCode::SharedSubscriptionsNotSupported,
                "shared subscription".to_owned(),
            )),
            Ok(())
                if self.filters.len() >= limits.max_subscriptions
                    && !self.filters.contains(filter.full) =>
            {
                let what = format!(
                    "more subscriptions than max-subscriptions {}",
                    limits.max_subscriptions
                );
                Some((ReasonCode::QuotaExceeded, what))
            }
            Ok(()) => None,
        };
        if let Some((reason, what)) = refusal {
            warn!(
                "{}: subscription refused: {what}",
                self.session.outbox().name()
            );
            return reason;
        }
        let qos = filter.qos.min(QOS_GRANTED_MAX);
        let subscription = Subscription {
            session: Arc::clone(&self.session),
            qos,
        };
        self.broker
            .subscriptions
            .subscribe(filter.full, subscription);
        self.filters.insert(filter.full.into());
        match qos {
            QoS::AtMostOnce => ReasonCode::GRANTED_QOS_0,
            QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
            QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
        }
    }

    /// Sends what is retained under the filter, with RETAIN 1 [MQTT-3.3.1-8 in 3.1.1]. The client's
    /// own thread waits while it does not read. Returns `false` if the outbox was closed meanwhile.
    fn send_retained(&self, filter: &SubscribeFilter<'_>) -> bool {
        let outbox = self.session.outbox();
        let mut bytes = Vec::new();
        let mut count = 0;
        let principal = self.session.principal();
        for message in self.broker.retained.matching(filter.full) {
            if !principal.may_read(&self.broker.access, &message.topic) {
                continue;
            }
            let publish = Publish {
                dup: false,
                qos: QoS::AtMostOnce,
                retain: true,
                topic: &message.topic,
                packet_id: None,
                properties: PublishProperties::default(),
                payload: &message.payload,
            };
            publish.encode(self.session.version(), &mut bytes);
            count += 1;
            if bytes.len() >= RETAINED_PIECE {
                if !outbox.deliver_patiently(&bytes, count) {
                    return false;
                }
                bytes.clear();
                count = 0;
            }
        }
        bytes.is_empty() || outbox.deliver_patiently(&bytes, count)
    }
}
