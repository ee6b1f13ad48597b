//! Who gets which message.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::tree::Tree;
use super::{Session, SessionNumber};
use crate::codec::QoS;
use crate::lock::lock;
use crate::topic::SubscriptionFilter;

/// The subscription table: one for all clients, behind a mutex.
///
/// Publishers rarely take the mutex: they remember what a topic matched, and that holds while
/// [`Subscriptions::generation`] stands still.
#[derive(Debug, Default)]
pub struct Subscriptions {
    table: Mutex<Tree<Subscribers>>,
    generation: AtomicU64,
}

/// One session's subscription to one filter.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Who subscribed.
    pub session: Arc<Session>,
    /// The highest quality of service it wants messages with.
    pub qos: QoS,
    /// It does not want its own messages [MQTT-3.8.3-3].
    pub no_local: bool,
    /// It wants RETAIN as the publisher set it [MQTT-3.3.1-12, 3.3.1-13].
    pub retain_as_published: bool,
    /// To be sent with each message [MQTT-3.3.4-3].
    pub identifier: Option<u32>,
}

/// Who subscribed to one filter.
#[derive(Debug, Default)]
struct Subscribers {
    /// Sorted by session, so that 100,000 of them are no burden.
    each: Vec<Subscription>,
    shares: Vec<Arc<Share>>,
}

/// A shared subscription: of its members, one gets each message.
#[derive(Debug)]
pub struct Share {
    name: Box<str>,
    /// Never empty.
    members: Vec<Subscription>,
    /// Whose turn it is.
    next: AtomicUsize,
}

/// Who gets a message.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// Each session once.
    pub receivers: Vec<Receiver>,
    /// Of each, one member gets it too.
    pub shares: Vec<Arc<Share>>,
}

/// A session that gets a message, by one subscription or several together.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Who gets it.
    pub session: Arc<Session>,
    /// The highest quality of service among the subscriptions [MQTT-3.3.4-2].
    pub qos: QoS,
    /// Whether one of them wants RETAIN as published.
    pub retain_as_published: bool,
    /// Of all that have one [MQTT-3.3.4-4].
    pub identifiers: Box<[u32]>,
    /// What is different if the session itself is the publisher; most often nothing.
    pub own: Own,
}

/// What a session gets of its own messages.
#[derive(Clone, Debug)]
pub enum Own {
    /// As any other.
    Same,
    /// None: all its subscriptions are no-local.
    Nothing,
    /// By those of its subscriptions that are not no-local.
    Less(Box<Receiver>),
}

