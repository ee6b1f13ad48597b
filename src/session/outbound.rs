//! Messages of QoS 1 and 2 on their way to one client.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::codec::{PacketId, QoS};
use crate::message::Message;

/// All messages of QoS 1 and 2 that a session has not seen the end of, in their order.
///
/// ```text
///   push --> waiting --- next ---> sent --+-- PUBACK --> done                        (QoS 1)
///                                         +-- PUBREC --> released -- PUBCOMP --> done
/// ```
///
/// Each message has a sequence number, one more than the one before, and its packet id follows from
/// that. So a message has the same packet id whenever and by whatever process it is sent
/// [MQTT-4.4.0-1], without writing the id down; and an acknowledgement is found without a search.
///
/// Invariants: before `next` nothing waits, and `in_flight` counts what is not done there; the
/// first entry is not done.
#[derive(Debug, Default)]
pub struct Outbound {
    entries: VecDeque<Entry>,
    /// The sequence number of the first entry.
    first: u64,
    /// Index of the first entry that was not sent to the client as it is connected now.
    next: usize,
    in_flight: usize,
    waiting_bytes: usize,
    /// No message from this sequence number on has ever been sent, up to the last rewind.
    sent_below: u64,
}

/// A message on its way to one client.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What is delivered.
    pub message: Arc<Message>,
    /// 1 or 2.
    pub qos: QoS,
    /// RETAIN as this client gets it.
    pub retain: bool,
    /// It may have been sent before.
    pub dup: bool,
    /// Of the subscriptions that matched; most often none.
    pub subscription_identifiers: Box<[u32]>,
}

/// What [`Outbound::next`] wants to be sent.
#[derive(Debug)]
pub enum ToSend<'a> {
    /// PUBLISH.
    Publish(PacketId, &'a Delivery),
    /// PUBREL, for a client that has connected again [MQTT-4.4.0-1].
    PubRel(PacketId),
}

#[derive(Debug)]
enum Entry {
    /// Not on disk yet, where the session must be: neither it nor what is behind it may be sent.
    Held(Delivery),
    /// Not sent, or to be sent again.
    Waiting(Delivery),
    /// PUBLISH was sent.
    Sent(Delivery),
    /// PUBREC came: PUBREL is to be sent or was.
    Released,
    /// Over, or dropped.
    Done,
}

/// An acknowledgement that does not fit what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unexpected {
    /// Nothing with this packet id is in flight: late, or repeated. Harmless.
    Unknown,
    /// It is in flight, but this is not how it is acknowledged.
    WrongType,
}

/// Packet ids go from 1 to this.
const PACKET_IDS: u64 = 65_535;

impl Outbound {
    /// Goes on with messages of an earlier process: `first` is the sequence number of the first.
    #[must_use]
    pub fn starting_at(first: u64) -> Self {
        Self {
            first,
            ..Self::default()
        }
    }

    /// The sequence number that the next message gets.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Adds a message at the end and returns its sequence number.
    pub fn push(&mut self, delivery: Delivery) -> u64 {
        self.waiting_bytes += delivery.message.weight();
        if delivery.dup {
            self.sent_below = self.next_sequence() + 1;
        }
        self.entries.push_back(Entry::Waiting(delivery));
        self.next_sequence() - 1
    }

    /// Adds a message at the end that must not be sent before [`Outbound::confirm`]. Returns its
    /// sequence number.
    pub fn push_held(&mut self, delivery: Delivery) -> u64 {
        self.waiting_bytes += delivery.message.weight();
        self.entries.push_back(Entry::Held(delivery));
        self.next_sequence() - 1
    }

    /// A message that was held is on disk: it may be sent.
    pub fn confirm(&mut self, sequence: u64) {
        if let Some(entry) = self.entry_mut(sequence)
            && let Entry::Held(_) = entry
            && let Entry::Held(delivery) = std::mem::replace(entry, Entry::Done)
        {
            *entry = Entry::Waiting(delivery);
        }
    }

