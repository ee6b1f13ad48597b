//! SUBSCRIBE.

use std::sync::Arc;
use std::time::SystemTime;

use log::warn;

use crate::broker::Subscription;
use crate::close_reason::CloseReason;
use crate::codec::{
    Publish, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, UserProperties,
};
use crate::connection::Connection;
use crate::message::Message;
use crate::publisher::check_limits;
use crate::session::Delivery;
use crate::state::{Change, KeptSubscription};
use crate::topic::SubscriptionFilter;

/// Retained messages are sent in pieces of about this many bytes.
const RETAINED_PIECE: usize = 64 * 1024;

/// How many of them are looked at together: whether they are still current is asked for so many.
const RETAINED_CHUNK: usize = 256;

impl Connection<'_> {
    /// Enters subscriptions, answers with a code for each in their order [MQTT-3.8.4-6], and sends
    /// the retained messages that match them.
    pub(super) fn on_subscribe(&mut self, subscribe: &Subscribe<'_>) -> Result<(), CloseReason> {
        let mut reason_codes = Vec::with_capacity(subscribe.filters.len());
        let mut with_retained = Vec::new();
        let mut refused = 0;
        let mut last_refusal = String::new();
        for filter in subscribe.filters {
            match self.subscribe(&filter, subscribe.subscription_identifier) {
                Ok(is_new) => {
                    reason_codes.push(granted(filter.qos));
                    if sends_retained(&filter, is_new) {
                        // Looked for before SUBACK: what is published after it comes as any other
                        // message.
                        let retained = self.broker.retained.matching(filter.filter.as_str());
                        with_retained.push((filter.qos, retained));
                    }
                }
                Err((code, what)) => {
                    reason_codes.push(code);
                    refused += 1;
                    last_refusal = what;
                }
            }
        }
        if refused > 0 {
            // One line for all: a packet has room for a million filters.
            warn!(
                "{}: {refused} subscriptions refused, the last: {last_refusal}",
                self.name()
            );
        }
        let answer = SubAck {
            packet_id: subscribe.packet_id,
            reason_codes: &reason_codes,
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        let version = self.version();
        self.answer(|out| answer.encode(version, out))?;
        self.send_answers()?;
        for (qos, retained) in with_retained {
            self.send_retained(retained, qos, subscribe.subscription_identifier)?;
        }
        Ok(())
    }

    /// Enters one subscription. Returns whether it is a new one, or why it is refused.
    fn subscribe(
        &mut self,
        filter: &SubscribeFilter<'_>,
        identifier: Option<u32>,
    ) -> Result<bool, (ReasonCode, String)> {
        let config = &self.broker.config;
        if let Err(what) = check_limits(filter.full, config) {
            return Err((ReasonCode::TopicFilterInvalid, what));
        }
        let Some(is_new) = self
            .session
            .add_filter(filter.full, config.max_subscriptions)
        else {
            let what = format!(
                "more subscriptions than max-subscriptions {}",
                config.max_subscriptions
            );
            return Err((ReasonCode::QuotaExceeded, what));
        };
        let subscription = Subscription {
            session: Arc::clone(&self.session),
            qos: filter.qos,
            no_local: filter.no_local,
            retain_as_published: filter.retain_as_published,
            identifier,
        };
        if self.session.is_kept() {
            let subscription = KeptSubscription {
                filter: filter.full.into(),
                qos: filter.qos,
                no_local: filter.no_local,
                retain_as_published: filter.retain_as_published,
                identifier,
            };
            self.changes
                .push(Change::Subscribe(self.session.number().0, subscription));
        }
        let SubscribeFilter {
            filter,
            share,
            full,
            ..
        } = *filter;
        let filter = SubscriptionFilter {
            filter,
            share,
            full,
        };
        let subscriptions = &self.broker.subscriptions;
        subscriptions.subscribe(&filter, subscription);
        // A clean start may have ended the session since it noted the filter, and then nobody else
        // would ever take the subscription out again.
        if self.session.is_over() {
            subscriptions.unsubscribe(&filter, self.session.number());
        }
        Ok(is_new)
    }

    /// Sends what was found to be retained, with RETAIN 1 [MQTT-3.3.1-8 in 3.1.1]. A message that
    /// was replaced since is left out: its successor comes as any other message, and it would come
    /// after that one.
    fn send_retained(
        &self,
        retained: Vec<Arc<Message>>,
        qos: QoS,
        identifier: Option<u32>,
    ) -> Result<(), CloseReason> {
        let identifiers: Box<[u32]> = identifier.into_iter().collect();
        let (plain, mut acknowledged): (Vec<_>, Vec<_>) = retained
            .into_iter()
            .filter(|message| self.link.may_read(&message.topic))
            .partition(|message| message.qos.min(qos) == QoS::AtMostOnce);
        self.broker.retained.leave_current(&mut acknowledged);
        self.session
            .deliver_all(acknowledged.into_iter().map(|message| Delivery {
                qos: message.qos.min(qos),
                message,
                retain: true,
                dup: false,
                subscription_identifiers: identifiers.clone(),
            }))?;

        let mut bytes = Vec::new();
        for chunk in plain.chunks(RETAINED_CHUNK) {
            let mut chunk = chunk.to_vec();
            self.broker.retained.leave_current(&mut chunk);
            for message in chunk {
                self.encode_retained(&message, &identifiers, &mut bytes);
                // Few sends, and little memory. The client's own thread waits while the client does
                // not read. Should the outbox be closed meanwhile, then the next read tells why.
                if bytes.len() >= RETAINED_PIECE && !self.send_retained_piece(&mut bytes) {
                    return Ok(());
                }
            }
            if !self.send_retained_piece(&mut bytes) {
                break;
            }
        }
        Ok(())
    }

    fn encode_retained(&self, message: &Message, identifiers: &[u32], bytes: &mut Vec<u8>) {
        let terms = self.link.terms();
        let Some(mut properties) = message.properties_at(SystemTime::now()) else {
            return;
        };
        properties.subscription_identifiers = identifiers;
        let publish = Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: true,
            topic: &message.topic,
            packet_id: None,
            properties,
            payload: &message.payload,
        };
        if publish.encoded_len(terms.version) <= terms.packet_len_max {
            publish.encode(terms.version, bytes);
        }
    }

    /// Returns `false` if the outbox is closed.
    fn send_retained_piece(&self, bytes: &mut Vec<u8>) -> bool {
        let is_open = bytes.is_empty() || self.link.outbox().deliver_patiently(bytes);
        bytes.clear();
        is_open
    }
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::GRANTED_QOS_0,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

/// Never for a shared subscription; otherwise as the client says [MQTT-3.3.1-9 to 3.3.1-11].
fn sends_retained(filter: &SubscribeFilter<'_>, is_new: bool) -> bool {
    filter.share.is_none()
        && match filter.retain_handling {
            RetainHandling::SendAlways => true,
            RetainHandling::SendIfNew => is_new,
            RetainHandling::SendNever => false,
        }
}
