//! One client's thread, from the accepted connection to its end.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::{debug, log_enabled, warn};

use crate::broker::{Broker, Leaving, Link, Publication, Session, WhatIsDue};
use crate::close_reason::{CloseReason, EndedBy};
use crate::codec::{AckType, Disconnect, PacketId, ProtocolVersion, ReasonCode, next_frame};
use crate::handlers::{self, PendingAck};
use crate::limits::{Pace, UserSeat};
use crate::net::{ReadBuffer, Stream};
use crate::publisher::Publisher;
use crate::shutdown::Shutdown;
use crate::state::Change;

/// A client that has been accepted: what its own thread knows of it.
#[derive(Debug)]
pub(crate) struct Connection<'b> {
    pub(crate) broker: &'b Broker,
    /// What stays when the connection ends.
    pub(crate) session: Arc<Session>,
    /// How the others reach it.
    pub(crate) link: Arc<Link>,
    /// How long may pass without a whole packet; `None` is for ever.
    pub(crate) patience: Option<Duration>,
    /// How long the session is kept after the connection.
    pub(crate) expiry: SessionExpiry,
    pub(crate) will: Option<Will>,
    pub(crate) publisher: Publisher,
    /// What the client's topic aliases stand for [MQTT-3.3.2-10].
    pub(crate) aliases: HashMap<NonZeroU16, Arc<str>>,
    /// What is to be answered to the messages at hand, once they are stored.
    pub(crate) pending: Vec<PendingAck>,
    /// Acknowledgements that the client sent in the batch at hand.
    pub(crate) acks: Vec<(AckType, PacketId, ReasonCode)>,
    /// Answers to the batch at hand: sent together.
    pub(crate) answers: Vec<u8>,
    /// What must be on disk before the answers are sent.
    pub(crate) changes: Vec<Change>,
    /// How fast it sends.
    pub(crate) pace: Pace,
    /// Its place among the clients of its user, where those are counted.
    pub(crate) user_seat: Option<UserSeat>,
    /// How many messages the last batch had: the next one is likely to be alike.
    batch_len: usize,
}

/// How long a session is kept after its connection has ended, in seconds [MQTT-3.1.2-23].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionExpiry(pub(crate) u32);

impl SessionExpiry {
    /// The session ends with the connection: a clean session, in the words of MQTT 3.1.1.
    pub(crate) const AT_ONCE: Self = Self(0);
    pub(crate) const NEVER: Self = Self(u32::MAX);
}

/// A will, as the PUBLISH packet of MQTT 5.0 that the client would have sent.
#[derive(Debug)]
pub(crate) struct Will {
    pub(crate) topic: Box<str>,
    pub(crate) packet: Box<[u8]>,
    /// How long after the end of the connection it is published [MQTT-3.1.3-9], in seconds.
    pub(crate) delay: u32,
}

/// Serves one client until its connection ends; then publishes its will where there is one to
/// publish, and logs why it ended.
pub(crate) fn serve(stream: Stream, peer: SocketAddr, broker: &Broker, shutdown: &Shutdown) {
    let mut input = ReadBuffer::new();
    let connected = catch_unwind(AssertUnwindSafe(|| {
        let deadline = stream.opened() + broker.config.connect_timeout;
        await_connect(&stream, &mut input, broker, deadline)?;
        handlers::on_connect(stream, &mut input, peer, broker)
    }));
    let mut connection = match connected.unwrap_or(Err(CloseReason::Panicked)) {
        Ok(connection) => connection,
        Err(reason) => return reason.log(&format!("peer={peer}")),
    };
    shutdown.enter(&connection.link);
    let run = catch_unwind(AssertUnwindSafe(|| connection.run(&mut input)));
    let reason = run.unwrap_or(CloseReason::Panicked);
    reason.log(connection.name());
    drop(input);

    let end = catch_unwind(AssertUnwindSafe(|| connection.end(&reason, shutdown)));
    if end.is_err() {
        CloseReason::Panicked.log(connection.name());
    }
    connection.link.outbox().close();
    shutdown.leave();
}

