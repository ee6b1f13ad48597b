//! Which client is connected, by client identifier.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::Session;
use crate::close_reason::EndedBy;
use crate::lock::lock;

/// The connected clients. A client identifier is there once.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: Mutex<HashMap<Arc<str>, Arc<Session>>>,
}

impl Clients {
    /// Enters a client. Another connection with the same client identifier is ended
    /// [MQTT-3.1.4-2 in 3.1.1, MQTT-3.1.4-3].
    pub fn attach(&self, session: &Arc<Session>) {
        let old = lock(&self.by_id).insert(Arc::clone(session.client_id()), Arc::clone(session));
        if let Some(old) = old {
            old.end(EndedBy::TakeOver);
        }
    }

    /// Takes a client out, unless another connection has taken its place already.
    pub fn detach(&self, session: &Session) {
        let mut by_id = lock(&self.by_id);
        if by_id
            .get(session.client_id())
            .is_some_and(|there| there.number() == session.number())
        {
            by_id.remove(session.client_id());
        }
    }

    /// All that are connected now.
    pub fn all(&self) -> Vec<Arc<Session>> {
        lock(&self.by_id).values().cloned().collect()
    }
}
