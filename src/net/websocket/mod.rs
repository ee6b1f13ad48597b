//! MQTT over WebSocket (chapter 6 of MQTT): packets in binary frames, over TCP or TLS.
//!
//! The handshake and the headers of frames are tungstenite's; the buffers are ours, so that one
//! thread can send while another waits for the client.

mod frame;
mod handshake;

pub(super) use handshake::handshake;

use std::io;
use std::sync::Mutex;
use std::time::Instant;

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::owed::Owed;
use super::read_buffer::ReadBuffer;
use super::transport::Transport;
use crate::lock::lock;
use frame::{FrameError, Incoming, Next, push_frame};

/// A WebSocket connection after its handshake.
#[derive(Debug)]
pub(super) struct WebSocket {
    transport: Transport,
    outgoing: Mutex<Outgoing>,
    /// The reader takes it along while it reads.
    incoming: Mutex<Option<Incoming>>,
}

/// Frames that the transport has not taken yet.
#[derive(Debug, Default)]
struct Outgoing {
    frames: Vec<u8>,
    owed: Owed,
    /// The last frame of the connection is among them or has been.
    said_goodbye: bool,
}

/// Longest payload of a frame that we send, in bytes. Packets may lie across frames
/// [MQTT-6.0.0-2], and what a client that does not read makes us keep is one frame.
const PAYLOAD_MAX: usize = 64 * 1024;

/// How many bytes may wait when a ping is to be answered: a client that asks without end and does
/// not read the answers is closed.
const PONG_BACKLOG_MAX: usize = 2 * PAYLOAD_MAX;

/// A buffer that has grown beyond this is given back once it is empty.
const BUFFER_KEPT_MAX: usize = 4 * 1024;

impl WebSocket {
    /// After the handshake, in which the client may have sent its first frames already.
    pub(super) fn new(transport: Transport, received: ReadBuffer) -> Self {
        Self {
            transport,
            outgoing: Mutex::default(),
            incoming: Mutex::new(Some(Incoming::new(received))),
        }
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Waits for payload until `deadline`, and answers pings and the client's goodbye meanwhile.
    /// Only one thread reads.
    pub(super) fn read_by(
        &self,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        let mut incoming = lock(&self.incoming).take().unwrap_or_default();
        let result = self.read_through(&mut incoming, buffer, deadline);
        *lock(&self.incoming) = Some(incoming);
        result
    }

    fn read_through(
        &self,
        incoming: &mut Incoming,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        loop {
            match incoming.next(buffer) {
                Ok(Next::Payload(count)) => return Ok(count),
                Ok(Next::Incomplete) => {
                    let read = |room: &mut [u8]| self.transport.read_by(room, deadline);
                    if incoming.fill_with(read)? == 0 {
                        return Ok(0);
                    }
                }
                Ok(Next::Ping(payload)) => self.pong(&payload)?,
                Ok(Next::Close(reason)) => {
                    self.say_goodbye_with(&reason);
                    return Ok(0);
                }
                Err(error) => {
                    self.say_goodbye_with(&error.close_code().to_be_bytes());
                    return Err(error.into());
                }
            }
        }
    }

    /// See [`super::Stream::send_now`].
    pub(super) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.said_goodbye {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut framed = outgoing.owed.settle();
        let all_left = loop {
            if !outgoing.send(&self.transport)? {
                break false;
            }
            let rest = bytes.get(framed..).unwrap_or_default();
            let Some(payload) = rest.chunks(PAYLOAD_MAX).next() else {
                break true;
            };
            push_frame(OpCode::Data(Data::Binary), payload, &mut outgoing.frames);
            framed += payload.len();
        };
        Ok(outgoing.owed.report(framed, bytes.len(), all_left))
    }

    /// What the transport does not take now goes with what is sent next.
    fn pong(&self, payload: &[u8]) -> io::Result<()> {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.said_goodbye {
            return Ok(());
        }
        if outgoing.frames.len() > PONG_BACKLOG_MAX {
            return Err(FrameError::TooManyPings.into());
        }
        push_frame(
            OpCode::Control(Control::Pong),
            payload,
            &mut outgoing.frames,
        );
        outgoing.send(&self.transport).map(drop)
    }

    /// Says that nothing more comes. Never waits.
    pub(super) fn say_goodbye(&self) {
        self.say_goodbye_with(&NORMAL_CLOSURE.to_be_bytes());
        self.transport.say_goodbye();
    }

    fn say_goodbye_with(&self, reason: &[u8]) {
        let mut outgoing = lock(&self.outgoing);
        if !std::mem::replace(&mut outgoing.said_goodbye, true) {
            push_frame(
                OpCode::Control(Control::Close),
                reason,
                &mut outgoing.frames,
            );
            // The connection ends in any case.
            let _ = outgoing.send(&self.transport);
        }
    }
}

impl Outgoing {
    /// Sends what waits, as much as the transport takes at once. Returns whether all has left.
    fn send(&mut self, transport: &Transport) -> io::Result<bool> {
        if self.frames.is_empty() {
            return Ok(true);
        }
        let sent = transport.send_now(&self.frames)?;
        self.frames.drain(..sent);
        if self.frames.is_empty() {
            self.frames.shrink_to(BUFFER_KEPT_MAX);
        }
        Ok(self.frames.is_empty())
    }
}

/// The status of a close frame that follows no fault (RFC 6455, 7.4.1).
const NORMAL_CLOSURE: u16 = 1000;
