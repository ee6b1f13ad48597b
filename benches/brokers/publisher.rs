//! A publisher: packets built once, numbered in place, and written many at a time.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::packet;
use crate::payload::{self, NUMBER_AT, PAYLOAD_LEN, TIME_AT};
use crate::window::Window;

/// A publisher that sends as fast as the broker takes it.
#[derive(Debug)]
pub(crate) struct Publisher {
    socket: TcpStream,
    packets: Packets,
    qos: u8,
    sent: u32,
    /// Above QoS 0: sent and not acknowledged to the end.
    unacknowledged: usize,
    received: Vec<u8>,
    answers: Vec<u8>,
}

/// Most messages above QoS 0 that wait for their acknowledgement: what our broker and others allow
/// a client by default, or less.
const UNACKNOWLEDGED_MAX: usize = 1_000;

/// Room for the acknowledgements of all that may be unacknowledged.
const READ_LEN: usize = 16 * 1024;

impl Publisher {
    /// Prepares one that writes `packets` at once, each time with numbers of their own.
    pub(crate) fn new(socket: TcpStream, packets: Packets, qos: u8) -> Self {
        Self {
            socket,
            packets,
            qos,
            sent: 0,
            unacknowledged: 0,
            received: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Publishes until `stop` is set or `messages_max` are sent, and returns how many were, once
    /// all of them are acknowledged.
    ///
    /// # Errors
    /// The connection's, and when acknowledgements stay away.
    pub(crate) fn run(
        mut self,
        window: &Window,
        messages_max: u32,
        stop: &AtomicBool,
    ) -> io::Result<u32> {
        let batch = self.packets.count();
        while self.sent < messages_max && !stop.load(Ordering::Relaxed) {
            if self.qos > 0 && self.unacknowledged + batch > UNACKNOWLEDGED_MAX {
                self.read_acknowledgements()?;
            } else if window.has_room(u64::from(self.sent), batch as u64) {
                self.socket
                    .write_all(self.packets.numbered_from(self.sent))?;
                self.sent += u32::try_from(batch).unwrap_or(u32::MAX);
                self.unacknowledged += if self.qos > 0 { batch } else { 0 };
            } else if self.unacknowledged > 0 {
                // A broker may deliver at QoS 2 only what was released: waiting for deliveries
                // alone would be for ever.
                self.read_acknowledgements()?;
            } else {
                window.wait_for_room(u64::from(self.sent), stop);
            }
        }
        while self.unacknowledged > 0 {
            self.read_acknowledgements()?;
        }
        Ok(self.sent)
    }

    fn read_acknowledgements(&mut self) -> io::Result<()> {
        let old_len = self.received.len();
        self.received.resize(old_len + READ_LEN, 0);
        let count = self.socket.read(&mut self.received[old_len..])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received.truncate(old_len + count);
        let mut rest = self.received.as_slice();
        while let Some(answer) = packet::next(rest) {
            match answer.kind() {
                packet::PUBREC => {
                    let packet_id = answer.packet_id().unwrap_or_default();
                    packet::push_ack(&mut self.answers, packet::PUBREL, packet_id);
                }
                packet::PUBACK | packet::PUBCOMP => {
                    self.unacknowledged = self.unacknowledged.saturating_sub(1);
                }
                other => return Err(io::Error::other(format!("a publisher got {other:02x}"))),
            }
            rest = &rest[answer.len..];
        }
        let handled = self.received.len() - rest.len();
        self.received.drain(..handled);
        self.socket.write_all(&self.answers)?;
        self.answers.clear();
        Ok(())
    }
}

/// Packets of the same length, ready to be written together.
#[derive(Clone, Debug)]
pub(crate) struct Packets {
    bytes: Vec<u8>,
    packet_len: usize,
    /// Messages above QoS 0 have a packet id in front of the payload.
    has_packet_id: bool,
}

impl Packets {
    /// `count` packets, on each of `topics` in turn. All topics must be of the same length.
    pub(crate) fn new(publisher: u32, topics: &[String], count: usize, qos: u8) -> Self {
        let payload = payload::payload(publisher);
        let bytes: Vec<u8> = topics
            .iter()
            .cycle()
            .take(count)
            .flat_map(|topic| packet::publish(topic, qos, &payload))
            .collect();
        Self {
            packet_len: bytes.len() / count.max(1),
            bytes,
            has_packet_id: qos > 0,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.bytes.len() / self.packet_len
    }

    /// The packets as the messages `first` and so on.
    pub(crate) fn numbered_from(&mut self, first: u32) -> &[u8] {
        let payload_at = self.packet_len - PAYLOAD_LEN;
        for (packet, number) in self.bytes.chunks_exact_mut(self.packet_len).zip(first..) {
            let number_at = payload_at + NUMBER_AT;
            packet[number_at..number_at + 8].copy_from_slice(&payload::letters(number));
            if self.has_packet_id {
                // Packet ids are 1 to 65,535.
                let packet_id = (number % u32::from(u16::MAX)) as u16 + 1;
                packet[payload_at - 2..payload_at].copy_from_slice(&packet_id.to_be_bytes());
            }
        }
        &self.bytes
    }

    /// As [`Packets::numbered_from`], with the time of sending in each of them.
    pub(crate) fn numbered_at(&mut self, first: u32, clock: Instant) -> &[u8] {
        self.numbered_from(first);
        let time_at = self.packet_len - PAYLOAD_LEN + TIME_AT;
        let letters = payload::time_letters(nanoseconds_since(clock));
        for packet in self.bytes.chunks_exact_mut(self.packet_len) {
            packet[time_at..time_at + letters.len()].copy_from_slice(&letters);
        }
        &self.bytes
    }
}

/// The generator's clock: nanoseconds since the run began.
pub(crate) fn nanoseconds_since(clock: Instant) -> u64 {
    u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
