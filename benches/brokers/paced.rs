//! Publishers that send at fixed times, all on one thread.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::publisher::Packets;

/// One of them. Always at QoS 0: nobody reads acknowledgements here.
#[derive(Debug)]
pub(crate) struct Paced {
    socket: TcpStream,
    packets: Packets,
    sent: u32,
}

impl Paced {
    /// One that writes all of `packets` when its turn comes.
    pub(crate) fn new(socket: TcpStream, packets: Packets) -> Self {
        Self {
            socket,
            packets,
            sent: 0,
        }
    }
}

/// Publishes with one publisher after another, in turn and `interval` apart, until `stop` is set or
/// the next one has sent `messages_max`. Returns how many messages each has sent. Times in them
/// count from `clock`.
///
/// # Errors
/// When a connection breaks.
pub(crate) fn run(
    mut publishers: Vec<Paced>,
    interval: Duration,
    messages_max: u32,
    clock: Instant,
    stop: &AtomicBool,
) -> io::Result<Vec<u32>> {
    let mut due = clock;
    'run: loop {
        for publisher in &mut publishers {
            if publisher.sent >= messages_max || stop.load(Ordering::Relaxed) {
                break 'run;
            }
            due += interval;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let packets = publisher.packets.numbered_at(publisher.sent, clock);
            publisher.socket.write_all(packets)?;
            publisher.sent += u32::try_from(publisher.packets.count()).unwrap_or(u32::MAX);
        }
    }
    Ok(publishers.iter().map(|publisher| publisher.sent).collect())
}
