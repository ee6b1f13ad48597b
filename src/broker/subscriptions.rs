//! Who gets which message.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::tree::Tree;
use super::{Session, SessionNumber};
use crate::codec::QoS;
use crate::lock::lock;

/// The subscription table: one for all clients, behind a mutex.
///
/// Publishers rarely take the mutex: they remember what a topic matched, and that holds while
/// [`Subscriptions::generation`] stands still.
#[derive(Debug, Default)]
pub struct Subscriptions {
    table: Mutex<Tree<Vec<Subscription>>>,
    generation: AtomicU64,
}

/// One session's subscription to one filter, or to several that matched the same message.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Who subscribed.
    pub session: Arc<Session>,
    /// The highest quality of service it wants messages with.
    pub qos: QoS,
}

impl Subscriptions {
    /// Changes with every change of the table. Read it before [`Subscriptions::matching`]: what
    /// that finds is then at least as new.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Enters a subscription; one of the same session to the same filter is replaced
    /// [MQTT-3.8.4-3]. Returns whether it is a new one.
    pub fn subscribe(&self, filter: &str, subscription: Subscription) -> bool {
        let mut table = lock(&self.table);
        let there = table.slot(filter).get_or_insert_default();
        let found = position(there, subscription.session.number());
        let is_new = found.is_err();
        match found {
            Ok(index) => there[index] = subscription,
            Err(index) => there.insert(index, subscription),
        }
        self.generation.fetch_add(1, Ordering::Release);
        is_new
    }

    /// Removes the subscription to exactly this filter [MQTT-3.10.4-1]. Returns whether there was
    /// one.
    pub fn unsubscribe(&self, filter: &str, session: SessionNumber) -> bool {
        let mut table = lock(&self.table);
        let Some(there) = table.get_mut(filter) else {
            return false;
        };
        let Ok(index) = position(there, session) else {
            return false;
        };
        there.remove(index);
        if there.is_empty() {
            table.remove(filter);
        }
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// Who gets a message of this topic, a valid topic name: each session once, with the highest quality of service
    /// among its filters that match [MQTT-3.3.5-1 in 3.1.1].
    pub fn matching(&self, topic: &str) -> Vec<Subscription> {
        let mut matching: Vec<Subscription> = Vec::new();
        {
            let table = lock(&self.table);
            table.matching_filters(topic, |there| matching.extend_from_slice(there));
        }
        matching.sort_unstable_by_key(|subscription| {
            (
                subscription.session.number(),
                std::cmp::Reverse(subscription.qos),
            )
        });
        matching.dedup_by_key(|subscription| subscription.session.number());
        matching
    }
}

/// Each filter's subscriptions are sorted by session, so that 100,000 of them are no burden.
fn position(there: &[Subscription], session: SessionNumber) -> Result<usize, usize> {
    there.binary_search_by_key(&session, |subscription| subscription.session.number())
}
