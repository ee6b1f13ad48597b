//! All sessions, by client identifier.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::{Keeper, Link, QueueLimits, Session, SessionNumber};
use crate::lock::lock;
use crate::state::Restored;

/// The sessions of clients that are connected, and of those that will come back. A client
/// identifier is there once.
#[derive(Debug)]
pub struct Sessions {
    limits: QueueLimits,
    keeper: Arc<Keeper>,
    /// The number of the next new session.
    next: AtomicU64,
    by_id: Mutex<HashMap<Arc<str>, Arc<Session>>>,
}

/// What [`Sessions::open`] found.
#[derive(Debug)]
pub struct Opened {
    /// The session to use.
    pub session: Arc<Session>,
    /// Whether it was there before [MQTT-3.2.2-2].
    pub is_present: bool,
    /// The one that it replaces, which the caller ends.
    pub replaced: Option<Arc<Session>>,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(limits: QueueLimits, keeper: Arc<Keeper>) -> Self {
        Self {
            limits,
            keeper,
            next: AtomicU64::new(1),
            by_id: Mutex::default(),
        }
    }

    /// Enters a session that an earlier process has left.
    pub fn restore(&self, restored: Restored) -> Arc<Session> {
        let session = Session::restore(restored, self.limits, &self.keeper);
        self.next
            .fetch_max(session.number().0 + 1, Ordering::Relaxed);
        lock(&self.by_id).insert(Arc::clone(session.client_id()), Arc::clone(&session));
        session
    }

    /// Whether the client has a session, or there are fewer than `max`. Clients that come at the
    /// same moment may exceed it by their number.
    pub fn has_room_for(&self, client_id: &str, max: usize) -> bool {
        let by_id = lock(&self.by_id);
        by_id.len() < max || by_id.contains_key(client_id)
    }

    /// Finds the client's session, or makes a new one: always, if the client wants a clean start
    /// [MQTT-3.1.2-4].
    pub fn open(&self, client_id: &str, clean_start: bool) -> Opened {
        let mut by_id = lock(&self.by_id);
        if !clean_start && let Some(session) = by_id.get(client_id) {
            return Opened {
                session: Arc::clone(session),
                is_present: true,
                replaced: None,
            };
        }
        let number = SessionNumber(self.next.fetch_add(1, Ordering::Relaxed));
        let session = Session::new(number, client_id, self.limits, &self.keeper);
        let replaced = by_id.insert(Arc::clone(session.client_id()), Arc::clone(&session));
        Opened {
            session,
            is_present: false,
            replaced,
        }
    }

    /// Takes a session out, unless another one has taken its place already.
    pub fn remove(&self, session: &Session) {
        let mut by_id = lock(&self.by_id);
        if by_id
            .get(session.client_id())
            .is_some_and(|there| there.number() == session.number())
        {
            by_id.remove(session.client_id());
        }
    }

    /// The links to all clients that are connected now.
    pub fn links(&self) -> Vec<Arc<Link>> {
        let sessions: Vec<_> = lock(&self.by_id).values().cloned().collect();
        sessions
            .iter()
            .filter_map(|session| session.link())
            .collect()
    }
}
