//! What the clients' threads share: who is connected, who subscribed to what, retained messages,
//! and each client's outbox.
//!
//! This module knows nothing of InfluxDB and reads no socket.

mod fan_out;
mod keeper;
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
pub use keeper::Keeper;
pub use link::{Link, Terms};
pub use outbox::{Outbox, OutboxLimits};
pub use retained::Retained;
pub use session::{Attached, Detached, Held, Leaving, QueueLimits, Session, SessionNumber};
pub use sessions::{Opened, Sessions};
pub use subscriptions::{Matching, Own, Receiver, Share, Subscription, Subscriptions};
pub use timers::{Due, Timers, WhatIsDue};

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use log::info;

use crate::auth::Access;
use crate::config::Config;
use crate::limits::{Limit, Limits};
use crate::lock::lock;
use crate::message::Message;
use crate::state::{Change, Restored, State, StateError};
use crate::store::Store;
use crate::topic::SubscriptionFilter;

/// All that the clients' threads share.
#[derive(Debug)]
pub struct Broker {
    /// Where messages are stored; `None` makes it a broker without a store.
    pub store: Option<Store>,
    /// Who may connect and do what.
    pub access: Arc<Access>,
    /// Who is connected, or will come back.
    pub sessions: Sessions,
    /// Who gets which message.
    pub subscriptions: Subscriptions,
    /// What a new subscriber gets at once.
    pub retained: Retained,
    /// Brings sessions and retained messages to disk.
    pub keeper: Arc<Keeper>,
    /// What is to happen later.
    pub timers: Timers,
    /// How much of all this one client may take.
    pub limits: Limits,
    /// The settings, the limits among them.
    pub config: Config,
}

impl Broker {
    /// A broker with what an earlier process left in `state`.
    ///
    /// # Errors
    /// When the state cannot be read, or the keeper's thread cannot be started.
    pub fn start(
        config: Config,
        access: Access,
        store: Option<Store>,
        state: Arc<Mutex<State>>,
    ) -> Result<Self, StateError> {
        let (sessions, retained) = {
            let mut state = lock(&state);
            state.drop_orphans()?;
            (state.sessions()?, state.retained()?)
        };
        let keeper = Keeper::start(state)?;
        let limits = QueueLimits {
            bytes_max: config.max_queued_bytes,
            messages_max: config.max_queued_messages,
            in_flight_max: config.max_inflight,
            when_full: config.when_queue_full,
        };
        let broker = Self {
            store,
            access: Arc::new(access),
            sessions: Sessions::new(limits, Arc::clone(&keeper)),
            subscriptions: Subscriptions::default(),
            retained: Retained::default(),
            keeper,
            timers: Timers::default(),
            limits: Limits::new(&config),
            config,
        };
        if !sessions.is_empty() || !retained.is_empty() {
            info!(
                "restored {} sessions and {} retained messages",
                sessions.len(),
                retained.len()
            );
        }
        retained
            .into_iter()
            .for_each(|message| _ = broker.retained.set(&Arc::new(message), usize::MAX, || {}));
        sessions
            .into_iter()
            .for_each(|session| broker.restore(session));
        Ok(broker)
    }

    fn restore(&self, restored: Restored) {
        let kept = restored.session.clone();
        let subscriptions = restored.subscriptions.clone();
        let session = self.sessions.restore(restored);
        for subscription in subscriptions {
            // It was valid when it was subscribed to.
            let Ok(filter) = SubscriptionFilter::new(&subscription.filter) else {
                continue;
            };
            let session = Arc::clone(&session);
            let subscription = Subscription {
                session,
                qos: subscription.qos,
                no_local: subscription.no_local,
                retain_as_published: subscription.retain_as_published,
                identifier: subscription.identifier,
            };
            self.subscriptions.subscribe(&filter, subscription);
        }
        // A client that was connected when the process ended was disconnected by that.
        let detached_at = kept.detached_at.unwrap_or_else(SystemTime::now);
        if kept.detached_at.is_none() {
            session.note_detached(kept.expiry_s, kept.will.is_none());
        }
        let gone_for = detached_at.elapsed().unwrap_or_default();
        if kept.will.is_some() {
            self.set_timer(&session, 0, kept.will_delay_s, gone_for, WhatIsDue::Will);
        }
        if kept.expiry_s < u32::MAX {
            if gone_for >= Duration::from_secs(kept.expiry_s.into()) {
                // Nobody gets it any more, not even before the timer has seen to the rest.
                session.expire(0);
            }
            self.set_timer(&session, 0, kept.expiry_s, gone_for, WhatIsDue::Expiry);
        }
    }

    /// Looks at the session again when `seconds` have passed since its client left, which was
    /// `gone_for` ago.
    pub fn set_timer(
        &self,
        session: &Arc<Session>,
        attachment: u64,
        seconds: u32,
        gone_for: Duration,
        what: WhatIsDue,
    ) {
        let left = Duration::from_secs(seconds.into()).saturating_sub(gone_for);
        let session = Arc::downgrade(session);
        self.timers.set(
            Instant::now() + left,
            Due {
                session,
                attachment,
                what,
            },
        );
    }

    /// Keeps a retained message, and notes that for the disk. Who must know it there waits for the
    /// keeper.
    pub fn retain(&self, message: &Arc<Message>) {
        let note = || self.keeper.note([Change::Retain(Arc::clone(message))]);
        let max = self.config.max_retained;
        if !self.retained.set(message, max, note) {
            let what = format!("topic {:?}", message.topic);
            self.limits.bites.note(Limit::Retained, &what);
        }
    }

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
