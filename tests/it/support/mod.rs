//! What the tests are made of: the real programs, a scripted InfluxDB, and clients.
//!
//! [`Broker`], [`Influx`] and the [`mosquitto`] clients are real processes on ports that the system picks.
//! [`ForeignBroker`] is the real mosquitto, which knows what its own files mean. [`FakeInflux`] answers what a test tells it to. [`Wire`] is an MQTT client that speaks in bytes built by
//! [`packet`], which knows nothing of `src/codec`: a fault made twice in the same way must not cancel out.
//!
//! Nothing sleeps and hopes. Every wait is for an event and ends at [`DEADLINE`], far beyond what a loaded machine
//! needs, with what was expected and what came instead.

mod access_files;
mod base64;
mod broker;
pub(crate) mod certificates;
mod fake_influx;
mod foreign_broker;
mod http;
mod influx;
mod influx_version;
pub(crate) mod link;
mod log;
pub(crate) mod mosquitto;
pub(crate) mod packet;
pub(crate) mod process;
pub(crate) mod property;
pub(crate) mod random;
mod small_disk;
mod unsteady;
mod victoria;
mod wire;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use access_files::AccessFiles;
pub(crate) use broker::{Broker, BrokerCommand, listening_address};
pub(crate) use fake_influx::{Answer, FakeInflux};
pub(crate) use foreign_broker::{ForeignBroker, ForeignClient};
pub(crate) use influx::Influx;
pub(crate) use influx_version::Version;
pub(crate) use mosquitto::Mosquitto;
pub(crate) use packet::{ConnAck, Connect, Publish, Will};
pub(crate) use process::Signal;
pub(crate) use small_disk::SmallDisk;
pub(crate) use unsteady::Unsteady;
pub(crate) use victoria::Victoria;
pub(crate) use wire::Wire;

/// How long a test waits for anything that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How long a test listens before it believes that nothing comes, where no later packet can prove it.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// Asks `look` again and again until it finds something.
///
/// Only for what nobody announces (a count in InfluxDB, a port that opens); a log line or a packet is waited for.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
