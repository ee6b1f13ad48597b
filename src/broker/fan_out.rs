//! A batch of messages on its way to many subscribers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Held, Keeper, Link, Matching, Receiver, Session, SessionNumber};
use crate::codec::{PacketId, ProtocolVersion, Publish, PublishProperties, QoS};
use crate::message::Message;
use crate::session::Delivery;
use crate::state::{Change, StateError};

/// A message that was just published, and is not owned by anybody yet.
#[derive(Debug)]
pub struct Publication<'a> {
    /// Where its publisher has noted what it knows of the topic.
    pub topic_index: TopicIndex,
    /// Any bytes, or none.
    pub payload: &'a [u8],
    /// What it was published with.
    pub qos: QoS,
    /// RETAIN as the publisher set it.
    pub retain: bool,
    /// Those of MQTT 5.0; not many messages have any.
    pub properties: Option<Box<PublishProperties<'a>>>,
    /// Where in the batch its packet is.
    pub packet: Range<usize>,
    /// The version of MQTT in which that packet can be passed on as it is, to who gets it with QoS
    /// 0 and RETAIN 0. `None`: in no version.
    pub verbatim_in: Option<ProtocolVersion>,
    /// Of its point, if it has been given one.
    pub timestamp_ns: Option<i64>,
    /// Its packet id and the fingerprint of its topic and payload, if it may come again.
    pub at_least_once: Option<(PacketId, u64)>,
    /// Under which packet id its session knows it, if it is to be stored exactly once.
    pub exactly_once: Option<PacketId>,
    /// The message, once somebody had to keep it.
    pub kept: Option<Arc<Message>>,
}

/// Where a publisher has noted what it knows of a topic; valid until the end of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicIndex(pub u32);

/// Gathers what each subscriber gets of a batch, so that each gets one send, whatever the number
/// of messages.
///
/// Bytes are not copied on the way: a parcel is a list of pieces, of the publisher's read buffer
/// where a packet can be passed on as it came, and pieces that lie one behind the other are one.
#[derive(Debug, Default)]
pub struct FanOut {
    /// The messages of a run, as most subscribers get them: QoS 0, RETAIN 0, nothing added.
    plain_v3: Vec<Piece>,
    plain_v5: Vec<Piece>,
    /// Packets that had to be made anew.
    made: Vec<u8>,
    parcels: Vec<Parcel>,
    /// How many of `parcels` are in use; the others only keep their space.
    used: usize,
    by_session: HashMap<SessionNumber, usize, RandomState>,
    /// Working space for a parcel of many pieces.
    joined: Vec<u8>,
}

