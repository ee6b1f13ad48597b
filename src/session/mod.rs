//! What outlives a connection: the messages on their way to one client.
//!
//! No I/O, no clock, no lock: the caller has those.

mod aliases;
mod inbound;
mod outbound;

pub use aliases::{Alias, TopicAliases};
pub use inbound::{Inbound, Receipt};
pub use outbound::{Delivery, Outbound, ToSend, Unexpected};
