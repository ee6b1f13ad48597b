//! What the broker keeps for one client, whether it is connected or not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use log::{error, warn};

use super::{Keeper, Link, Terms};
use crate::close_reason::EndedBy;
use crate::codec::{Ack, AckType, PacketId, Publish, QoS, ReasonCode};
use crate::config::WhenQueueFull;
use crate::lock::{lock, wait_timeout};
use crate::session::{Alias, Delivery, Outbound, ToSend, TopicAliases, Unexpected};
use crate::state::{Change, KeptDelivery, KeptSession, Restored, StateError};

/// A client's session: its subscriptions, the messages on their way to it, and the link to it while
/// it is connected. Publishers' threads reach a client through here.
///
/// Lock order: `state`, then the outbox's. Neither is held while bytes are sent.
#[derive(Debug)]
pub struct Session {
    number: SessionNumber,
    client_id: Arc<str>,
    limits: QueueLimits,
    keeper: Arc<Keeper>,
    /// Whether there is a link, for those who only want to know.
    connected: AtomicBool,
    state: Mutex<State>,
    /// The link was taken away.
    detached: Condvar,
}

/// Tells two sessions of one client id apart. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(pub u64);

/// How many messages may wait for one client, and what happens beyond.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Bytes that may wait.
    pub bytes_max: usize,
    /// Messages that may wait.
    pub messages_max: usize,
    /// Most messages of QoS 1 and 2 in flight, whatever the client would take.
    pub in_flight_max: u16,
    /// What happens to a message that finds no room.
    pub when_full: WhenQueueFull,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Arc<Link>>,
    /// The link of a client that is about to be connected: that is being brought to disk.
    joining: Option<Arc<Link>>,
    outbound: Outbound,
    /// Of the link. Only packets that are encoded under this lock have any, as they must reach the
    /// client in that order.
    aliases: TopicAliases,
    /// The filters it is subscribed to, as the client wrote them.
    filters: HashSet<Box<str>>,
    /// Messages of QoS 2 that it sent and has not released yet.
    received: HashMap<PacketId, Received>,
    /// The last messages of QoS 1 that it sent, the newest last.
    sent: VecDeque<Sent>,
    /// The session is on disk, and each change of it is.
    is_kept: bool,
    /// A PUBLISH packet, to be published when the will delay is over or the session ends, unless the
    /// client connects again before [MQTT-3.1.3-9].
    will: Option<Box<[u8]>>,
    /// The session is over: nothing may be added to it any more.
    discarded: bool,
    /// How often a client was connected to it. A timer that was set for an earlier connection is
    /// void.
    attachments: u64,
    /// Messages dropped since that was logged last, and when that was.
    dropped: u64,
    reported: Option<Instant>,
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

/// Messages that are in a session's queue, and wait there until they are on disk.
#[derive(Debug)]
pub struct Held {
    session: Arc<Session>,
    sequences: Range<u64>,
}

/// What became of [`Session::attach`].
#[derive(Debug)]
pub enum Attached {
    /// The client is connected to the session.
    Yes,
    /// Another connection is; this is its link.
    Taken(Arc<Link>),
    /// The session is over.
    Discarded,
}

/// What became of [`Session::detach`].
#[derive(Debug)]
pub struct Detached {
    /// The number of this attachment, for timers.
    pub attachment: u64,
    /// The will that was to come later, if the session was over already: nothing puts it off any more.
    pub will_due: Option<Box<[u8]>>,
}

/// What a client leaves when its connection ends.
#[derive(Debug)]
pub struct Leaving {
    /// How long the session is kept from now on, in seconds. 0 ends it.
    pub expiry_s: u32,
    /// A will that is still to come later: a PUBLISH packet.
    pub will_later: Option<Box<[u8]>>,
    /// A will is about to be published.
    pub has_will_now: bool,
}