impl Subscriptions {
    /// Changes with every change of the table. Read it before [`Subscriptions::matching`]: what
    /// that finds is then at least as new.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes publishers look again who gets what: somebody has other rights than before.
    pub fn touch(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Enters a subscription; one of the same session to the same filter is replaced
    /// [MQTT-3.8.4-3].
    pub fn subscribe(&self, filter: &SubscriptionFilter<'_>, subscription: Subscription) {
        let mut table = lock(&self.table);
        let there = table.slot(filter.filter.as_str()).get_or_insert_default();
        match filter.share {
            None => insert(&mut there.each, subscription),
            Some(name) => there.change_share(name, |members| insert(members, subscription)),
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Removes the subscription to exactly this filter [MQTT-3.10.4-1], if there is one.
    pub fn unsubscribe(&self, filter: &SubscriptionFilter<'_>, session: SessionNumber) {
        let mut table = lock(&self.table);
        let Some(there) = table.get_mut(filter.filter.as_str()) else {
            return;
        };
        match filter.share {
            None => remove(&mut there.each, session),
            Some(name) => there.change_share(name, |members| remove(members, session)),
        }
        if there.each.is_empty() && there.shares.is_empty() {
            table.remove(filter.filter.as_str());
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Who gets a message of this topic, a valid topic name.
    pub fn matching(&self, topic: &str) -> Matching {
        let mut found: Vec<Subscription> = Vec::new();
        let mut shares = Vec::new();
        lock(&self.table).matching_filters(topic, |there| {
            found.extend_from_slice(&there.each);
            shares.extend_from_slice(&there.shares);
        });
        found.sort_by_key(|subscription| subscription.session.number());
        let of_one = found.chunk_by(|one, next| one.session.number() == next.session.number());
        Matching {
            receivers: of_one.filter_map(Receiver::new).collect(),
            shares,
        }
    }
}

impl Matching {
    /// Whether nobody gets it.
    pub fn is_empty(&self) -> bool {
        self.receivers.is_empty() && self.shares.is_empty()
    }
}

impl Receiver {
    /// Joins the subscriptions of one session; `None` if there is none.
    fn new(subscriptions: &[Subscription]) -> Option<Self> {
        let own = match subscriptions
            .iter()
            .filter(|subscription| subscription.no_local)
            .count()
        {
            0 => Own::Same,
            count if count == subscriptions.len() => Own::Nothing,
            _ => {
                let others: Vec<_> = subscriptions
                    .iter()
                    .filter(|subscription| !subscription.no_local)
                    .cloned()
                    .collect();
                Self::new(&others).map_or(Own::Nothing, |receiver| Own::Less(Box::new(receiver)))
            }
        };
        Some(Self {
            session: Arc::clone(&subscriptions.first()?.session),
            qos: subscriptions
                .iter()
                .map(|subscription| subscription.qos)
                .max()?,
            retain_as_published: subscriptions
                .iter()
                .any(|subscription| subscription.retain_as_published),
            identifiers: subscriptions
                .iter()
                .filter_map(|subscription| subscription.identifier)
                .collect(),
            own,
        })
    }

    /// What this receiver gets of a message that `publisher` published, if anything.
    pub fn of(&self, publisher: Option<SessionNumber>) -> Option<&Self> {
        match &self.own {
            Own::Same => Some(self),
            _ if publisher != Some(self.session.number()) => Some(self),
            Own::Nothing => None,
            Own::Less(receiver) => Some(receiver),
        }
    }
}

impl Share {
    /// Who gets the next message: the members in turn, but not one who is away while another is
    /// there [MQTT-4.8.2-4, 4.8.2-5].
    pub fn pick(&self) -> Option<Receiver> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.members.len()).filter_map(|offset| {
            self.members
                .get(start.wrapping_add(offset) % self.members.len())
        });
        let connected = in_turn.clone().find(|member| member.session.is_connected());
        let picked = connected.or(in_turn.clone().next())?;
        Receiver::new(std::slice::from_ref(picked))
    }
}

impl Subscribers {
    /// Publishers may hold the share as it is now, so a changed one takes its place.
    fn change_share(&mut self, name: &str, change: impl FnOnce(&mut Vec<Subscription>)) {
        let index = self.shares.iter().position(|share| *share.name == *name);
        let old = index.map(|index| self.shares.swap_remove(index));
        let mut members = old
            .as_ref()
            .map(|share| share.members.clone())
            .unwrap_or_default();
        change(&mut members);
        if !members.is_empty() {
            let next = old.map_or(0, |share| share.next.load(Ordering::Relaxed));
            self.shares.push(Arc::new(Share {
                name: name.into(),
                members,
                next: next.into(),
            }));
        }
    }
}

fn insert(there: &mut Vec<Subscription>, subscription: Subscription) {
    match position(there, subscription.session.number()) {
        Ok(index) => there[index] = subscription,
        Err(index) => there.insert(index, subscription),
    }
}

fn remove(there: &mut Vec<Subscription>, session: SessionNumber) {
    if let Ok(index) = position(there, session) {
        there.remove(index);
    }
}

fn position(there: &[Subscription], session: SessionNumber) -> Result<usize, usize> {
    there.binary_search_by_key(&session, |subscription| subscription.session.number())
}
