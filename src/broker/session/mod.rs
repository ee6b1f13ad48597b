//! What the broker keeps for one client, whether it is connected or not.

mod delivery;

pub use delivery::Held;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Instant, SystemTime};

use log::error;

use super::{Keeper, Link};
use crate::close_reason::EndedBy;
use crate::codec::PacketId;
use crate::config::WhenQueueFull;
use crate::lock::{lock, wait_timeout};
use crate::session::{Inbound, Outbound, Receipt, TopicAliases};
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
    /// What it sent and may send again.
    inbound: Inbound,
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
        let mut inbound = Inbound::default();
        for (packet_id, timestamp_ns, is_complete) in received {
            inbound.restore(packet_id, timestamp_ns, is_complete);
        }
        let state = State {
            outbound,
            filters: subscriptions
                .into_iter()
                .map(|subscription| subscription.filter)
                .collect(),
            inbound,
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
        state.inbound.rewind();
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
        state.inbound = Inbound::default();
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
        let inbound = &mut lock(&self.state).inbound;
        for (packet_id, fingerprint, timestamp_ns) in messages {
            inbound.remember(packet_id, fingerprint, timestamp_ns);
        }
    }

    /// As [`Inbound::timestamp_of`].
    pub fn timestamp_of_sent(&self, packet_id: PacketId, fingerprint: u64) -> Option<i64> {
        lock(&self.state)
            .inbound
            .timestamp_of(packet_id, fingerprint)
    }

    /// As [`Inbound::receive`].
    pub fn receive(&self, packet_id: PacketId) -> Receipt {
        lock(&self.state).inbound.receive(packet_id)
    }

    /// As [`Inbound::is_under_way`].
    pub fn is_under_way(&self, packet_id: PacketId) -> bool {
        lock(&self.state).inbound.is_under_way(packet_id)
    }

    /// Notes which timestamp the point of a message of QoS 2 gets, before it is stored. Returns what
    /// is to be on disk for that, where the session is.
    pub fn begin_receiving(&self, packet_id: PacketId, timestamp_ns: i64) -> Change {
        lock(&self.state).inbound.begin(packet_id, timestamp_ns);
        Change::Receive(self.number.0, packet_id, timestamp_ns)
    }

    /// As [`Inbound::complete`].
    pub fn complete_receiving(&self, packet_id: PacketId) {
        lock(&self.state).inbound.complete(packet_id);
    }

    /// As [`Inbound::release`].
    pub fn release(&self, packet_id: PacketId) -> bool {
        lock(&self.state).inbound.release(packet_id)
    }
}
