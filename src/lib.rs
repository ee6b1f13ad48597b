//! An MQTT broker that stores every message in InfluxDB before it delivers or acknowledges it.

pub mod codec;
pub mod config;
pub mod logging;
pub mod topic;
