//! An MQTT broker that stores every message in InfluxDB before it delivers or acknowledges it.

pub mod auth;
pub mod broker;
pub mod close_reason;
pub mod codec;
pub mod config;
mod connection;
mod handlers;
pub mod limits;
mod lock;
pub mod logging;
pub mod message;
pub mod net;
pub mod publisher;
pub mod server;
pub mod session;
mod shutdown;
pub mod state;
pub mod store;
pub mod task;
pub mod topic;
