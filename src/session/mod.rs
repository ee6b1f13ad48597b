//! What outlives a connection: the messages on their way to one client.
//!
//! No I/O, no clock, no lock: the caller has those.

mod outbound;

pub use outbound::{Delivery, Outbound, ToSend, Unexpected};
