//! The TCP connection beneath every stream.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;

use crate::lock::lock;

/// A blocking socket that can also be sent to without waiting.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    /// As it was asked for; the socket's own is shorter while a layer above goes on waiting.
    read_timeout: Mutex<Option<Duration>>,
}

impl Socket {
    /// Takes over an accepted connection.
    pub(super) fn new(tcp: TcpStream) -> io::Result<Self> {
        // A batch leaves in one send, so waiting for more (Nagle) only costs latency.
        tcp.set_nodelay(true)?;
        // Finds peers that vanished without a word where MQTT's own keep alive is off.
        rustix::net::sockopt::set_socket_keepalive(&tcp, true)?;
        Ok(Self {
            tcp,
            read_timeout: Mutex::default(),
        })
    }

    /// Waits for bytes, at most as long as [`Socket::set_read_timeout`] said.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&self.tcp).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Waits for bytes until `deadline`, however often it was read from before; `None` is the end
    /// of time. For layers that need several reads for one of theirs: a peer that sends byte after
    /// byte must not hold them for ever.
    pub(super) fn read_by(
        &self,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        if let Some(deadline) = deadline {
            self.set_receive_timeout(Some(left_until(deadline)?))?;
        }
        self.read(buffer)
    }

    /// See [`super::Stream::send_now`].
    pub(super) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match rustix::net::send(&self.tcp, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => sent += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    /// Sends all of `bytes`, waiting for the peer to read.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.tcp).write_all(bytes)
    }

    /// Waits until the socket takes more, or has failed; not beyond `deadline`.
    pub(super) fn wait_writable(&self, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            let timeout = deadline.map(left_until).transpose()?;
            let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
            let mut sockets = [PollFd::new(&self.tcp, PollFlags::OUT)];
            match poll(&mut sockets, timeout.as_ref()) {
                // The deadline, which the next turn finds.
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How long [`Socket::read`] waits, and [`Socket::read_deadline`] allows; `None` is for ever.
    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        *lock(&self.read_timeout) = timeout;
        self.set_receive_timeout(timeout)
    }

    /// When a read that begins now is to end.
    pub(super) fn read_deadline(&self) -> Option<Instant> {
        lock(&self.read_timeout).map(|timeout| Instant::now() + timeout)
    }

    /// Ends one direction or both. A peer that has gone already has done so as well.
    pub(super) fn shutdown(&self, how: Shutdown) {
        let _ = self.tcp.shutdown(how);
    }

    fn set_receive_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        // Zero would mean "for ever" to the socket.
        self.tcp
            .set_read_timeout(timeout.map(|wait| wait.max(Duration::from_millis(1))))
    }
}

/// The time until `deadline`; `TimedOut` when it is over.
fn left_until(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}
