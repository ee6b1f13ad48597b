//! Messages become points in InfluxDB.
//!
//! [`mapping`] says which fields a payload has, [`series`] what a topic's points begin with. Under
//! them, `line` knows how the line protocol is escaped, `number` and `json` read payloads, and
//! `base64` writes what is no text.

mod base64;
mod json;
mod line;
pub mod mapping;
mod number;
#[cfg(test)]
mod reading;
pub mod series;
