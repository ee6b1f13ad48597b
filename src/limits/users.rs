//! Who may come in, by user name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::Exceeded;
use super::admission::is_reached;
use crate::lock::lock;

/// Counts the clients of each user.
///
/// Clients are counted, not their connections: one that comes back while its broken connection is
/// still there takes that one over, and is never turned away for it.
#[derive(Debug)]
pub struct Users {
    clients_max: usize,
    users: Mutex<HashMap<Box<str>, Clients>>,
}

/// How many connections each client identifier has, for the moment of a take-over.
type Clients = HashMap<Box<str>, usize>;

impl Users {
    /// At most `clients_max` clients of one user; 0 is no limit, and nothing is counted then.
    #[must_use]
    pub fn new(clients_max: usize) -> Self {
        Self {
            clients_max,
            users: Mutex::default(),
        }
    }

    /// Counts the client `client_id` of `user`, for as long as its seat is kept. Anonymous clients
    /// are not counted: they have their address alone.
    ///
    /// # Errors
    /// When the user has as many clients as one may have. Nothing is counted then.
    pub fn enter(
        self: &Arc<Self>,
        user: Option<&str>,
        client_id: &str,
    ) -> Result<Option<UserSeat>, Exceeded> {
        let Some(user) = user.filter(|_| self.clients_max > 0) else {
            return Ok(None);
        };
        let mut users = lock(&self.users);
        let clients = users.entry(user.into()).or_default();
        if !clients.contains_key(client_id) && is_reached(self.clients_max, clients.len()) {
            return Err(Exceeded::ConnectionsPerUser(user.into()));
        }
        *clients.entry(client_id.into()).or_default() += 1;
        Ok(Some(UserSeat {
            users: Arc::clone(self),
            user: user.into(),
            client_id: client_id.into(),
        }))
    }

    fn leave(&self, user: &str, client_id: &str) {
        let mut users = lock(&self.users);
        let Some(clients) = users.get_mut(user) else {
            return;
        };
        if let Some(connections) = clients.get_mut(client_id) {
            *connections -= 1;
            if *connections == 0 {
                clients.remove(client_id);
            }
        }
        if clients.is_empty() {
            users.remove(user);
        }
    }
}

/// A user's client that counts until this is dropped.
#[derive(Debug)]
pub struct UserSeat {
    users: Arc<Users>,
    user: Box<str>,
    client_id: Box<str>,
}

impl Drop for UserSeat {
    fn drop(&mut self) {
        self.users.leave(&self.user, &self.client_id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn counts_clients_and_not_connections() {
        let users = Arc::new(Users::new(1));
        let old = users.enter(Some("ann"), "sensor").unwrap();
        let new = users.enter(Some("ann"), "sensor").unwrap();
        drop(old);
        let refused = users.enter(Some("ann"), "other").unwrap_err();
        assert_eq!(refused, Exceeded::ConnectionsPerUser("ann".into()));
        let _bob = users.enter(Some("bob"), "other").unwrap();
        drop(new);
        assert!(users.enter(Some("ann"), "other").is_ok());
    }

    #[test]
    fn does_not_count_the_anonymous() {
        let users = Arc::new(Users::new(1));
        let seats: Vec<_> = ["a", "b"].map(|id| users.enter(None, id).unwrap()).into();
        assert!(seats.iter().all(Option::is_none));
    }

    #[test]
    fn remembers_nobody_who_has_gone() {
        let users = Arc::new(Users::new(1));
        drop(users.enter(Some("ann"), "sensor").unwrap());
        assert!(lock(&users.users).is_empty());
    }
}