/// What one subscriber gets.
#[derive(Debug, Default)]
struct Parcel {
    to: Option<Arc<Session>>,
    link: Option<Arc<Link>>,
    /// Packets of QoS 0, and how many they are.
    pieces: Vec<Piece>,
    messages: usize,
    /// Messages of QoS 1 and 2.
    deliveries: Vec<Delivery>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    of: PieceOf,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PieceOf {
    /// The bytes that the publisher sent.
    Batch,
    /// [`FanOut::made`].
    Made,
}

/// Working space beyond which a batch that did not need it gives it back.
const SPACE_KEPT_MAX: usize = 16 * 1024;

impl FanOut {
    /// Adds messages of one topic, which follow one another, for all who match.
    pub fn add(
        &mut self,
        run: &mut [Publication<'_>],
        topic: &Arc<str>,
        matching: &Matching,
        publisher: Option<SessionNumber>,
    ) {
        let run_qos = run
            .iter()
            .map(|publication| publication.qos)
            .max()
            .unwrap_or_default();
        let retain = run.iter().any(|publication| publication.retain);
        self.plain_v3.clear();
        self.plain_v5.clear();
        for receiver in matching
            .receivers
            .iter()
            .filter_map(|receiver| receiver.of(publisher))
        {
            let index = self.parcel_for(&receiver.session);
            let is_plain = receiver.qos.min(run_qos) == QoS::AtMostOnce
                && receiver.identifiers.is_empty()
                && !(retain && receiver.retain_as_published);
            if is_plain {
                self.add_plain(index, run, topic);
            } else {
                run.iter_mut()
                    .for_each(|publication| self.add_one(index, publication, topic, receiver));
            }
        }
        for share in &matching.shares {
            for publication in &mut *run {
                let may_read =
                    |session: &Session| session.link().is_none_or(|link| link.may_read(topic));
                let Some(receiver) = share.pick().filter(|receiver| may_read(&receiver.session))
                else {
                    continue;
                };
                let index = self.parcel_for(&receiver.session);
                self.add_one(index, publication, topic, &receiver);
            }
        }
    }

    /// Sends all parcels, without waiting for any client, and is empty again.
    ///
    /// What goes to sessions that are on disk is written there first, together with `changes`, in
    /// one commit. `must_be_kept` says that what was noted before must be there too.
    ///
    /// # Errors
    /// When that failed. Then none of it goes out; what others get has been sent.
    pub fn send(
        &mut self,
        batch: &[u8],
        mut changes: Vec<Change>,
        must_be_kept: bool,
        keeper: &Keeper,
    ) -> Result<(), Arc<StateError>> {
        let mut held = Vec::new();
        let Self {
            made,
            parcels,
            joined,
            ..
        } = self;
        for parcel in &mut parcels[..self.used] {
            let bytes = |piece: &Piece| match piece.of {
                PieceOf::Batch => &batch[piece.start..piece.end],
                PieceOf::Made => &made[piece.start..piece.end],
            };
            match (parcel.link.take(), parcel.pieces.as_slice()) {
                (None, _) | (_, []) => {}
                (Some(link), [piece]) => link.outbox().deliver(bytes(piece), parcel.messages),
                (Some(link), pieces) => {
                    joined.clear();
                    pieces
                        .iter()
                        .for_each(|piece| joined.extend_from_slice(bytes(piece)));
                    link.outbox().deliver(joined, parcel.messages);
                }
            }
            parcel.pieces.clear();
            parcel.messages = 0;
            if let Some(session) = parcel.to.take()
                && !parcel.deliveries.is_empty()
            {
                held.extend(session.deliver(parcel.deliveries.drain(..), &mut changes));
            }
        }
        self.used = 0;
        self.by_session.clear();
        trim(&mut self.made);
        trim(&mut self.joined);
        self.made.clear();
        self.joined.clear();

        let outcome = if must_be_kept || !changes.is_empty() {
            keeper.keep(changes)
        } else {
            Ok(())
        };
        held.into_iter().for_each(if outcome.is_ok() {
            Held::confirm
        } else {
            Held::withdraw
        });
        outcome
    }

    /// Adds the whole run as all plain subscribers of one version get it.
    fn add_plain(&mut self, index: usize, run: &[Publication<'_>], topic: &str) {
        let Some(link) = &self.parcels[index].link else {
            // Nothing of QoS 0 waits for who is not there.
            return;
        };
        let version = link.terms().version;
        let len_max = link.terms().packet_len_max;
        let plain = match version {
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => &mut self.plain_v3,
            ProtocolVersion::V5 => &mut self.plain_v5,
        };
        if plain.is_empty() {
            for publication in run {
                let piece = match publication.is_verbatim_in(version) {
                    true => Piece::of_batch(&publication.packet),
                    false => make(&mut self.made, &publication.plain_packet(topic), version),
                };
                push_joined(plain, piece);
            }
        }
        let total: usize = plain.iter().map(|piece| piece.end - piece.start).sum();
        let parcel = &mut self.parcels[index];
        if total <= len_max {
            plain
                .iter()
                .for_each(|piece| push_joined(&mut parcel.pieces, *piece));
            parcel.messages += run.len();
            return;
        }
        // [MQTT-3.1.2-24] one by one, as some of them may be longer than the client takes.
        for publication in run {
            let packet = publication.plain_packet(topic);
            if packet.encoded_len(version) <= len_max {
                let piece = make(&mut self.made, &packet, version);
                push_joined(&mut parcel.pieces, piece);
                parcel.messages += 1;
            }
        }
    }

    /// Adds one message as just this receiver gets it.
    fn add_one(
        &mut self,
        index: usize,
        publication: &mut Publication<'_>,
        topic: &Arc<str>,
        receiver: &Receiver,
    ) {
        let parcel = &mut self.parcels[index];
        let qos = publication.qos.min(receiver.qos); // [MQTT-3.8.4-8]
        let retain = publication.retain && receiver.retain_as_published;
        if qos > QoS::AtMostOnce {
            let message = Arc::clone(publication.kept(topic));
            let subscription_identifiers = receiver.identifiers.clone();
            parcel.deliveries.push(Delivery {
                message,
                qos,
                retain,
                dup: false,
                subscription_identifiers,
            });
            return;
        }
        let Some(link) = &parcel.link else {
            return;
        };
        let mut packet = publication.plain_packet(topic);
        packet.retain = retain;
        packet.properties.subscription_identifiers = &receiver.identifiers;
        if packet.encoded_len(link.terms().version) <= link.terms().packet_len_max {
            let piece = make(&mut self.made, &packet, link.terms().version);
            push_joined(&mut parcel.pieces, piece);
            parcel.messages += 1;
        }
    }

    fn parcel_for(&mut self, session: &Arc<Session>) -> usize {
        // Most often it is the one that got the message before.
        if let Some(last) = self.used.checked_sub(1)
            && self.parcels[last]
                .to
                .as_ref()
                .is_some_and(|to| to.number() == session.number())
        {
            return last;
        }
        if let Some(index) = self.by_session.get(&session.number()) {
            return *index;
        }
        let index = self.used;
        self.used += 1;
        self.by_session.insert(session.number(), index);
        if index == self.parcels.len() {
            self.parcels.push(Parcel::default());
        }
        let parcel = &mut self.parcels[index];
        parcel.link = session.link();
        parcel.to = Some(Arc::clone(session));
        index
    }
}

impl Publication<'_> {
    /// The message to keep, made the first time it is asked for.
    pub fn kept(&mut self, topic: &Arc<str>) -> &Arc<Message> {
        self.kept.get_or_insert_with(|| {
            let properties = self.properties.as_deref().copied().unwrap_or_default();
            Arc::new(Message::new(
                Arc::clone(topic),
                self.payload,
                self.qos,
                self.retain,
                &properties,
            ))
        })
    }

    /// The packet that nearly everybody gets. The seconds until it expires have just begun.
    fn plain_packet<'p>(&'p self, topic: &'p str) -> Publish<'p> {
        let properties = self.properties.as_deref().copied().unwrap_or_default();
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false, // [MQTT-3.3.1-12]
            topic,
            packet_id: None,
            properties: PublishProperties {
                topic_alias: None,
                ..properties
            },
            payload: self.payload,
        }
    }

