//! What the clients' threads share: who is connected, who subscribed to what, retained messages,
//! and each client's outbox.
//!
//! This module knows nothing of InfluxDB and reads no socket.

mod clients;
mod fan_out;
mod outbox;
mod retained;
mod session;
mod subscriptions;
mod tree;

pub use clients::Clients;
pub use fan_out::FanOut;
pub(crate) use fan_out::trim;
pub use outbox::{Outbox, OutboxLimits};
pub use retained::{Retained, RetainedMessage};
pub use session::{Session, SessionNumber};
pub use subscriptions::{Subscription, Subscriptions};

use crate::auth::Access;
use crate::config::Config;
use crate::store::Store;

/// All that the clients' threads share.
#[derive(Debug)]
pub struct Broker {
    /// Where messages are stored; `None` makes it a broker without a store.
    pub store: Option<Store>,
    /// Who may connect and do what.
    pub access: Access,
    /// Who is connected.
    pub clients: Clients,
    /// Who gets which message.
    pub subscriptions: Subscriptions,
    /// What a new subscriber gets at once.
    pub retained: Retained,
    /// The settings, the limits among them.
    pub config: Config,
}
