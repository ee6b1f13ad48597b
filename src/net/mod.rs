//! What a client's connection is made of: a blocking stream that can also be sent to without waiting.
//!
//! Everything above this module reads and sends through [`Stream`] and does not know what carries the bytes.

mod read_buffer;

pub use read_buffer::ReadBuffer;

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::net::SendFlags;

/// One client's connection. The socket stays a blocking one, for its reader; only
/// [`Stream::send_now`] does not wait.
///
/// All methods take `&self`: one thread reads while another sends.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
}

impl Stream {
    /// Takes over an accepted TCP connection.
    ///
    /// # Errors
    /// When the socket's options cannot be set, as for a peer that has gone already.
    pub fn tcp(socket: TcpStream) -> io::Result<Self> {
        // A batch leaves in one send, so waiting for more (Nagle) only costs latency.
        socket.set_nodelay(true)?;
        // Finds peers that vanished without a word where MQTT's own keep alive is off.
        rustix::net::sockopt::set_socket_keepalive(&socket, true)?;
        Ok(Self { socket })
    }

    /// Waits for bytes, at most as long as [`Stream::set_read_timeout`] said. `Ok(0)` is the end.
    ///
    /// # Errors
    /// The socket's; `WouldBlock` or `TimedOut` when the time is over.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&self.socket).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Sends as much of `bytes` as the socket takes at once and returns how many bytes that were,
    /// which is less than all when the peer does not read fast enough. Never waits.
    ///
    /// # Errors
    /// The socket's; never `WouldBlock`.
    pub fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match rustix::net::send(
                &self.socket,
                rest,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(count) => sent += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    /// Sends all of `bytes`, waiting for the peer to read as long as that takes.
    ///
    /// # Errors
    /// The socket's.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.socket).write_all(bytes)
    }

    /// How long [`Stream::read`] waits; `None` is for ever.
    ///
    /// # Errors
    /// The socket's.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        // Zero would mean "for ever" to the socket.
        self.socket
            .set_read_timeout(timeout.map(|wait| wait.max(Duration::from_millis(1))))
    }

    /// Ends sending, and waits a little for the peer to end too. Closing while the peer's bytes are
    /// unread would make the system throw away what was sent last.
    pub fn close_gently(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let _ = self.set_read_timeout(Some(GENTLE_CLOSE_MAX));
        let mut unread = [0; 1024];
        for _ in 0..GENTLE_READS_MAX {
            if !matches!(self.read(&mut unread), Ok(1..)) {
                break;
            }
        }
    }

    /// Ends reading: the reader, on whatever thread, wakes and finds the end. Sending goes on.
    pub fn shutdown_read(&self) {
        // A peer that has gone already has ended reading as well.
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    /// Ends both directions; wakes the reader and whoever waits in [`Stream::send`].
    pub fn shutdown(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// How long, and for how many reads, [`Stream::close_gently`] waits for the peer.
const GENTLE_CLOSE_MAX: Duration = Duration::from_millis(500);
const GENTLE_READS_MAX: usize = 64;
