//! Why a connection ends before its first MQTT packet.

use std::fmt;
use std::io;
use std::time::Duration;

use log::{error, info};

/// Why a connection could not be made ready for MQTT.
#[derive(Debug)]
pub enum HandshakeError {
    /// The client closed the connection.
    ClosedByPeer,
    /// The connection broke.
    Io(io::Error),
    /// The handshakes were not over in time.
    TimedOut {
        /// How long they were waited for.
        after: Duration,
    },
    /// The client does not speak TLS, or not as it should, or its certificate is not accepted, or
    /// it does not accept ours.
    Tls(rustls::Error),
    /// The client does not ask for WebSocket, or not as it should.
    Http {
        /// The status of the answer it got.
        status: u16,
        /// What was wrong.
        what: String,
    },
}

impl HandshakeError {
    /// Logs it for the client at `peer`, in one line.
    pub fn log(&self, peer: impl fmt::Display) {
        match self {
            Self::ClosedByPeer | Self::Io(_) => info!("peer={peer}: closed: {self}"),
            Self::TimedOut { .. } | Self::Tls(_) | Self::Http { .. } => {
                error!("peer={peer}: {self}");
            }
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustls::Error> for HandshakeError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByPeer => f.write_str("client closed the connection in the handshake"),
            Self::Io(error) => write!(f, "connection failed in the handshake: {error}"),
            Self::TimedOut { after } => write!(f, "handshake not finished within {after:?}"),
            Self::Tls(error) => write!(f, "TLS handshake failed: {error}"),
            Self::Http { status, what } => {
                write!(
                    f,
                    "WebSocket handshake refused with status {status}: {what}"
                )
            }
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::ClosedByPeer | Self::TimedOut { .. } | Self::Http { .. } => None,
        }
    }
}
