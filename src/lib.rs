//! An MQTT broker that stores every message in InfluxDB before it delivers or acknowledges it.

pub mod store;
