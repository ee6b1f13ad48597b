//! Connections that do nothing.

use std::io;

use crate::broker::Broker;
use crate::client::Client;
use crate::measure::{Measure, Snapshot};

/// Connections that wait for their CONNACK at a time: within the backlog that listeners have.
const PENDING_MAX: usize = 64;

/// Opens `count` connections, as fast as the broker accepts them, and looks at what they cost.
///
/// # Errors
/// When one of them is refused or breaks, as when there may not be so many open files.
pub(crate) fn run(count: usize, broker: &Broker) -> io::Result<Measure> {
    let begin = Snapshot::take(0, Some(broker), None)?;
    let mut clients: Vec<Client> = Vec::with_capacity(count);
    while clients.len() < count {
        let pending = clients.len()..count.min(clients.len() + PENDING_MAX);
        for number in pending.clone() {
            clients.push(Client::begin(broker.address, &format!("idle-{number}"))?);
        }
        for client in &mut clients[pending] {
            client.await_connected()?;
        }
    }
    let end = Snapshot::take(count as u64, Some(broker), None)?;
    Ok(Measure {
        connection_kib: begin.growth_kib(&end).map(|grown| grown / count as f64),
        ..begin.until(&end)
    })
}
