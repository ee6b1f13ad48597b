//! Messages of QoS 1 and 2 that come from one client.

use std::collections::{HashMap, VecDeque};

use crate::codec::PacketId;

/// What is to be known of messages that a client may send again: which of them are stored already,
/// and which timestamps their points have.
#[derive(Debug, Default)]
pub struct Inbound {
    /// Messages of QoS 2 that the client has not released yet.
    received: HashMap<PacketId, Received>,
    /// The last messages of QoS 1, the newest last.
    sent: VecDeque<Sent>,
}

/// A message of QoS 2 that came in.
#[derive(Clone, Copy, Debug, Default)]
struct Received {
    /// Of its point, if it has one yet. Should the message come again before it is complete, it is
    /// the same point.
    timestamp_ns: Option<i64>,
    /// It is in the batch at hand.
    is_under_way: bool,
    /// It is stored and delivered.
    is_complete: bool,
}

/// A message of QoS 1 that came in. The client may send it again if our PUBACK does not reach it.
#[derive(Clone, Copy, Debug)]
struct Sent {
    packet_id: PacketId,
    /// Of topic and payload, since a client may use a packet id again as soon as it likes.
    fingerprint: u64,
    timestamp_ns: i64,
}

/// How many messages of QoS 1 are remembered: more than clients have in flight as a rule.
const SENT_MAX: usize = 1_000;

/// What is known of a message of QoS 2 that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is new.
    New,
    /// It came before in the batch at hand.
    UnderWay,
    /// It came before, but perhaps it was not stored and delivered to the end. If it was stored, its
    /// point has this timestamp.
    Unfinished(i64),
    /// It came before, and is stored and delivered [MQTT-4.3.3-10].
    Complete,
}

impl Inbound {
    /// Adds a message of QoS 2 that an earlier process had received.
    pub fn restore(&mut self, packet_id: PacketId, timestamp_ns: i64, is_complete: bool) {
        let received = Received {
            timestamp_ns: Some(timestamp_ns),
            is_under_way: false,
            is_complete,
        };
        self.received.insert(packet_id, received);
    }

    /// Notes that a message of QoS 2 comes in, and tells what is known of it.
    pub fn receive(&mut self, packet_id: PacketId) -> Receipt {
        let received = self.received.entry(packet_id).or_default();
        if received.is_complete {
            return Receipt::Complete;
        }
        if std::mem::replace(&mut received.is_under_way, true) {
            return Receipt::UnderWay;
        }
        received
            .timestamp_ns
            .map_or(Receipt::New, Receipt::Unfinished)
    }

    /// Whether a message of QoS 2 was received and its batch is not done yet.
    #[must_use]
    pub fn is_under_way(&self, packet_id: PacketId) -> bool {
        let received = self.received.get(&packet_id);
        received.is_some_and(|received| received.is_under_way)
    }

    /// Notes which timestamp the point of a message of QoS 2 gets.
    pub fn begin(&mut self, packet_id: PacketId, timestamp_ns: i64) {
        if let Some(received) = self.received.get_mut(&packet_id) {
            received.timestamp_ns = Some(timestamp_ns);
        }
    }

    /// Notes that a message of QoS 2 is stored and delivered.
    pub fn complete(&mut self, packet_id: PacketId) {
        if let Some(received) = self.received.get_mut(&packet_id) {
            received.is_complete = true;
            received.is_under_way = false;
        }
    }

    /// Forgets a message of QoS 2: the client will not send it again. Returns whether it was there.
    pub fn release(&mut self, packet_id: PacketId) -> bool {
        self.received.remove(&packet_id).is_some()
    }

    /// The connection has ended: what was not completed will come again.
    pub fn rewind(&mut self) {
        let received = self.received.values_mut();
        received.for_each(|received| received.is_under_way = false);
    }

    /// Remembers the timestamp of the point of a message of QoS 1.
    pub fn remember(&mut self, packet_id: PacketId, fingerprint: u64, timestamp_ns: i64) {
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            packet_id,
            fingerprint,
            timestamp_ns,
        });
    }

    /// The timestamp of the point of a message of QoS 1 that is sent again, if it is remembered: it
    /// is the same point.
    #[must_use]
    pub fn timestamp_of(&self, packet_id: PacketId, fingerprint: u64) -> Option<i64> {
        let mut newest_first = self.sent.iter().rev();
        let sent = newest_first.find(|sent| sent.packet_id == packet_id)?;
        (sent.fingerprint == fingerprint).then_some(sent.timestamp_ns)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn id(id: u16) -> PacketId {
        PacketId::new(id).unwrap()
    }

    #[test]
    fn follows_a_message_of_qos_2_to_its_release() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.receive(id(7)), Receipt::New);
        assert!(inbound.is_under_way(id(7)));
        assert_eq!(inbound.receive(id(7)), Receipt::UnderWay);
        inbound.begin(id(7), 70);
        inbound.complete(id(7));
        assert!(!inbound.is_under_way(id(7)));
        assert_eq!(inbound.receive(id(7)), Receipt::Complete);
        assert!(inbound.release(id(7)));
        assert!(!inbound.release(id(7)));
        assert_eq!(
            inbound.receive(id(7)),
            Receipt::New,
            "its packet id is free"
        );
    }

    #[test]
    fn gives_what_was_not_finished_the_timestamp_it_had() {
        let mut inbound = Inbound::default();
        inbound.receive(id(1));
        inbound.receive(id(2));
        inbound.begin(id(2), 22);
        inbound.rewind();
        inbound.restore(id(3), 33, false);
        inbound.restore(id(4), 44, true);
        let again = [1, 2, 3, 4].map(|number| inbound.receive(id(number)));
        let expected = [
            Receipt::New,
            Receipt::Unfinished(22),
            Receipt::Unfinished(33),
            Receipt::Complete,
        ];
        assert_eq!(again, expected);
    }

    #[test]
    fn knows_the_last_messages_of_qos_1_again() {
        let mut inbound = Inbound::default();
        inbound.remember(id(1), 0xa, 10);
        inbound.remember(id(2), 0xb, 20);
        inbound.remember(id(1), 0xc, 30);
        assert_eq!(inbound.timestamp_of(id(2), 0xb), Some(20));
        assert_eq!(inbound.timestamp_of(id(1), 0xc), Some(30));
        assert_eq!(inbound.timestamp_of(id(1), 0xa), None, "another since");
        assert_eq!(inbound.timestamp_of(id(3), 0xa), None);
        for number in 0..SENT_MAX {
            inbound.remember(id(9), number as u64, 0);
        }
        assert_eq!(inbound.timestamp_of(id(2), 0xb), None, "too long ago");
        assert_eq!(inbound.sent.len(), SENT_MAX);
    }
}
