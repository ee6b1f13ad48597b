//! The way of messages of QoS 1 and 2 to one client: queued, sent, acknowledged.

use std::ops::Range;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use log::{error, warn};

use super::super::{Link, Terms};
use super::{Session, State};
use crate::close_reason::EndedBy;
use crate::codec::{Ack, AckType, PacketId, Publish, QoS, ReasonCode};
use crate::config::WhenQueueFull;
use crate::lock::lock;
use crate::session::{Alias, Delivery, Outbound, ToSend, TopicAliases, Unexpected};
use crate::state::{Change, StateError};
/// Messages that are in a session's queue, and wait there until they are on disk.
#[derive(Debug)]
pub struct Held {
    session: Arc<Session>,
    sequences: Range<u64>,
}

impl Session {
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
    pub(super) fn send_outbound(&self, mut state: MutexGuard<'_, State>) {
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
