//! What waits to be sent to one client.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use log::{error, info, warn};

use crate::config::WhenQueueFull;
use crate::lock::{lock, wait, wait_timeout};
use crate::net::Stream;

/// One client's way out, which many threads append to.
///
/// The thread that appends also sends, at once and without waiting, so that a message travels from
/// the publisher's socket to the subscriber's on one thread. Whoever comes while another thread is
/// sending leaves its bytes for that one to take along. A client whose socket is full gets a thread
/// of its own, the drainer, only until it has caught up.
///
/// Invariants, under the lock: nothing waits while nobody sends (`Writer::Idle`); what waits is
/// within the limits, but for one append to an empty outbox.
#[derive(Debug)]
pub struct Outbox {
    name: String,
    stream: Stream,
    limits: OutboxLimits,
    state: Mutex<State>,
    /// Somebody waits for room or for the end of sending.
    changed: Condvar,
}

/// How much may wait for a client, and what happens beyond.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Bytes that may wait.
    pub queued_bytes_max: usize,
    /// Messages that may wait.
    pub queued_messages_max: usize,
    /// What happens to a message that finds no room.
    pub when_full: WhenQueueFull,
}

#[derive(Debug, Default)]
struct State {
    writer: Writer,
    waiting: Vec<u8>,
    waiting_messages: usize,
    /// Bytes and messages that the drainer took out and has not sent yet.
    draining_bytes: usize,
    draining_messages: usize,
    /// Messages dropped and not reported yet.
    dropped: u64,
    reported: Option<Instant>,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    #[default]
    Idle,
    /// A thread that appended is sending without waiting.
    Sending,
    /// The drainer is sending, and waits for the client.
    Draining,
}

/// How often a thread that appended sends what others left meanwhile before the drainer takes over:
/// a publisher must not be kept for ever by the others' messages.
const SENDS_FOR_OTHERS_MAX: usize = 8;

/// How often a client that goes on reading too slowly is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Buffers that have grown beyond this are given back once the client has caught up.
const BUFFER_KEPT_MAX: usize = 4 * 1024;

impl Outbox {
    /// An empty outbox; `name` says in the log whose it is.
    pub fn new(name: String, stream: Stream, limits: OutboxLimits) -> Self {
        Self {
            name,
            stream,
            limits,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Whose it is, for the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was closed, by whomever.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// The connection, for its reader.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Sends `bytes`, which are `messages` whole PUBLISH packets, or leaves them for whoever is
    /// sending. Never waits. Where they find no room they are dropped all together, counted and
    /// logged, or the client is disconnected, as configured.
    pub fn deliver(self: &Arc<Self>, bytes: &[u8], messages: usize) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        if state.writer == Writer::Idle {
            return self.send_first(state, bytes, messages);
        }
        if self.has_room(&state, bytes.len(), messages) {
            state.waiting.extend_from_slice(bytes);
            state.waiting_messages += messages;
            return;
        }
        match self.limits.when_full {
            WhenQueueFull::Drop => {
                state.dropped += messages as u64;
                if state
                    .reported
                    .is_none_or(|then| then.elapsed() >= REPORT_INTERVAL)
                {
                    self.report_dropped(&mut state);
                }
            }
            WhenQueueFull::Disconnect => {
                warn!(
                    "{}: reads too slowly, its queue is full: disconnecting",
                    self.name
                );
                self.close_locked(&mut state);
            }
        }
    }

    /// Puts `bytes` behind what waits, whatever the limits, without sending anything. Returns whether
    /// the caller must call [`Outbox::send_waiting`] now, as nobody else is sending.
    #[must_use]
    pub fn append(&self, bytes: &[u8], messages: usize) -> bool {
        let mut state = lock(&self.state);
        if state.closed || bytes.is_empty() {
            return false;
        }
        state.waiting.extend_from_slice(bytes);
        state.waiting_messages += messages;
        let is_idle = state.writer == Writer::Idle;
        if is_idle {
            state.writer = Writer::Sending;
        }
        is_idle
    }

    /// How many bytes wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        let state = lock(&self.state);
        state.waiting.len() + state.draining_bytes
    }

    /// Sends an answer to the client itself, such as an acknowledgement. Never waits and never
    /// drops: a client that asks without end and does not read the answers is disconnected.
    pub fn answer(self: &Arc<Self>, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        if state.writer == Writer::Idle {
            return self.send_first(state, bytes, 0);
        }
        // The same room again as messages have: a queue full of messages does not end a client
        // that is answered.
        let queued = state.waiting.len() + state.draining_bytes;
        if queued + bytes.len() > self.limits.queued_bytes_max.saturating_mul(2) {
            error!(
                "{}: does not read the answers to what it sends: disconnecting",
                self.name
            );
            return self.close_locked(&mut state);
        }
        state.waiting.extend_from_slice(bytes);
    }

    /// Like [`Outbox::deliver`], but waits for room: only for the client's own thread, which holds
    /// up nobody but the client itself. Returns `false` when the outbox was closed meanwhile.
    pub fn deliver_patiently(self: &Arc<Self>, bytes: &[u8]) -> bool {
        let mut state = lock(&self.state);
        while !state.closed
            && state.writer != Writer::Idle
            && !self.has_room(&state, bytes.len(), 0)
        {
            state = wait(&self.changed, state);
        }
        let is_open = !state.closed;
        drop(state);
        if self.append(bytes, 0) {
            self.send_waiting();
        }
        is_open
    }

