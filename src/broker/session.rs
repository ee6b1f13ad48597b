//! What the broker keeps for one client, whether it is connected or not.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use log::{error, warn};

use super::{Link, Terms};
use crate::close_reason::EndedBy;
use crate::codec::{Ack, AckType, PacketId, Publish, ReasonCode};
use crate::config::WhenQueueFull;
use crate::lock::{lock, wait_timeout};
use crate::session::{Alias, Delivery, Outbound, ToSend, TopicAliases, Unexpected};

/// A client's session: its subscriptions, the messages on their way to it, and the link to it while
/// it is connected. Publishers' threads reach a client through here.
///
/// Lock order: `state`, then the outbox's. Neither is held while bytes are sent.
#[derive(Debug)]
pub struct Session {
    number: SessionNumber,
    client_id: Arc<str>,
    limits: QueueLimits,
    /// Whether there is a link, for those who only want to know.
    connected: AtomicBool,
    state: Mutex<State>,
    /// The link was taken away.
    detached: Condvar,
}

/// Tells two sessions of one client id apart. Never used twice while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(u64);

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
    outbound: Outbound,
    /// Of the link. Only packets that are encoded under this lock have any, as they must reach the
    /// client in that order.
    aliases: TopicAliases,
    /// The filters it is subscribed to, as the client wrote them.
    filters: HashSet<Box<str>>,
    /// Messages of QoS 2 that it sent, that were stored, and that it has not released yet.
    received: HashSet<PacketId>,
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
pub enum Detached {
    /// The session goes on without the client; the number of this attachment is for timers.
    Kept(u64),
    /// The session was over already; this is the will, which nothing puts off any more.
    Discarded(Option<Box<[u8]>>),
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
    pub fn new(client_id: &str, limits: QueueLimits) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            number: SessionNumber(NEXT.fetch_add(1, Ordering::Relaxed)),
            client_id: client_id.into(),
            limits,
            connected: AtomicBool::new(false),
            state: Mutex::default(),
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

    /// Whether the client is connected; it may be gone the next moment.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Connects a client: sends `connack`, then what the session has for it.
    pub fn attach(&self, link: &Arc<Link>, connack: &[u8]) -> Attached {
        let mut state = lock(&self.state);
        if state.discarded {
            return Attached::Discarded;
        }
        if let Some(taken) = &state.link {
            return Attached::Taken(Arc::clone(taken));
        }
        state.link = Some(Arc::clone(link));
        state.aliases = TopicAliases::up_to(link.terms().topic_alias_max);
        state.will = None;
        state.attachments += 1;
        self.connected.store(true, Ordering::Relaxed);
        // [MQTT-3.2.0-1] nothing goes before CONNACK: only from here on do others find the link.
        link.outbox().answer(connack);
        self.send_outbound(state);
        Attached::Yes
    }

    /// Takes the link away. `will` is a will that is still to come.
    pub fn detach(&self, will: Option<Box<[u8]>>) -> Detached {
        let mut state = lock(&self.state);
        state.link = None;
        state.outbound.rewind();
        self.connected.store(false, Ordering::Relaxed);
        self.detached.notify_all();
        if state.discarded {
            return Detached::Discarded(will);
        }
        state.will = will;
        Detached::Kept(state.attachments)
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

    /// Waits until no client is connected; gives up at `deadline`.
    pub fn await_detached(&self, deadline: Instant) {
        let mut state = lock(&self.state);
        while state.link.is_some() {
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
        state.received = HashSet::new();
        LeftBehind {
            filters: std::mem::take(&mut state.filters),
            will: state.will.take(),
        }
    }

    /// Whether the client has not been connected again since it had been for the `attachment`th
    /// time.
    pub fn is_still_detached_after(&self, attachment: u64) -> bool {
        let state = lock(&self.state);
        state.link.is_none() && state.attachments == attachment && !state.discarded
    }

    /// Whether the session is over.
    pub fn is_over(&self) -> bool {
        lock(&self.state).discarded
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

    /// Notes a message of QoS 2 that came in. Returns `false` if it is here already: it was sent
    /// again [MQTT-4.3.3-10].
    pub fn receive(&self, packet_id: PacketId) -> bool {
        lock(&self.state).received.insert(packet_id)
    }

    /// Forgets a message of QoS 2 that came in. Returns whether it was there.
    pub fn release(&self, packet_id: PacketId) -> bool {
        lock(&self.state).received.remove(&packet_id)
    }

    /// Takes messages of QoS 1 and 2 for the client. Sends what may be sent; the others wait, or
    /// find no room.
    pub fn deliver(&self, deliveries: impl Iterator<Item = Delivery>) {
        let mut state = lock(&self.state);
        if state.discarded {
            return;
        }
        for delivery in deliveries {
            if self.has_room(&state) {
                state.outbound.push(delivery);
            } else {
                state.dropped += 1;
            }
        }
        if state.dropped > 0 {
            self.on_full(&mut state);
        }
        self.send_outbound(state);
    }

    /// Takes messages however many wait: only for what is bounded elsewhere, such as retained
    /// messages.
    pub fn deliver_all(&self, deliveries: impl Iterator<Item = Delivery>) {
        let mut state = lock(&self.state);
        if !state.discarded {
            deliveries.for_each(|delivery| _ = state.outbound.push(delivery));
            self.send_outbound(state);
        }
    }

    /// Handles acknowledgements of the client, in their order, and sends what they make room for.
    /// PUBREL packets that are due go to `answers`.
    ///
    /// # Errors
    /// The first that does not fit what was sent: a protocol error.
    pub fn on_acks(
        &self,
        acks: &mut Vec<(AckType, PacketId, ReasonCode)>,
        answers: &mut Vec<u8>,
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
            if let Err(Unexpected::WrongType) = result {
                outcome = Err((ack_type, packet_id));
                break;
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
        let count = self.encode_outbound(outbound, aliases, &link, &mut bytes);
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
    ) -> usize {
        let Terms {
            version,
            packet_len_max,
            receive_max,
            ..
        } = *link.terms();
        let window = receive_max.min(self.limits.in_flight_max);
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
                    match packet(packet_id, delivery, now).filter(fits) {
                        Some(publish) => {
                            let topic = &delivery.message.topic;
                            with_alias(publish, aliases, topic, fits).encode(version, bytes);
                            count += 1;
                            None
                        }
                        None => Some(packet_id),
                    }
                }
            };
            if let Some(packet_id) = gone {
                outbound.give_up(packet_id);
            }
        }
        count
    }
}

/// The packet of a delivery; `None` if it has expired.
fn packet(packet_id: PacketId, delivery: &Delivery, now: SystemTime) -> Option<Publish<'_>> {
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
