//! One client's thread, from the accepted connection to its end.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, info, log_enabled};

use crate::broker::{Broker, Session};
use crate::close_reason::{CloseReason, EndedBy};
use crate::codec::{PacketId, next_frame};
use crate::handlers;
use crate::net::{ReadBuffer, Stream};
use crate::publisher::{Message, Publisher};
use crate::shutdown::Shutdown;

/// A client that has been accepted: what its own thread knows of it.
#[derive(Debug)]
pub(crate) struct Connection<'b> {
    pub(crate) broker: &'b Broker,
    /// What the others know of it.
    pub(crate) session: Arc<Session>,
    /// How long may pass without a whole packet; `None` is for ever.
    pub(crate) patience: Option<Duration>,
    /// A PUBLISH packet, ready to be handled as if the client had sent it.
    pub(crate) will: Option<Vec<u8>>,
    pub(crate) publisher: Publisher,
    /// The filters it subscribed to, as it wrote them.
    pub(crate) filters: HashSet<Box<str>>,
    /// The packet ids of messages of QoS 2 that were stored and are not released yet.
    pub(crate) received: HashSet<PacketId>,
    /// Acknowledgements and other answers to the batch at hand: sent together at its end, and not
    /// at all if a message in it could not be stored.
    pub(crate) answers: Vec<u8>,
    /// How many messages the last batch had: the next one is likely to be alike.
    batch_len: usize,
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
    let who = connection.session.outbox().name().to_owned();
    shutdown.enter(&connection.session);

    let run = catch_unwind(AssertUnwindSafe(|| connection.run(&mut input)));
    let reason = run.unwrap_or(CloseReason::Panicked);
    reason.log(&who);
    drop(input);

    let end = catch_unwind(AssertUnwindSafe(|| connection.end(&reason, &who, shutdown)));
    if end.is_err() {
        CloseReason::Panicked.log(&who);
    }
    connection.session.outbox().close();
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
    pub(crate) fn new(
        broker: &'b Broker,
        session: Arc<Session>,
        patience: Option<Duration>,
    ) -> Self {
        Self {
            broker,
            session,
            patience,
            will: None,
            publisher: Publisher::new(),
            filters: HashSet::new(),
            received: HashSet::new(),
            answers: Vec::new(),
            batch_len: 0,
        }
    }

    /// Reads and handles batches until there is a reason to end.
    fn run(&mut self, input: &mut ReadBuffer) -> CloseReason {
        let session = Arc::clone(&self.session);
        let stream = session.outbox().stream();
        if let Err(error) = stream.set_read_timeout(self.patience) {
            return error.into();
        }
        let mut last_packet = Instant::now();
        let mut timeout_is_shorter = false;
        loop {
            match self.on_batch(input.bytes()) {
                Err(reason) => return reason,
                // Only whole packets keep a client alive: one that sends byte after byte of a
                // packet it never finishes does not [MQTT-3.1.2-24 in 3.1.1].
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
            match input.fill(stream) {
                Ok(0) => return self.why_it_ended(CloseReason::ClosedByPeer),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => return self.keep_alive_expired(),
                Err(error) => return self.why_it_ended(error.into()),
            }
        }
    }

    fn keep_alive_expired(&self) -> CloseReason {
        CloseReason::KeepAliveExpired {
            after: self.patience.unwrap_or_default(),
        }
    }

    /// Another thread that ends a session makes its reader find the end of the stream.
    fn why_it_ended(&self, found: CloseReason) -> CloseReason {
        match self.session.ended_by() {
            Some(ended_by) => CloseReason::Ended(ended_by),
            None if self.session.outbox().is_closed() => CloseReason::Ended(EndedBy::Outbox),
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
        self.publisher.end_batch();
        outcome
    }

    fn on_next_packet<'a>(
        &mut self,
        batch: &'a [u8],
        start: usize,
        messages: &mut Vec<Message<'a>>,
    ) -> Result<Option<usize>, CloseReason> {
        let rest = batch.get(start..).unwrap_or_default();
        let Some(frame) = next_frame(
            rest,
            Some(self.session.version()),
            self.broker.config.max_packet_size,
        )?
        else {
            return Ok(None);
        };
        let len = frame.bytes.len();
        if log_enabled!(log::Level::Debug) {
            debug!(
                "{}: received {:?} of {len} bytes",
                self.session.outbox().name(),
                frame.packet_type
            );
        }
        self.on_packet(&frame, batch, start..start + len, messages)?;
        Ok(Some(len))
    }

    /// Stores, retains, delivers and acknowledges: the order that everything here is about.
    ///
    /// `messages` is empty afterwards.
    pub(crate) fn publish(
        &mut self,
        batch: &[u8],
        messages: &mut Vec<Message<'_>>,
    ) -> Result<(), CloseReason> {
        if !messages.is_empty() {
            self.publisher.publish(self.broker, batch, messages)?;
            messages.clear();
        }
        self.session.outbox().answer(&self.answers);
        self.answers.clear();
        Ok(())
    }

    /// Takes the client out of everything, after its will has been published.
    fn end(&mut self, reason: &CloseReason, who: &str, shutdown: &Shutdown) {
        let will = self.will.take().filter(|_| reason.publishes_will());
        let stops = matches!(reason, CloseReason::Ended(EndedBy::Shutdown));
        if !stops {
            self.leave();
        }
        if let Some(will) = will {
            info!("{who}: publishing its will");
            if let Err(reason) = self.on_batch(&will) {
                reason.log(&format!("{who}: will not published"));
            }
        }
        if stops {
            // The others' wills are still to come to this client.
            shutdown.await_the_others();
            self.leave();
            self.session.outbox().flush(Instant::now() + FLUSH_AT_STOP);
        }
    }

    fn leave(&mut self) {
        for filter in self.filters.drain() {
            self.broker
                .subscriptions
                .unsubscribe(&filter, self.session.number());
        }
        self.broker.clients.detach(&self.session);
    }
}

/// How long a client may take to read what waits for it when the server stops.
const FLUSH_AT_STOP: Duration = Duration::from_secs(2);

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
