//! How much of what all clients share one of them may take: connections, CONNECTs, messages and
//! bytes per second.
//!
//! Nothing here blocks, reads a socket or asks for the time: callers pass the time in, and do the
//! waiting. Its locks are leaves: while one is held no other is taken.

mod admission;
mod bites;
pub mod capacity;
mod exceeded;
mod host;
mod pace;
mod token_bucket;
mod users;

pub use admission::{Admission, AdmissionLimits, Seat};
pub use bites::{Bites, Limit};
pub use exceeded::Exceeded;
pub use host::Host;
pub use pace::{Pace, PaceLimits};
pub use token_bucket::TokenBucket;
pub use users::{UserSeat, Users};

use std::sync::Arc;

use crate::config::Config;

/// The limits that hold for this process, and what is counted for them.
#[derive(Debug)]
pub struct Limits {
    /// Who may come in, by address.
    pub admission: Arc<Admission>,
    /// Who may come in, by user name.
    pub users: Arc<Users>,
    /// How often each limit was reached.
    pub bites: Bites,
    /// How fast each client may send.
    pub pace: PaceLimits,
}

impl Limits {
    /// The limits that `config` sets, with nobody there yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            admission: Arc::new(Admission::new(AdmissionLimits {
                connections: config.max_connections,
                connections_per_address: config.max_connections_per_address,
                connects_per_second: config.max_connect_rate,
            })),
            users: Arc::new(Users::new(config.max_connections_per_user)),
            bites: Bites::default(),
            pace: PaceLimits {
                messages_per_second: config.max_message_rate,
                bytes_per_second: config.max_byte_rate,
            },
        }
    }

    /// Counts that a limit was reached by `who`, which is for the log.
    pub fn note(&self, exceeded: &Exceeded, who: &str) {
        self.bites.note(exceeded.limit(), who);
    }
}
