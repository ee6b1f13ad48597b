//! What the clients' threads share: who is connected, who subscribed to what, retained messages,
//! and each client's outbox.
//!
//! This module knows nothing of InfluxDB and reads no socket.

mod fan_out;
mod link;
mod outbox;
mod retained;
mod session;
mod sessions;
mod subscriptions;
mod timers;
mod tree;

pub(crate) use fan_out::trim;
pub use fan_out::{FanOut, Publication, TopicIndex};
pub use link::{Link, Terms};
pub use outbox::{Outbox, OutboxLimits};
pub use retained::Retained;
pub use session::{Attached, Detached, QueueLimits, Session, SessionNumber};
pub use sessions::{Opened, Sessions};
pub use subscriptions::{Matching, Own, Receiver, Share, Subscription, Subscriptions};
pub use timers::{Due, Timers, WhatIsDue};

use crate::config::Config;
use crate::store::Store;
use crate::topic::SubscriptionFilter;

/// All that the clients' threads share.
#[derive(Debug)]
pub struct Broker {
    /// Where messages are stored; `None` makes it a broker without a store.
    pub store: Option<Store>,
    /// Who is connected, or will come back.
    pub sessions: Sessions,
    /// Who gets which message.
    pub subscriptions: Subscriptions,
    /// What a new subscriber gets at once.
    pub retained: Retained,
    /// What is to happen later.
    pub timers: Timers,
    /// The settings, the limits among them.
    pub config: Config,
}

impl Broker {
    /// Ends a session for good, and takes it out of everything. Returns its will, if one was still
    /// to come: it is due now [MQTT-3.1.3-9].
    pub fn end_session(&self, session: &Session) -> Option<Box<[u8]>> {
        self.sessions.remove(session);
        let left = session.discard();
        for filter in left.filters {
            // It was valid when it was subscribed to.
            if let Ok(filter) = SubscriptionFilter::new(&filter) {
                self.subscriptions.unsubscribe(&filter, session.number());
            }
        }
        left.will
    }
}
