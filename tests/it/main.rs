//! Tests of the whole program: the real binary, the real InfluxDB, the real mosquitto clients.
//!
//! `tests/run` installs what they need. Each chapter is one file; `support` has the tools. Conformance numbers are
//! those of MQTT 5.0 unless marked `3.1.1`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(
    clippy::print_stderr,
    reason = "a failed test shows what the processes printed"
)]

mod support;

mod acl;
mod auth;
mod connect;
mod crash;
mod crowd;
mod durable;
mod foreign_clients;
mod hostile;
mod influx_access;
mod influx_apis;
mod influx_away;
mod journal;
mod keep_alive;
mod life;
mod limits;
mod mapping;
mod paho;
mod passwd;
mod publish;
mod qos;
mod random;
mod rejected;
mod retain;
mod rules;
mod session;
mod settings;
mod siege;
mod slow;
mod store;
mod subscribe;
mod takeover;
mod tls;
mod torture;
mod v5;
mod websocket;
mod will;