/// What a session that ended has left to be done.
#[derive(Debug)]
pub struct LeftBehind {
    /// The filters it was subscribed to.
    pub filters: HashSet<Box<str>>,
    /// A PUBLISH packet: its will.
    pub will: Option<Box<[u8]>>,
}

impl Session {
    /// A new session, to which nobody is connected yet.
    pub fn new(
        number: SessionNumber,
        client_id: &str,
        limits: QueueLimits,
        keeper: &Arc<Keeper>,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            client_id: client_id.into(),
            limits,
            keeper: Arc::clone(keeper),
            connected: AtomicBool::new(false),
            state: Mutex::default(),
            detached: Condvar::new(),
        })
    }

    /// A session as an earlier process has left it.
    pub fn restore(restored: Restored, limits: QueueLimits, keeper: &Arc<Keeper>) -> Arc<Self> {
        let Restored {
            session,
            subscriptions,
            deliveries,
            received,
        } = restored;
        let mut outbound = Outbound::starting_at(deliveries.first().map_or(0, |(first, _)| *first));
        for (sequence, delivery) in deliveries {
            while outbound.next_sequence() < sequence {
                outbound.push_done();
            }
            match delivery {
                KeptDelivery::Publish(delivery) => _ = outbound.push(delivery),
                KeptDelivery::Released => outbound.push_released(),
            }
        }
        let received = received
            .into_iter()
            .map(|(packet_id, timestamp_ns, is_complete)| {
                (
                    packet_id,
                    Received {
                        timestamp_ns: Some(timestamp_ns),
                        is_under_way: false,
                        is_complete,
                    },
                )
            });
        let state = State {
            outbound,
            filters: subscriptions
                .into_iter()
                .map(|subscription| subscription.filter)
                .collect(),
            received: received.collect(),
            will: session.will,
            is_kept: true,
            ..State::default()
        };
        Arc::new(Self {
            number: SessionNumber(session.number),
            client_id: session.client_id,
            limits,
            keeper: Arc::clone(keeper),
            connected: AtomicBool::new(false),
            state: Mutex::new(state),
            detached: Condvar::new(),
        })
    }

    /// What tells it from all others.
    pub fn number(&self) -> SessionNumber {
        self.number
    }

    /// The client identifier.
    pub fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// The way to the client, while it is connected.
    pub fn link(&self) -> Option<Arc<Link>> {
        lock(&self.state).link.clone()
    }

    /// Ends the connection that the client has, or is about to have, to this session.
    pub fn end_connection(&self, reason: EndedBy) {
        let state = lock(&self.state);
        if let Some(link) = state.link.as_ref().or(state.joining.as_ref()) {
            link.end(reason);
        }
    }

    /// Whether the session is over: nothing may be added to it any more.
    pub fn is_over(&self) -> bool {
        lock(&self.state).discarded
    }

    /// Whether the client is connected; it may be gone the next moment.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Connects a client: sends `connack`, then what the session has for it.
    ///
    /// `kept` says what is to be known of the session after a restart, if anything is. That is on
    /// disk before CONNACK goes out: a client that was told of a session can rely on it, and on its
    /// will.
    ///
    /// # Errors
    /// When it cannot be brought to disk. The client is not connected then.
    pub fn attach(
        &self,
        link: &Arc<Link>,
        connack: &[u8],
        kept: Option<KeptSession>,
    ) -> Result<Attached, Arc<StateError>> {
        let mut state = lock(&self.state);
        if state.discarded {
            return Ok(Attached::Discarded);
        }
        if let Some(taken) = state.link.as_ref().or(state.joining.as_ref()) {
            return Ok(Attached::Taken(Arc::clone(taken)));
        }
        if let Some(kept) = kept {
            let expiry_s = kept.expiry_s;
            state.is_kept = true;
            state.joining = Some(Arc::clone(link));
            // Noted under the lock, so that what is noted of the connections before comes before.
            self.keeper.note([Change::Attach(kept)]);
            // Publishers do not wait for the disk meanwhile: what comes for the client is queued.
            drop(state);
            let outcome = self.keeper.keep(None);
            state = lock(&self.state);
            state.joining = None;
            if let Err(error) = outcome {
                self.note_detached_as(&state, expiry_s, true);
                self.detached.notify_all();
                return Err(error);
            }
            if state.discarded {
                self.detached.notify_all();
                return Ok(Attached::Discarded);
            }
        }
        state.link = Some(Arc::clone(link));
        state.aliases = TopicAliases::up_to(link.terms().topic_alias_max);
        state.will = None;
        state.attachments += 1;
        self.connected.store(true, Ordering::Relaxed);
        // [MQTT-3.2.0-1] nothing goes before CONNACK: only from here on do others find the link.
        let must_send = link.outbox().append(connack, 0);
        self.send_outbound(state);
        if must_send {
            link.outbox().send_waiting();
        }
        Ok(Attached::Yes)
    }

    /// Takes the link away, and notes that on disk where the session is there.
    ///
    /// A session that is to end here is over at once, so that nobody takes it over; the caller sees
    /// to what it has left.
    pub fn detach(&self, leaving: Leaving) -> Detached {
        let mut state = lock(&self.state);
        state.link = None;
        let was_over = state.discarded;
        state.discarded |= leaving.expiry_s == 0;
        let will_is_over = leaving.will_later.is_none() && !leaving.has_will_now;
        // What was not completed will come again.
        state
            .received
            .values_mut()
            .for_each(|received| received.is_under_way = false);
        state.outbound.rewind();
        if !state.discarded {
            // Under the lock: a client that takes over notes its own connection after this.
            self.note_detached_as(&state, leaving.expiry_s, will_is_over);
        }
        self.connected.store(false, Ordering::Relaxed);
        self.detached.notify_all();
        let attachment = state.attachments;
        if was_over {
            let will_due = leaving.will_later;
            return Detached {
                attachment,
                will_due,
            };
        }
        state.will = leaving.will_later;
        Detached {
            attachment,
            will_due: None,
        }
    }

    /// Takes the will that is still to come, if the client has not been connected again since it
    /// had been for the `attachment`th time.
    pub fn take_will(&self, attachment: u64) -> Option<Box<[u8]>> {
        let mut state = lock(&self.state);
        if state.attachments == attachment {
            state.will.take()
        } else {
            None
        }
    }

    /// Notes on disk that the connection has ended, where the session is there.
    pub fn note_detached(&self, expiry_s: u32, will_is_over: bool) {
        self.note_detached_as(&lock(&self.state), expiry_s, will_is_over);
    }

    fn note_detached_as(&self, state: &State, expiry_s: u32, will_is_over: bool) {
        if state.is_kept {
            self.keeper.note([Change::Detach {
                session: self.number.0,
                expiry_s,
                at: SystemTime::now(),
                will_is_over,
                sent_below: state.outbound.sent_below(),
            }]);
        }
    }

    /// Notes on disk that the will of the `attachment`th connection was published, where the session
    /// is there. What is there by now may be the will of a later one.
    pub fn note_will_is_over(&self, attachment: u64) {
        let state = lock(&self.state);
        if state.is_kept && state.attachments == attachment && state.joining.is_none() {
            self.keeper.note([Change::WillIsOver(self.number.0)]);
        }
    }

    /// Whether the session, and each change of it, is on disk.
    pub fn is_kept(&self) -> bool {
        lock(&self.state).is_kept
    }

    /// Waits until no client is connected; gives up at `deadline`.
    pub fn await_detached(&self, deadline: Instant) {
        let mut state = lock(&self.state);
        while state.link.is_some() || state.joining.is_some() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = wait_timeout(&self.detached, state, left);
        }
    }

    /// Ends the session for good.
    pub fn discard(&self) -> LeftBehind {
        let mut state = lock(&self.state);
        state.discarded = true;
        state.outbound = Outbound::default();
        state.received = HashMap::new();
        if std::mem::take(&mut state.is_kept)
            && let Err(error) = self.keeper.keep([Change::End(self.number.0)])
        {
            error!(
                "client={:?}: the end of its session is not on disk yet: {error}",
                self.client_id
            );
            self.keeper.note([Change::End(self.number.0)]);
        }
        LeftBehind {
            filters: std::mem::take(&mut state.filters),
            will: state.will.take(),
        }
    }

    /// Ends the session, unless the client has been connected again since it had been for the
    /// `attachment`th time. Returns whether it is over; the caller sees to what it has left.
    pub fn expire(&self, attachment: u64) -> bool {
        let mut state = lock(&self.state);
        let is_away = state.link.is_none() && state.joining.is_none();
        state.discarded |= is_away && state.attachments == attachment;
        state.discarded
    }

    /// Whether the client has not been connected again since it had been for the `attachment`th
    /// time, and the session is there.
    pub fn is_still_detached_after(&self, attachment: u64) -> bool {
        let state = lock(&self.state);
        let is_away = state.link.is_none() && state.joining.is_none();
        is_away && state.attachments == attachment && !state.discarded
    }

    /// Notes a subscription. Returns whether it is new, or `None` if there are `max` already or the
    /// session is over.
    pub fn add_filter(&self, filter: &str, max: usize) -> Option<bool> {
        let mut state = lock(&self.state);
        if state.filters.contains(filter) {
            return Some(false);
        }
        if state.discarded || state.filters.len() >= max {
            return None;
        }
        state.filters.insert(filter.into());
        Some(true)
    }

    /// Forgets a subscription. Returns whether there was one.
    pub fn remove_filter(&self, filter: &str) -> bool {
        lock(&self.state).filters.remove(filter)
    }

    /// Remembers which timestamps the points of messages of QoS 1 get: packet id, fingerprint of
    /// topic and payload, timestamp. Only for a session that outlives its connection.
    pub fn remember_sent(&self, messages: impl Iterator<Item = (PacketId, u64, i64)>) {
        let mut state = lock(&self.state);
        for (packet_id, fingerprint, timestamp_ns) in messages {
            if state.sent.len() == SENT_MAX {
                state.sent.pop_front();
            }
            state.sent.push_back(Sent {
                packet_id,
                fingerprint,
                timestamp_ns,
            });
        }
    }

    /// The timestamp of the point of a message of QoS 1 that is sent again, if it is remembered: it
    /// is the same point.
    pub fn timestamp_of_sent(&self, packet_id: PacketId, fingerprint: u64) -> Option<i64> {
        let state = lock(&self.state);
        let mut newest_first = state.sent.iter().rev();
        let sent = newest_first.find(|sent| sent.packet_id == packet_id)?;
        (sent.fingerprint == fingerprint).then_some(sent.timestamp_ns)
    }

    /// Notes that a message of QoS 2 comes in, and tells what is known of it.
    pub fn receive(&self, packet_id: PacketId) -> Receipt {
        let mut state = lock(&self.state);
        let received = state.received.entry(packet_id).or_default();
        match received {
            Received {
                is_complete: true, ..
            } => Receipt::Complete,
            Received {
                is_under_way: true, ..
            } => Receipt::UnderWay,
            Received {
                is_under_way,
                timestamp_ns,
                ..
            } => {
                *is_under_way = true;
                timestamp_ns.map_or(Receipt::New, Receipt::Unfinished)
            }
        }
    }

    /// Whether a message of QoS 2 was received and its batch is not done yet.
    pub fn is_under_way(&self, packet_id: PacketId) -> bool {
        lock(&self.state)
            .received
            .get(&packet_id)
            .is_some_and(|received| received.is_under_way)
    }

    /// Notes which timestamp the point of a message of QoS 2 gets, before it is stored.
    pub fn begin_receiving(&self, packet_id: PacketId, timestamp_ns: i64) -> Change {
        if let Some(received) = lock(&self.state).received.get_mut(&packet_id) {
            received.timestamp_ns = Some(timestamp_ns);
        }
        Change::Receive(self.number.0, packet_id, timestamp_ns)
    }

    /// Notes that a message of QoS 2 is stored and delivered.
    pub fn complete_receiving(&self, packet_id: PacketId) {
        if let Some(received) = lock(&self.state).received.get_mut(&packet_id) {
            received.is_complete = true;
            received.is_under_way = false;
        }
    }

    /// Forgets a message of QoS 2 that came in. Returns whether it was there.
    pub fn release(&self, packet_id: PacketId) -> bool {
        lock(&self.state).received.remove(&packet_id).is_some()
    }

    /// Takes messages of QoS 1 and 2 for the client. Sends what may be sent; the others wait, or
    /// find no room.
    ///
    /// Where the session is on disk, so must the messages be before any is sent: what is to be
    /// written is added to `changes`, and the caller confirms when that is done.
    pub fn deliver(
        self: &Arc<Self>,
        deliveries: impl Iterator<Item = Delivery>,
        changes: &mut Vec<Change>,
    ) -> Option<Held> {
        let mut state = lock(&self.state);
        if state.discarded {
            return None;
        }
        let first = state.outbound.next_sequence();
        for delivery in deliveries {
            if !self.has_room(&state) {
                state.dropped += 1;
            } else if state.is_kept {
                let for_disk = delivery.clone();
                let sequence = state.outbound.push_held(delivery);
                changes.push(Change::Enqueue(self.number.0, sequence, for_disk));
            } else {
                state.outbound.push(delivery);
            }
        }
        if state.dropped > 0 {
            self.on_full(&mut state);
        }
        if state.is_kept {
            let sequences = first..state.outbound.next_sequence();
            return Some(Held {
                session: Arc::clone(self),
                sequences,
            });
        }
        self.send_outbound(state);
        None
    }

    /// Takes messages however many wait: only for what is bounded elsewhere, such as retained
    /// messages. Sends what may be sent.
    ///
    /// Where the session is on disk, so are the messages first. They are kept elsewhere too, but
    /// after a crash the packet ids of those that were sent must not be those of other messages.
    ///
    /// # Errors
    /// When they cannot be brought to disk. Then none of them is taken.
    pub fn deliver_all(
        self: &Arc<Self>,
        deliveries: impl Iterator<Item = Delivery>,
    ) -> Result<(), Arc<StateError>> {
        let mut state = lock(&self.state);
        if state.discarded {
            return Ok(());
        }
        if !state.is_kept {
            deliveries.for_each(|delivery| _ = state.outbound.push(delivery));
            self.send_outbound(state);
            return Ok(());
        }
        let first = state.outbound.next_sequence();
        let changes: Vec<_> = deliveries
            .map(|delivery| {
                let for_disk = delivery.clone();
                let sequence = state.outbound.push_held(delivery);
                Change::Enqueue(self.number.0, sequence, for_disk)
            })
            .collect();
        let held = Held {
            session: Arc::clone(self),
            sequences: first..state.outbound.next_sequence(),
        };
        drop(state);
        if changes.is_empty() {
            return Ok(());
        }
        let outcome = self.keeper.keep(changes);
        match outcome.is_ok() {
            true => held.confirm(),
            false => held.withdraw(),
        }
        outcome
    }

    /// Handles acknowledgements of the client, in their order, and sends what they make room for.
    /// PUBREL packets that are due go to `answers`, and what must be on disk before they are sent
    /// to `changes`.
    ///
    /// # Errors
    /// The first that does not fit what was sent: a protocol error.
    pub fn on_acks(
        &self,
        acks: &mut Vec<(AckType, PacketId, ReasonCode)>,
        answers: &mut Vec<u8>,
        changes: &mut Vec<Change>,
    ) -> Result<(), (AckType, PacketId)> {
        let mut state = lock(&self.state);
        let mut outcome = Ok(());
        let version = state.link.as_ref().map(|link| link.terms().version);
        for (ack_type, packet_id, reason) in acks.drain(..) {
            let outbound = &mut state.outbound;
            let result = match (ack_type, reason.is_error()) {
                (AckType::PubAck, _) => outbound.on_puback(packet_id),
                (AckType::PubRec, true) => outbound.on_pubrec_refused(packet_id),
                (AckType::PubRec, false) => outbound.on_pubrec(packet_id),
                (AckType::PubComp, _) => outbound.on_pubcomp(packet_id),
                // Not an answer to anything that was sent.
                (AckType::PubRel, _) => continue,
            };
            match result {
                Err(Unexpected::WrongType) => {
                    outcome = Err((ack_type, packet_id));
                    break;
                }
                Err(Unexpected::Unknown) => {}
                // PUBREL says that the message will not be sent again.
                Ok(sequence)
                    if ack_type == AckType::PubRec && !reason.is_error() && state.is_kept =>
                {
                    changes.push(Change::Release(self.number.0, sequence));
                }
                Ok(sequence) if state.is_kept => {
                    self.keeper.note([Change::Done(self.number.0, sequence)]);
                }
                Ok(_) => {}
            }
            if let (AckType::PubRec, false, Some(version)) = (ack_type, reason.is_error(), version)
            {
                // A client that is answered nothing keeps the packet id for ever.
                let reason = match result {
                    Ok(_) => ReasonCode::Success,
                    Err(_) => ReasonCode::PacketIdentifierNotFound,
                };
                Ack::new(packet_id, reason).encode(AckType::PubRel, version, answers);
            }
        }
        self.send_outbound(state);
        outcome
    }

    fn has_room(&self, state: &State) -> bool {
        state.outbound.waiting() < self.limits.messages_max
            && state.outbound.waiting_bytes() < self.limits.bytes_max
    }

    fn on_full(&self, state: &mut State) {
        if let (WhenQueueFull::Disconnect, Some(link)) = (self.limits.when_full, &state.link)
            && link.ended_by().is_none()
        {
            error!("{}: its queue is full: disconnecting", link.outbox().name());
            // Its own thread tells it why, and closes the outbox.
            link.end(EndedBy::QueueFull);
        }
        if state
            .reported
            .is_none_or(|then| then.elapsed() >= REPORT_INTERVAL)
        {
            let waiting = state.outbound.waiting();
            let dropped = std::mem::take(&mut state.dropped);
            state.reported = Some(Instant::now());
            warn!(
                "client={:?}: its queue is full, {waiting} messages wait: dropped {dropped} of QoS 1 and 2",
                self.client_id
            );
        }
    }

    /// Sends what the window and the outbox have room for.
    fn send_outbound(&self, mut state: MutexGuard<'_, State>) {
        let State {
            link: Some(link),
            outbound,
            aliases,
            ..
        } = &mut *state
        else {
            return;
        };
        if outbound.waiting() == 0 {
            return;
        }
        let link = Arc::clone(link);
        let mut bytes = Vec::new();
        let mut given_up = Vec::new();
        let count = self.encode_outbound(outbound, aliases, &link, &mut bytes, &mut given_up);
        if state.is_kept && !given_up.is_empty() {
            self.keeper.note(
                given_up
                    .into_iter()
                    .map(|sequence| Change::Done(self.number.0, sequence)),
            );
        }
        // In the outbox before the lock is let go, so that the order holds; sent after that.
        let must_send = link.outbox().append(&bytes, count);
        drop(state);
        if must_send {
            link.outbox().send_waiting();
        }
    }

    fn encode_outbound(
        &self,
        outbound: &mut Outbound,
        aliases: &mut TopicAliases,
        link: &Link,
        bytes: &mut Vec<u8>,
        given_up: &mut Vec<u64>,
    ) -> usize {
        let Terms {
            version,
            packet_len_max,
            receive_max,
            ..
        } = *link.terms();
        let window = receive_max.min(self.limits.in_flight_max);
        let may_read = |topic: &str| link.may_read(topic);
        let queued = link.outbox().queued_bytes();
        let now = SystemTime::now();
        let mut count = 0;
        // With something in flight there will be an acknowledgement, and that brings us here again.
        while outbound.in_flight() == 0 || queued + bytes.len() < self.limits.bytes_max {
            let gone = match outbound.next(window) {
                None => break,
                Some(ToSend::PubRel(packet_id)) => {
                    Ack::new(packet_id, ReasonCode::Success).encode(
                        AckType::PubRel,
                        version,
                        bytes,
                    );
                    None
                }
                Some(ToSend::Publish(packet_id, delivery)) => {
                    let fits =
                        |publish: &Publish<'_>| publish.encoded_len(version) <= packet_len_max;
                    let topic = &delivery.message.topic;
                    let packet = packet(packet_id, delivery, now);
                    match packet.filter(|packet| may_read(topic) && fits(packet)) {
                        Some(publish) => {
                            with_alias(publish, aliases, topic, fits).encode(version, bytes);
                            count += 1;
                            None
                        }
                        None => Some(packet_id),
                    }
                }
            };
            if let Some(packet_id) = gone {
                given_up.extend(outbound.give_up(packet_id));
            }
        }
        count
    }
}

