//! From an accepted socket to a stream that carries MQTT.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::socket::Socket;
use super::tls::{Certificates, Tls};
use super::transport::Transport;
use super::websocket::{self, WebSocket};
use super::{Carrier, HandshakeError, Stream};

/// What the connections of one listener begin with: nothing, TLS, WebSocket, or both.
#[derive(Clone, Debug, Default)]
pub struct Acceptor {
    /// Encrypts, with these.
    pub tls: Option<Arc<Certificates>>,
    /// Speaks WebSocket, at this path.
    pub websocket_path: Option<Arc<str>>,
}

impl Acceptor {
    /// Makes the handshakes with a client that was accepted just now: on the client's own thread,
    /// as it waits for the client, but no longer than `timeout` in all.
    ///
    /// # Errors
    /// See [`HandshakeError`]. The client has been told, where there is a way to say it.
    pub fn accept(&self, socket: TcpStream, timeout: Duration) -> Result<Stream, HandshakeError> {
        let opened = Instant::now();
        let carrier = self
            .handshake(socket, opened + timeout)
            .map_err(|error| match error {
                HandshakeError::Io(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
                    ) =>
                {
                    HandshakeError::TimedOut { after: timeout }
                }
                error => error,
            })?;
        let stream = Stream { carrier, opened };
        // The handshakes left what remained of their time.
        stream.set_read_timeout(None)?;
        Ok(stream)
    }

    fn handshake(&self, socket: TcpStream, deadline: Instant) -> Result<Carrier, HandshakeError> {
        let socket = Socket::new(socket)?;
        let transport = match &self.tls {
            None => Transport::Tcp(socket),
            Some(certificates) => {
                Transport::Tls(Box::new(Tls::accept(socket, certificates, deadline)?))
            }
        };
        Ok(match &self.websocket_path {
            None => Carrier::Plain(transport),
            Some(path) => {
                let sent_already = websocket::handshake(&transport, path, deadline)?;
                Carrier::WebSocket(Box::new(WebSocket::new(transport, sent_already)))
            }
        })
    }
}