    fn is_verbatim_in(&self, version: ProtocolVersion) -> bool {
        self.qos == QoS::AtMostOnce
            && !self.retain
            && match (self.verbatim_in, version) {
                (None, _) => false,
                (Some(ProtocolVersion::V5), version) => version == ProtocolVersion::V5,
                (Some(ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1), version) => {
                    version != ProtocolVersion::V5
                }
            }
    }
}

impl Piece {
    fn of_batch(range: &Range<usize>) -> Self {
        Self {
            of: PieceOf::Batch,
            start: range.start,
            end: range.end,
        }
    }
}

fn make(made: &mut Vec<u8>, packet: &Publish<'_>, version: ProtocolVersion) -> Piece {
    let start = made.len();
    packet.encode(version, made);
    Piece {
        of: PieceOf::Made,
        start,
        end: made.len(),
    }
}

/// Gives back space that this batch did not need, so that a client that was loud once is not
/// expensive for ever.
pub(crate) fn trim(space: &mut Vec<u8>) {
    if space.capacity() > SPACE_KEPT_MAX && space.len() < space.capacity() / 4 {
        *space = Vec::new();
    }
}

fn push_joined(pieces: &mut Vec<Piece>, piece: Piece) {
    match pieces.last_mut() {
        Some(last) if last.of == piece.of && last.end == piece.start => last.end = piece.end,
        _ => pieces.push(piece),
    }
}
