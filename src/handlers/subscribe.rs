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
use crate::publisher::check_limits;
use crate::session::Delivery;
use crate::state::{Change, KeptSubscription};
use crate::topic::SubscriptionFilter;

/// Retained messages are sent in pieces of this many bytes: few sends, and little memory.
const RETAINED_PIECE: usize = 64 * 1024;

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
                        with_retained.push(filter);
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
        for filter in with_retained {
            self.send_retained(&filter, subscribe.subscription_identifier);
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

    /// Sends what is retained under the filter, with RETAIN 1 [MQTT-3.3.1-8 in 3.1.1].
    fn send_retained(&self, filter: &SubscribeFilter<'_>, identifier: Option<u32>) {
        let identifiers: Box<[u32]> = identifier.into_iter().collect();
        let (plain, acknowledged): (Vec<_>, Vec<_>) = self
            .broker
            .retained
            .matching(filter.filter.as_str())
            .into_iter()
            .filter(|message| self.link.may_read(&message.topic))
            .partition(|message| message.qos.min(filter.qos) == QoS::AtMostOnce);
        self.session
            .deliver_all(acknowledged.into_iter().map(|message| Delivery {
                qos: message.qos.min(filter.qos),
                message,
                retain: true,
                dup: false,
                subscription_identifiers: identifiers.clone(),
            }));

        let outbox = self.link.outbox();
        let terms = self.link.terms();
        let now = SystemTime::now();
        let mut bytes = Vec::new();
        let mut count = 0;
        for message in plain {
            let Some(mut properties) = message.properties_at(now) else {
                continue;
            };
            properties.subscription_identifiers = &identifiers;
            let publish = Publish {
                dup: false,
                qos: QoS::AtMostOnce,
                retain: true,
                topic: &message.topic,
                packet_id: None,
                properties,
                payload: &message.payload,
            };
            if publish.encoded_len(terms.version) > terms.packet_len_max {
                continue;
            }
            publish.encode(terms.version, &mut bytes);
            count += 1;
            if bytes.len() >= RETAINED_PIECE {
                // The client's own thread waits while the client does not read. Should the outbox be
                // closed meanwhile, then the next read tells why.
                if !outbox.deliver_patiently(&bytes, count) {
                    return;
                }
                bytes.clear();
                count = 0;
            }
        }
        if !bytes.is_empty() {
            outbox.deliver_patiently(&bytes, count);
        }
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