    /// Waits until all is sent or the outbox is closed, but not beyond `deadline`.
    pub fn flush(&self, deadline: Instant) {
        let mut state = lock(&self.state);
        while !state.closed && state.writer != Writer::Idle {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = wait_timeout(&self.changed, state, left);
        }
    }

    /// Drops what waits and ends the connection in both directions. Closing again does nothing.
    pub fn close(&self) {
        self.close_locked(&mut lock(&self.state));
    }

    fn close_locked(&self, state: &mut State) {
        if state.closed {
            return;
        }
        state.closed = true;
        self.report_dropped(state);
        state.waiting = Vec::new();
        self.stream.shutdown();
        self.changed.notify_all();
    }

    fn has_room(&self, state: &State, bytes: usize, messages: usize) -> bool {
        let queued_bytes = state.waiting.len() + state.draining_bytes;
        let queued_messages = state.waiting_messages + state.draining_messages;
        queued_bytes + bytes <= self.limits.queued_bytes_max
            && queued_messages + messages <= self.limits.queued_messages_max
    }

    /// Sends `bytes` from where they are, without a lock and without waiting; then what others have
    /// left meanwhile.
    fn send_first(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        bytes: &[u8],
        messages: usize,
    ) {
        state.writer = Writer::Sending;
        drop(state);
        if self.send_or_drain(bytes, messages) {
            self.send_waiting();
        }
    }

    /// Sends what waits, without waiting for the client: for who was told to by
    /// [`Outbox::append`].
    pub fn send_waiting(self: &Arc<Self>) {
        let mut taken = Vec::new();
        for _ in 0..SENDS_FOR_OTHERS_MAX {
            let mut state = lock(&self.state);
            if state.waiting.is_empty() {
                return self.set_idle(&mut state);
            }
            taken.clear();
            std::mem::swap(&mut taken, &mut state.waiting);
            let messages = std::mem::take(&mut state.waiting_messages);
            drop(state);
            if !self.send_or_drain(&taken, messages) {
                return;
            }
        }
        self.start_drainer(&mut lock(&self.state));
    }

    /// Returns `true` when all was sent; otherwise the rest waits for the drainer, or the
    /// connection has failed.
    fn send_or_drain(self: &Arc<Self>, bytes: &[u8], messages: usize) -> bool {
        let sent = match self.stream.send_now(bytes) {
            Ok(sent) if sent == bytes.len() => return true,
            Ok(sent) => sent,
            // The reader finds the same failure and reports it.
            Err(_) => {
                self.close();
                return false;
            }
        };
        let mut state = lock(&self.state);
        if !state.closed {
            state.waiting.splice(..0, bytes.iter().skip(sent).copied());
            state.waiting_messages += messages;
            self.start_drainer(&mut state);
        }
        false
    }

    fn start_drainer(self: &Arc<Self>, state: &mut State) {
        if state.closed {
            return;
        }
        if state.waiting.is_empty() {
            return self.set_idle(state);
        }
        state.writer = Writer::Draining;
        let outbox = Arc::clone(self);
        let drainer = thread::Builder::new()
            .name("drainer".into())
            .stack_size(DRAINER_STACK);
        if let Err(error) = drainer.spawn(move || outbox.drain()) {
            error!(
                "{}: cannot start a thread to drain its queue: {error}: disconnecting",
                self.name
            );
            self.close_locked(state);
        }
    }

    /// The drainer: sends what waits, at the client's own speed, until nothing is left.
    fn drain(&self) {
        let mut chunk = Vec::new();
        loop {
            let mut state = lock(&self.state);
            state.draining_bytes = 0;
            state.draining_messages = 0;
            if state.closed {
                return;
            }
            if state.waiting.is_empty() {
                return self.set_idle(&mut state);
            }
            chunk.clear();
            std::mem::swap(&mut chunk, &mut state.waiting);
            state.draining_bytes = chunk.len();
            state.draining_messages = std::mem::take(&mut state.waiting_messages);
            drop(state);
            for piece in chunk.chunks(DRAINER_PIECE) {
                if let Err(error) = self.send_piece(piece) {
                    info!("{}: sending failed: {error}", self.name);
                    return self.close();
                }
            }
        }
    }

    fn send_piece(&self, piece: &[u8]) -> io::Result<()> {
        self.stream.send(piece)?;
        let mut state = lock(&self.state);
        state.draining_bytes = state.draining_bytes.saturating_sub(piece.len());
        self.changed.notify_all();
        Ok(())
    }

    fn set_idle(&self, state: &mut State) {
        state.writer = Writer::Idle;
        if state.waiting.capacity() > BUFFER_KEPT_MAX {
            state.waiting = Vec::new();
        }
        self.changed.notify_all();
    }

    fn report_dropped(&self, state: &mut State) {
        let dropped = std::mem::take(&mut state.dropped);
        if dropped == 0 {
            return;
        }
        state.reported = Some(Instant::now());
        warn!(
            "{}: reads too slowly: {dropped} messages dropped, {} bytes wait",
            self.name,
            state.waiting.len() + state.draining_bytes,
        );
    }
}

/// The drainer only sends; its deepest call is the log's.
const DRAINER_STACK: usize = 128 * 1024;

/// After each of these the room that became free is made known.
const DRAINER_PIECE: usize = 64 * 1024;
