//! What a client's connection is made of: a blocking stream that can also be sent to without waiting.
//!
//! Everything above this module reads and sends through [`Stream`] and does not know what carries the bytes.
//!
//! ```text
//! Stream ─┬─────────────── Transport ─┬─────── Socket (TCP)
//!         └─ WebSocket ─── Transport  └─ Tls ─ Socket
//! ```
//!
//! Locks, in this order: what WebSocket has to send, what TLS has to send. Both are held only for work in memory and
//! for sends that do not wait; never by a reader while it waits.

mod acceptor;
mod handshake_error;
mod owed;
mod read_buffer;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod websocket;

pub use acceptor::Acceptor;
pub use handshake_error::HandshakeError;
pub use read_buffer::ReadBuffer;
pub use tls::{Certificates, TlsFileError, TlsFiles};

use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use socket::Socket;
use transport::Transport;
use websocket::WebSocket;

/// One client's connection. The socket stays a blocking one, for its reader; only
/// [`Stream::send_now`] does not wait.
///
/// All methods take `&self`: one thread reads while another sends.
#[derive(Debug)]
pub struct Stream {
    carrier: Carrier,
    opened: Instant,
}

#[derive(Debug)]
enum Carrier {
    Plain(Transport),
    WebSocket(Box<WebSocket>),
}

impl Stream {
    /// Takes over an accepted TCP connection.
    ///
    /// # Errors
    /// When the socket's options cannot be set, as for a peer that has gone already.
    pub fn tcp(socket: TcpStream) -> io::Result<Self> {
        let opened = Instant::now();
        let carrier = Carrier::Plain(Transport::Tcp(Socket::new(socket)?));
        Ok(Self { carrier, opened })
    }

    /// When the connection was accepted: the handshakes of TLS and WebSocket come out of the time
    /// that a client has for its CONNECT.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Who the client is according to its certificate, if it has one and names are taken from
    /// there. Never empty, and without control characters.
    #[must_use]
    pub fn identity(&self) -> Option<&str> {
        match self.transport() {
            Transport::Tcp(_) => None,
            Transport::Tls(tls) => tls.identity(),
        }
    }

    /// Waits for bytes, at most as long as [`Stream::set_read_timeout`] said. `Ok(0)` is the end.
    ///
    /// # Errors
    /// The socket's; `WouldBlock` or `TimedOut` when the time is over; `InvalidData` when the
    /// client breaks the rules of TLS or WebSocket.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.carrier {
            Carrier::Plain(Transport::Tcp(socket)) => socket.read(buffer),
            Carrier::Plain(Transport::Tls(tls)) => {
                tls.read_by(buffer, self.socket().read_deadline())
            }
            Carrier::WebSocket(websocket) => {
                websocket.read_by(buffer, self.socket().read_deadline())
            }
        }
    }

    /// Sends as much of `bytes` as the socket takes at once and returns how many bytes that were,
    /// which is less than all when the peer does not read fast enough. Never waits.
    ///
    /// Whoever sends on must go on with the byte that was not taken.
    ///
    /// # Errors
    /// The socket's; never `WouldBlock`.
    pub fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match &self.carrier {
            Carrier::Plain(transport) => transport.send_now(bytes),
            Carrier::WebSocket(websocket) => websocket.send_now(bytes),
        }
    }

    /// Sends all of `bytes`, waiting for the peer to read as long as that takes.
    ///
    /// # Errors
    /// The socket's.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        if let Carrier::Plain(Transport::Tcp(socket)) = &self.carrier {
            return socket.send(bytes);
        }
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            let count = self.send_now(rest)?;
            sent += count;
            if count < rest.len() {
                // The locks are free meanwhile, for the reader.
                self.socket().wait_writable(None)?;
            }
        }
        Ok(())
    }

    /// How long [`Stream::read`] waits; `None` is for ever.
    ///
    /// # Errors
    /// The socket's.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket().set_read_timeout(timeout)
    }

    /// Ends sending, and waits a little for the peer to end too. Closing while the peer's bytes are
    /// unread would make the system throw away what was sent last.
    pub fn close_gently(&self) {
        self.say_goodbye();
        close_gently(self.socket());
    }

    /// Ends reading: the reader, on whatever thread, wakes and finds the end. Sending goes on.
    pub fn shutdown_read(&self) {
        self.socket().shutdown(Shutdown::Read);
    }

    /// Ends both directions; wakes the reader and whoever waits in [`Stream::send`].
    pub fn shutdown(&self) {
        self.say_goodbye();
        self.socket().shutdown(Shutdown::Both);
    }

    fn say_goodbye(&self) {
        match &self.carrier {
            Carrier::Plain(transport) => transport.say_goodbye(),
            Carrier::WebSocket(websocket) => websocket.say_goodbye(),
        }
    }

    fn transport(&self) -> &Transport {
        match &self.carrier {
            Carrier::Plain(transport) => transport,
            Carrier::WebSocket(websocket) => websocket.transport(),
        }
    }

    fn socket(&self) -> &Socket {
        self.transport().socket()
    }
}

impl Drop for Stream {
    /// A client that is refused, for which nobody called [`Stream::shutdown`], is told the end too.
    fn drop(&mut self) {
        self.say_goodbye();
    }
}

/// Ends sending on `socket` and reads away, for a moment, what the peer still sends.
fn close_gently(socket: &Socket) {
    socket.shutdown(Shutdown::Write);
    let deadline = Some(Instant::now() + GENTLE_CLOSE_MAX);
    let mut unread = [0; 1024];
    for _ in 0..GENTLE_READS_MAX {
        if !matches!(socket.read_by(&mut unread, deadline), Ok(1..)) {
            break;
        }
    }
}

/// How long, and for how many reads, [`Stream::close_gently`] waits for the peer.
const GENTLE_CLOSE_MAX: Duration = Duration::from_millis(500);
const GENTLE_READS_MAX: usize = 64;
