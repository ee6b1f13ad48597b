//! What MQTT 5.0 adds, by chapter.

mod connect;
mod limits;
mod properties;
mod publish;
mod refuse;
mod session;
mod share;
mod subscribe;
mod will;
