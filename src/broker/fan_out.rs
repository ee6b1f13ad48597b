//! A batch of messages on its way to many subscribers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Session, SessionNumber, Subscription};
use crate::codec::{ProtocolVersion, Publish};

/// Gathers what each subscriber gets of a batch, so that each gets one send, whatever the number
/// of messages.
///
/// Bytes are not copied on the way: a parcel is a list of pieces, of the publisher's read buffer
/// where a packet can be passed on as it came, and pieces that lie one behind the other are one.
#[derive(Debug, Default)]
pub struct FanOut {
    /// The messages under way to the subscribers that come next.
    pieces: Vec<Piece>,
    messages: usize,
    /// Packets that had to be made anew, once for all subscribers.
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
    pieces: Vec<Piece>,
    messages: usize,
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
    /// Adds a message for the subscribers that are named next. `packet` is where it stands in
    /// `batch`; those bytes are passed on where they say the same as `publish`.
    pub fn add_piece(&mut self, batch: &[u8], packet: Range<usize>, publish: &Publish<'_>) {
        // With QoS 0 and RETAIN 0 there is nothing in the packet that a subscriber may not have.
        let piece = if batch.get(packet.start) == Some(&PLAIN_PUBLISH) {
            Piece {
                of: PieceOf::Batch,
                start: packet.start,
                end: packet.end,
            }
        } else {
            let start = self.made.len();
            publish.encode(ProtocolVersion::V3_1_1, &mut self.made);
            Piece {
                of: PieceOf::Made,
                start,
                end: self.made.len(),
            }
        };
        push_joined(&mut self.pieces, piece);
        self.messages += 1;
    }

    /// Puts the messages that were added since the last call into these subscribers' parcels.
    pub fn deliver_pieces_to(&mut self, subscribers: &[Subscription]) {
        for subscription in subscribers {
            let index = self.parcel_for(&subscription.session);
            let parcel = &mut self.parcels[index];
            for piece in &self.pieces {
                push_joined(&mut parcel.pieces, *piece);
            }
            parcel.messages += self.messages;
        }
        self.pieces.clear();
        self.messages = 0;
    }

    /// Sends all parcels, without waiting for anybody, and is empty again.
    pub fn send(&mut self, batch: &[u8]) {
        let Self {
            made,
            parcels,
            joined,
            ..
        } = self;
        for parcel in &mut parcels[..self.used] {
            let Some(session) = parcel.to.take() else {
                continue;
            };
            let bytes = |piece: &Piece| match piece.of {
                PieceOf::Batch => &batch[piece.start..piece.end],
                PieceOf::Made => &made[piece.start..piece.end],
            };
            match parcel.pieces.as_slice() {
                [piece] => session.outbox().deliver(bytes(piece), parcel.messages),
                pieces => {
                    joined.clear();
                    pieces
                        .iter()
                        .for_each(|piece| joined.extend_from_slice(bytes(piece)));
                    session.outbox().deliver(joined, parcel.messages);
                }
            }
            parcel.pieces.clear();
            parcel.messages = 0;
        }
        self.used = 0;
        self.by_session.clear();
        trim(&mut self.made);
        trim(&mut self.joined);
        self.made.clear();
        self.joined.clear();
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
        self.parcels[index].to = Some(Arc::clone(session));
        index
    }
}

/// The first byte of a PUBLISH with QoS 0, DUP 0 and RETAIN 0.
const PLAIN_PUBLISH: u8 = 0x30;

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