impl Held {
    /// They are on disk: sends what may be sent.
    pub fn confirm(self) {
        let mut state = lock(&self.session.state);
        self.sequences
            .for_each(|sequence| state.outbound.confirm(sequence));
        self.session.send_outbound(state);
    }

    /// They cannot be kept on disk: takes them back.
    pub fn withdraw(self) {
        let mut state = lock(&self.session.state);
        self.sequences
            .for_each(|sequence| state.outbound.withdraw(sequence));
    }
}

/// The packet of a delivery; `None` if it has expired.
fn packet(packet_id: PacketId, delivery: &Delivery, now: SystemTime) -> Option<Publish<'_>> {
    let now = match delivery.message.expires_at {
        // The client may have it already, and waits for PUBREL: it would take the next message with
        // this packet id for the same one.
        Some(expires_at) if delivery.dup && delivery.qos == QoS::ExactlyOnce => {
            now.min(expires_at - Duration::from_nanos(1))
        }
        _ => now,
    };
    let mut properties = delivery.message.properties_at(now)?;
    properties.subscription_identifiers = &delivery.subscription_identifiers;
    Some(Publish {
        dup: delivery.dup,
        qos: delivery.qos,
        retain: delivery.retain,
        topic: &delivery.message.topic,
        packet_id: Some(packet_id),
        properties,
        payload: &delivery.message.payload,
    })
}

/// The packet with a topic alias, if there is one for its topic and it `fits` with it.
fn with_alias<'p>(
    publish: Publish<'p>,
    aliases: &mut TopicAliases,
    topic: &Arc<str>,
    fits: impl Fn(&Publish<'_>) -> bool,
) -> Publish<'p> {
    let Some(alias) = aliases.find(topic) else {
        return publish;
    };
    let mut aliased = publish;
    match alias {
        Alias::Known(alias) => {
            aliased.topic = "";
            aliased.properties.topic_alias = Some(alias);
        }
        Alias::New(alias) => {
            aliased.properties.topic_alias = Some(alias);
            if !fits(&aliased) {
                return publish;
            }
            aliases.learn(topic, alias);
        }
    }
    aliased
}

/// How often a client whose queue stays full is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