    /// A message that was held cannot be kept on disk: it is taken back.
    pub fn withdraw(&mut self, sequence: u64) {
        if let Some(entry) = self.entry_mut(sequence)
            && let Entry::Held(_) = entry
            && let Entry::Held(delivery) = std::mem::replace(entry, Entry::Done)
        {
            self.waiting_bytes -= delivery.message.weight();
        }
        // It must not take the room of another while the client is away. It was never sent, so its
        // number can be given again.
        while self.entries.len() > self.next
            && let Some(Entry::Done) = self.entries.back()
        {
            self.entries.pop_back();
        }
    }

    /// Messages with lower sequence numbers may have been sent in the connections before.
    #[must_use]
    pub fn sent_below(&self) -> u64 {
        self.sent_below
    }

    fn entry_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        let index = sequence.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(index).ok()?)
    }

    /// Adds a message at the end of which an earlier process had seen the PUBREC.
    pub fn push_released(&mut self) {
        self.entries.push_back(Entry::Released);
    }

    /// Adds a message at the end that is over: only its number counts.
    pub fn push_done(&mut self) {
        self.entries.push_back(Entry::Done);
    }

    /// The client is not connected any more, or not yet: whatever is not over is to be sent again,
    /// from the first on [MQTT-4.4.0-1, 4.6.0-1].
    pub fn rewind(&mut self) {
        self.sent_below = self.sent_below.max(self.first + self.next as u64);
        for entry in self.entries.iter_mut().take(self.next) {
            *entry = match std::mem::replace(entry, Entry::Done) {
                Entry::Sent(delivery) => {
                    self.waiting_bytes += delivery.message.weight();
                    Entry::Waiting(Delivery {
                        dup: true,
                        ..delivery
                    })
                }
                other @ (Entry::Held(_) | Entry::Waiting(_) | Entry::Released | Entry::Done) => {
                    other
                }
            };
        }
        self.next = 0;
        self.in_flight = 0;
    }

    /// How many entries wait to be sent.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.entries.len() - self.next
    }

    /// What the waiting messages cost to keep, in bytes.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// How many messages are sent and not acknowledged to the end.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether nothing is in flight and nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes what is to be sent next, if fewer than `window` messages are in flight.
    pub fn next(&mut self, window: u16) -> Option<ToSend<'_>> {
        while let Some(Entry::Done) = self.entries.get(self.next) {
            self.next += 1;
        }
        self.drop_done();
        // The second bound keeps packet ids unique among those that are not over, however late the
        // first of them is acknowledged.
        if self.in_flight >= usize::from(window) || self.next as u64 >= PACKET_IDS {
            return None;
        }
        let packet_id = packet_id(self.first + self.next as u64);
        let entry = self.entries.get_mut(self.next)?;
        if let Entry::Held(_) = entry {
            return None;
        }
        if let Entry::Waiting(_) = entry
            && let Entry::Waiting(delivery) = std::mem::replace(entry, Entry::Done)
        {
            self.waiting_bytes -= delivery.message.weight();
            *entry = Entry::Sent(delivery);
        }
        self.next += 1;
        self.in_flight += 1;
        match entry {
            Entry::Sent(delivery) => Some(ToSend::Publish(packet_id, delivery)),
            Entry::Held(_) | Entry::Waiting(_) | Entry::Released | Entry::Done => {
                Some(ToSend::PubRel(packet_id))
            }
        }
    }

    /// Drops a message that was taken by [`Outbound::next`] and cannot be sent after all, as it is
    /// too large for the client or has expired: as if it had been delivered [MQTT-3.1.2-25].
    /// Returns its sequence number, if there is such a message.
    pub fn give_up(&mut self, packet_id: PacketId) -> Option<u64> {
        self.finish(packet_id, |entry| matches!(entry, Entry::Sent(_)))
            .ok()
    }

    /// A PUBACK came. Returns the sequence number of what is over.
    ///
    /// # Errors
    /// When nothing of QoS 1 was sent with this packet id.
    pub fn on_puback(&mut self, packet_id: PacketId) -> Result<u64, Unexpected> {
        self.finish(packet_id, |entry| {
            matches!(
                entry,
                Entry::Sent(Delivery {
                    qos: QoS::AtLeastOnce,
                    ..
                })
            )
        })
    }

    /// A PUBREC came that accepts the message: PUBREL is next, never PUBLISH again
    /// [MQTT-4.3.3-8]. Returns its sequence number.
    ///
    /// # Errors
    /// When nothing of QoS 2 was sent with this packet id.
    pub fn on_pubrec(&mut self, packet_id: PacketId) -> Result<u64, Unexpected> {
        let index = self.index_of(packet_id)?;
        match self.entries.get_mut(index) {
            Some(
                entry @ Entry::Sent(Delivery {
                    qos: QoS::ExactlyOnce,
                    ..
                }),
            ) => {
                *entry = Entry::Released;
                Ok(self.first + index as u64)
            }
            Some(Entry::Released) => Ok(self.first + index as u64),
            Some(Entry::Sent(_)) => Err(Unexpected::WrongType),
            Some(Entry::Held(_) | Entry::Waiting(_) | Entry::Done) | None => {
                Err(Unexpected::Unknown)
            }
        }
    }

    /// A PUBREC came that refuses the message: it is over [MQTT-4.3.3-4]. Returns its sequence
    /// number.
    ///
    /// # Errors
    /// When nothing of QoS 2 was sent with this packet id.
    pub fn on_pubrec_refused(&mut self, packet_id: PacketId) -> Result<u64, Unexpected> {
        self.finish(packet_id, |entry| {
            matches!(
                entry,
                Entry::Sent(Delivery {
                    qos: QoS::ExactlyOnce,
                    ..
                })
            )
        })
    }

    /// A PUBCOMP came. Returns the sequence number of what is over.
    ///
    /// # Errors
    /// When no PUBREL was sent with this packet id.
    pub fn on_pubcomp(&mut self, packet_id: PacketId) -> Result<u64, Unexpected> {
        self.finish(packet_id, |entry| matches!(entry, Entry::Released))
    }

    fn finish(
        &mut self,
        packet_id: PacketId,
        is_next: impl Fn(&Entry) -> bool,
    ) -> Result<u64, Unexpected> {
        let index = self.index_of(packet_id)?;
        match self.entries.get_mut(index) {
            Some(entry) if is_next(entry) => *entry = Entry::Done,
            Some(Entry::Sent(_) | Entry::Released) => return Err(Unexpected::WrongType),
            Some(Entry::Held(_) | Entry::Waiting(_) | Entry::Done) | None => {
                return Err(Unexpected::Unknown);
            }
        }
        let sequence = self.first + index as u64;
        self.in_flight -= 1;
        self.drop_done();
        Ok(sequence)
    }

    fn drop_done(&mut self) {
        while self.next > 0
            && let Some(Entry::Done) = self.entries.front()
        {
            self.entries.pop_front();
            self.first += 1;
            self.next -= 1;
        }
    }

    /// Where the entry with this packet id is, if it was sent.
    fn index_of(&self, id: PacketId) -> Result<usize, Unexpected> {
        let first = u64::from(packet_id(self.first).get());
        let distance = (u64::from(id.get()) + PACKET_IDS - first) % PACKET_IDS;
        // Below 65,535, so it fits.
        usize::try_from(distance)
            .ok()
            .filter(|index| *index < self.next)
            .ok_or(Unexpected::Unknown)
    }
}