/// Waits for the whole of a CONNECT; anything else is refused from its first bytes on.
fn await_connect(
    stream: &Stream,
    input: &mut ReadBuffer,
    broker: &Broker,
    deadline: Instant,
) -> Result<(), CloseReason> {
    while next_frame(input.bytes(), None, broker.config.max_packet_size)?.is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        let timed_out = || CloseReason::ConnectTimeout {
            after: broker.config.connect_timeout,
        };
        if left.is_zero() {
            return Err(timed_out());
        }
        stream.set_read_timeout(Some(left))?;
        match input.fill(stream) {
            Ok(0) => return Err(CloseReason::ClosedByPeer),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => return Err(timed_out()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl<'b> Connection<'b> {
    pub(crate) fn new(broker: &'b Broker, session: Arc<Session>, link: Arc<Link>) -> Self {
        let publisher = Publisher::default();
        Self {
            broker,
            session,
            link,
            patience: None,
            expiry: SessionExpiry::AT_ONCE,
            will: None,
            publisher,
            aliases: HashMap::new(),
            pending: Vec::new(),
            acks: Vec::new(),
            answers: Vec::new(),
            changes: Vec::new(),
            pace: Pace::new(broker.limits.pace, Instant::now()),
            user_seat: None,
            batch_len: 0,
        }
    }

    /// Who it is, for the log.
    pub(crate) fn name(&self) -> &str {
        self.link.outbox().name()
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.link.terms().version
    }

    /// Reads and handles batches until there is a reason to end.
    fn run(&mut self, input: &mut ReadBuffer) -> CloseReason {
        let link = Arc::clone(&self.link);
        let stream = link.outbox().stream();
        if let Err(error) = stream.set_read_timeout(self.patience) {
            return error.into();
        }
        input.limit_reads(self.pace.read_len_max());
        let mut last_packet = Instant::now();
        let mut timeout_is_shorter = false;
        loop {
            match self.on_batch(input.bytes()) {
                Err(reason) => return reason,
                // Only whole packets keep a client alive: one that sends byte after byte of a
                // packet it never finishes does not [MQTT-3.1.2-22].
                Ok(0) if !input.bytes().is_empty() && self.patience.is_some() => {
                    let left = self
                        .patience
                        .map(|patience| patience.saturating_sub(last_packet.elapsed()));
                    if left.is_some_and(|left| left.is_zero()) {
                        return self.keep_alive_expired();
                    }
                    timeout_is_shorter = true;
                    if let Err(error) = stream.set_read_timeout(left) {
                        return error.into();
                    }
                }
                Ok(consumed) => {
                    input.consume(consumed);
                    last_packet = Instant::now();
                    if std::mem::take(&mut timeout_is_shorter)
                        && let Err(error) = stream.set_read_timeout(self.patience)
                    {
                        return error.into();
                    }
                }
            }
            // We did not read; that the client sent nothing nobody can say.
            last_packet += self.keep_pace();
            match input.fill(stream) {
                Ok(0) => return self.why_it_ended(CloseReason::ClosedByPeer),
                Ok(count) => self.pace.note_bytes(count),
                Err(error) if is_timeout(&error) => return self.keep_alive_expired(),
                Err(error) => return self.why_it_ended(error.into()),
            }
        }
    }

    /// Waits while the client has sent faster than it may, so that it fills its own socket and not
    /// our memory. Returns for how long.
    fn keep_pace(&mut self) -> Duration {
        if !self.pace.is_limited() {
            return Duration::ZERO;
        }
        let start = Instant::now();
        let Some((limit, owed)) = self.pace.owed(start) else {
            return Duration::ZERO;
        };
        self.broker.limits.bites.note(limit, self.name());
        loop {
            let waited = start.elapsed();
            let is_over = self.link.ended_by().is_some() || self.link.outbox().is_closed();
            if is_over || waited >= owed {
                return waited;
            }
            thread::sleep((owed - waited).min(PAUSE_MAX));
        }
    }

    fn keep_alive_expired(&self) -> CloseReason {
        CloseReason::KeepAliveExpired {
            after: self.patience.unwrap_or_default(),
        }
    }

    /// Another thread that ends a connection makes its reader find the end of the stream.
    fn why_it_ended(&self, found: CloseReason) -> CloseReason {
        match self.link.ended_by() {
            Some(ended_by) => CloseReason::Ended(ended_by),
            None if self.link.outbox().is_closed() => CloseReason::Ended(EndedBy::Outbox),
            None => found,
        }
    }

    /// Handles the whole packets among `bytes` and returns how many bytes those were.
    ///
    /// PUBLISH packets that follow one another are stored and delivered together.
    fn on_batch(&mut self, bytes: &[u8]) -> Result<usize, CloseReason> {
        let mut messages = Vec::with_capacity(self.batch_len);
        let mut consumed = 0;
        let outcome = loop {
            match self.on_next_packet(bytes, consumed, &mut messages) {
                Ok(Some(len)) => consumed += len,
                Ok(None) => break Ok(consumed),
                Err(reason) => break Err(reason),
            }
        };
        self.batch_len = messages.len();
        // What came before a bad packet was good, and counts.
        self.publish(bytes, &mut messages)?;
        self.handle_acks()?;
        self.send_answers()?;
        self.publisher.end_batch();
        outcome
    }

    fn on_next_packet<'a>(
        &mut self,
        batch: &'a [u8],
        start: usize,
        messages: &mut Vec<Publication<'a>>,
    ) -> Result<Option<usize>, CloseReason> {
        let rest = batch.get(start..).unwrap_or_default();
        let Some(frame) = next_frame(
            rest,
            Some(self.version()),
            self.broker.config.max_packet_size,
        )?
        else {
            return Ok(None);
        };
        let len = frame.bytes.len();
        if log_enabled!(log::Level::Debug) {
            debug!(
                "{}: received {:?} of {len} bytes",
                self.name(),
                frame.packet_type
            );
        }
        self.on_packet(&frame, batch, start..start + len, messages)?;
        Ok(Some(len))
    }

    /// Stores, retains and delivers the messages, and only then acknowledges them.
    ///
    /// `messages` is empty afterwards.
    pub(crate) fn publish(
        &mut self,
        batch: &[u8],
        messages: &mut Vec<Publication<'_>>,
    ) -> Result<(), CloseReason> {
        if !messages.is_empty() {
            let session = Some(&*self.session);
            let changes = &mut self.changes;
            let outcome = self
                .publisher
                .publish(self.broker, batch, messages, session, changes);
            outcome.or_else(|error| self.refuse_pending(messages, error))?;
        }
        messages.clear();
        self.acknowledge_pending();
        Ok(())
    }

    /// Sends the answers, once what they promise is on disk.
    pub(crate) fn send_answers(&mut self) -> Result<(), CloseReason> {
        if !self.changes.is_empty() {
            self.broker.keeper.keep(self.changes.drain(..))?;
        }
        self.link.outbox().answer(&self.answers);
        self.answers.clear();
        Ok(())
    }

    /// Takes the client out of everything, and sees to its will.
    fn end(&mut self, reason: &CloseReason, shutdown: &Shutdown) {
        let stops = matches!(reason, CloseReason::Ended(EndedBy::Shutdown));
        let will = self
            .will
            .take()
            .filter(|will| reason.publishes_will() && self.may_publish(will));
        let (will_now, will_later) = match will {
            // [MQTT-3.1.3-9] the will is due at the end of the session at the latest.
            Some(will) if will.delay > 0 && self.expiry > SessionExpiry::AT_ONCE && !stops => {
                (None, Some(will))
            }
            will => (will, None),
        };
        if stops {
            self.publish_will(will_now);
            // The others' wills are still to come to this client.
            shutdown.await_the_others();
            self.leave(will_later, false);
        } else {
            let (attachment, will_due) = self.leave(will_later, will_now.is_some());
            let will_now = will_now.or(will_due);
            if will_now.is_some() {
                self.publish_will(will_now);
                self.session.note_will_is_over(attachment);
            }
        }
        self.say_goodbye(reason);
        if stops {
            self.link.outbox().flush(Instant::now() + FLUSH_AT_STOP);
        }
    }

    /// Leaves the session, or ends it where nothing is to stay. Returns the number of the
    /// attachment, and the will if it cannot be put off any longer.
    fn leave(&mut self, will_later: Option<Will>, has_will_now: bool) -> (u64, Option<Will>) {
        let later = will_later
            .as_ref()
            .map(|will| (will.delay, will.topic.clone()));
        let detached = self.session.detach(Leaving {
            expiry_s: self.expiry.0,
            will_later: will_later.map(|will| will.packet),
            has_will_now,
        });
        let attachment = detached.attachment;
        if self.expiry == SessionExpiry::AT_ONCE {
            // No will is left in it: one of a session that ends at once was not put off. It ends
            // before it is left, so that nobody who waits for it finds it.
            self.broker.end_session(&self.session);
            return (attachment, None);
        }
        let (delay, topic) = later.unwrap_or_default();
        if let Some(packet) = detached.will_due {
            // A clean start has ended the session, and with it the delay [MQTT-3.1.3-9].
            let will = Will {
                topic,
                packet,
                delay: 0,
            };
            return (attachment, Some(will));
        }
        let set = |seconds: u32, what| {
            self.broker
                .set_timer(&self.session, attachment, seconds, Duration::ZERO, what);
        };
        if delay > 0 {
            set(delay, WhatIsDue::Will);
        }
        if self.expiry < SessionExpiry::NEVER {
            set(self.expiry.0, WhatIsDue::Expiry);
        }
        (attachment, None)
    }

    fn may_publish(&self, will: &Will) -> bool {
        let may = self.link.may_write(&will.topic);
        if !may {
            self.broker.access.count_refused_publish();
            warn!(
                "{}: may not publish to {:?}: its will is dropped",
                self.name(),
                will.topic
            );
        }
        may
    }

    fn publish_will(&mut self, will: Option<Will>) {
        if let Some(will) = will {
            let name = self.link.outbox().name();
            self.publisher.publish_will(self.broker, &will.packet, name);
        }
    }

    /// Tells a client of MQTT 5.0 why [MQTT-4.13.2-1]; in earlier versions there is no such packet.
    fn say_goodbye(&self, reason: &CloseReason) {
        let outbox = self.link.outbox();
        if let (ProtocolVersion::V5, Some(code)) = (self.version(), reason.reason_code()) {
            let words = reason.to_string();
            let mut goodbye = Vec::new();
            let reason_string = self.link.terms().wants_reasons.then_some(words.as_str());
            Disconnect {
                reason: code,
                reason_string,
                ..Disconnect::default()
            }
            .encode(&mut goodbye);
            if goodbye.len() > self.link.terms().packet_len_max {
                goodbye.clear();
                Disconnect {
                    reason: code,
                    ..Disconnect::default()
                }
                .encode(&mut goodbye);
            }
            outbox.answer(&goodbye);
            outbox.flush(Instant::now() + FLUSH_GOODBYE);
            outbox.stream().close_gently();
        }
    }
}

/// How long a client that is held back goes without a look whether another thread has ended it.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// How long a client may take to read what waits for it when the server stops.
const FLUSH_AT_STOP: Duration = Duration::from_secs(2);

/// How long a client may take to read why it is closed.
const FLUSH_GOODBYE: Duration = Duration::from_millis(500);

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
