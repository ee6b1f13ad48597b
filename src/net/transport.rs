//! What carries bytes as they are: TCP, or TLS over TCP.

use std::io;
use std::time::Instant;

use super::socket::Socket;
use super::tls::Tls;

/// A connection that MQTT, or WebSocket, runs over.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(Socket),
    Tls(Box<Tls>),
}

impl Transport {
    /// The socket at the bottom.
    pub(super) fn socket(&self) -> &Socket {
        match self {
            Self::Tcp(socket) => socket,
            Self::Tls(tls) => tls.socket(),
        }
    }

    /// Waits for bytes until `deadline`; `Ok(0)` is the end.
    pub(super) fn read_by(
        &self,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read_by(buffer, deadline),
            Self::Tls(tls) => tls.read_by(buffer, deadline),
        }
    }

    /// See [`super::Stream::send_now`].
    pub(super) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.send_now(bytes),
            Self::Tls(tls) => tls.send_now(bytes),
        }
    }

    /// Tells the peer, where there is a way to say it, that nothing more comes. Never waits.
    pub(super) fn say_goodbye(&self) {
        match self {
            Self::Tcp(_) => {}
            Self::Tls(tls) => tls.say_goodbye(),
        }
    }
}