fn packet_id(sequence: u64) -> PacketId {
    let id = u16::try_from(sequence % PACKET_IDS + 1).unwrap_or(u16::MAX);
    PacketId::new(id).expect("1 to 65,535")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::codec::PublishProperties;

    fn delivery(qos: QoS, payload: &str) -> Delivery {
        let properties = PublishProperties::default();
        let message = Message::new("a".into(), payload.as_bytes(), qos, false, &properties);
        let subscription_identifiers = Box::default();
        Delivery {
            message: Arc::new(message),
            qos,
            retain: false,
            dup: false,
            subscription_identifiers,
        }
    }

    /// `1:hello` for PUBLISH, `1:hello!` with DUP, `1:PUBREL`; all that the window allows.
    fn send(outbound: &mut Outbound, window: u16) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(to_send) = outbound.next(window) {
            sent.push(match to_send {
                ToSend::Publish(id, delivery) => {
                    let dup = if delivery.dup { "!" } else { "" };
                    format!(
                        "{id}:{}{dup}",
                        String::from_utf8_lossy(&delivery.message.payload)
                    )
                }
                ToSend::PubRel(id) => format!("{id}:PUBREL"),
            });
        }
        sent
    }

    fn id(id: u16) -> PacketId {
        PacketId::new(id).unwrap()
    }

    fn with(messages: &[(QoS, &str)]) -> Outbound {
        let mut outbound = Outbound::default();
        messages
            .iter()
            .for_each(|(qos, payload)| _ = outbound.push(delivery(*qos, payload)));
        outbound
    }

    const ONE: QoS = QoS::AtLeastOnce;
    const TWO: QoS = QoS::ExactlyOnce;

    #[test]
    fn sends_what_the_window_allows() {
        let mut outbound = with(&[(ONE, "a"), (ONE, "b"), (TWO, "c"), (ONE, "d")]);
        assert_eq!(send(&mut outbound, 2), ["1:a", "2:b"]);
        assert_eq!((outbound.in_flight(), outbound.waiting()), (2, 2));
        // Out of order.
        assert_eq!(outbound.on_puback(id(2)), Ok(1));
        assert_eq!(send(&mut outbound, 2), ["3:c"]);
        assert_eq!(outbound.on_puback(id(1)), Ok(0));
        assert_eq!(outbound.on_pubrec(id(3)), Ok(2));
        assert_eq!(
            send(&mut outbound, 1),
            [""; 0],
            "released counts until PUBCOMP"
        );
        assert_eq!(outbound.on_pubcomp(id(3)), Ok(2));
        assert_eq!(send(&mut outbound, 1), ["4:d"]);
        assert_eq!(outbound.on_puback(id(4)), Ok(3));
        assert!(outbound.is_empty());
        assert_eq!((outbound.in_flight(), outbound.waiting_bytes()), (0, 0));
    }

    #[test]
    fn refuses_the_wrong_acknowledgement() {
        let mut outbound = with(&[(ONE, "a"), (TWO, "b"), (TWO, "c")]);
        send(&mut outbound, 2);
        assert_eq!(outbound.on_pubrec(id(1)), Err(Unexpected::WrongType));
        assert_eq!(outbound.on_pubcomp(id(1)), Err(Unexpected::WrongType));
        assert_eq!(outbound.on_puback(id(2)), Err(Unexpected::WrongType));
        assert_eq!(
            outbound.on_pubcomp(id(2)),
            Err(Unexpected::WrongType),
            "before PUBREC"
        );
        assert_eq!(outbound.on_pubrec(id(2)), Ok(1));
        assert_eq!(outbound.on_pubrec(id(2)), Ok(1), "again");
        assert_eq!(
            outbound.on_pubrec_refused(id(2)),
            Err(Unexpected::WrongType)
        );
        assert_eq!(
            outbound.on_pubrec(id(3)),
            Err(Unexpected::Unknown),
            "not sent yet"
        );
        assert_eq!(outbound.on_puback(id(1)), Ok(0));
        assert_eq!(outbound.on_puback(id(1)), Err(Unexpected::Unknown));
        assert_eq!(outbound.on_puback(id(65_535)), Err(Unexpected::Unknown));
        assert_eq!(outbound.in_flight(), 1);
    }

    #[test]
    fn a_refused_message_of_qos_2_is_over() {
        let mut outbound = with(&[(TWO, "a"), (TWO, "b")]);
        assert_eq!(send(&mut outbound, 1), ["1:a"]);
        assert_eq!(outbound.on_pubrec_refused(id(1)), Ok(0));
        assert_eq!(send(&mut outbound, 1), ["2:b"]);
    }

    #[test]
    fn sends_again_in_order_with_the_same_packet_ids() {
        let mut outbound = with(&[(ONE, "a"), (TWO, "b"), (TWO, "c"), (ONE, "d"), (ONE, "e")]);
        send(&mut outbound, 4);
        outbound.on_pubrec(id(2)).unwrap();
        outbound.on_puback(id(4)).unwrap();
        outbound.rewind();
        assert_eq!((outbound.in_flight(), outbound.waiting()), (0, 5));
        // The new connection may have a smaller window.
        assert_eq!(send(&mut outbound, 2), ["1:a!", "2:PUBREL"]);
        assert_eq!(
            outbound.on_pubrec(id(3)),
            Err(Unexpected::Unknown),
            "for the old connection"
        );
        outbound.on_pubcomp(id(2)).unwrap();
        outbound.on_puback(id(1)).unwrap();
        assert_eq!(send(&mut outbound, 2), ["3:c!", "5:e"]);
        outbound.on_pubrec(id(3)).unwrap();
        outbound.on_pubcomp(id(3)).unwrap();
        outbound.on_puback(id(5)).unwrap();
        assert!(outbound.is_empty());
        assert_eq!(outbound.waiting_bytes(), 0);
    }

    #[test]
    fn goes_on_with_what_another_process_left() {
        let mut outbound = Outbound::starting_at(65_534);
        outbound.push(Delivery {
            dup: true,
            ..delivery(ONE, "a")
        });
        outbound.push_done();
        outbound.push_released();
        outbound.push(delivery(TWO, "b"));
        assert_eq!(outbound.next_sequence(), 65_538);
        assert_eq!(send(&mut outbound, 10), ["65535:a!", "2:PUBREL", "3:b"]);
        outbound.on_puback(id(65_535)).unwrap();
        outbound.on_pubcomp(id(2)).unwrap();
        outbound.on_pubrec(id(3)).unwrap();
        outbound.on_pubcomp(id(3)).unwrap();
        assert!(outbound.is_empty());
    }

    #[test]
    fn sends_nothing_that_is_held() {
        let mut outbound = Outbound::default();
        let held: Vec<u64> = ["a", "b", "c", "d"]
            .map(|payload| outbound.push_held(delivery(ONE, payload)))
            .into();
        outbound.confirm(held[1]);
        assert_eq!(send(&mut outbound, 10), [""; 0], "the first is still held");
        outbound.confirm(held[0]);
        assert_eq!(send(&mut outbound, 10), ["1:a", "2:b"]);
        outbound.withdraw(held[2]);
        outbound.withdraw(held[1]);
        outbound.rewind();
        outbound.confirm(held[3]);
        assert_eq!(send(&mut outbound, 10), ["1:a!", "2:b!", "4:d"]);
    }

    #[test]
    fn what_is_withdrawn_takes_no_room() {
        let mut outbound = Outbound::default();
        let held: Vec<u64> = ["a", "b", "c"]
            .map(|payload| outbound.push_held(delivery(ONE, payload)))
            .into();
        outbound.withdraw(held[1]);
        assert_eq!(outbound.waiting(), 3, "the last still has its number");
        outbound.withdraw(held[2]);
        assert_eq!((outbound.waiting(), outbound.next_sequence()), (1, 1));
        outbound.confirm(held[0]);
        assert_eq!(send(&mut outbound, 10), ["1:a"]);
    }

    #[test]
    fn remembers_what_was_sent_in_any_connection() {
        let mut outbound = with(&[(ONE, "a"), (ONE, "b"), (ONE, "c")]);
        assert_eq!(outbound.sent_below(), 0);
        assert_eq!(send(&mut outbound, 2), ["1:a", "2:b"]);
        outbound.rewind();
        assert_eq!(send(&mut outbound, 1), ["1:a!"]);
        outbound.rewind();
        assert_eq!(outbound.sent_below(), 2);
    }

    #[test]
    fn never_has_a_packet_id_twice() {
        let mut outbound = Outbound::default();
        let mut sent = Vec::new();
        for round in 0_u32..70_000 {
            outbound.push(delivery(ONE, ""));
            while let Some(ToSend::Publish(packet_id, _)) = outbound.next(u16::MAX) {
                sent.push(packet_id);
            }
            // The first is never acknowledged, so all ids are used up one day.
            if round > 0 && round < 65_535 {
                assert_eq!(outbound.on_puback(*sent.last().unwrap()), Ok(round.into()));
            }
        }
        assert_eq!(sent.len(), 65_535);
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len(), 65_535);
        assert_eq!(outbound.on_puback(id(1)), Ok(0));
        assert_eq!(send(&mut outbound, u16::MAX).len(), 70_000 - 65_535);
    }
}
