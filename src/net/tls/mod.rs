//! TLS over TCP, with rustls.

mod certificate;
mod files;

pub use files::{Certificates, TlsFileError, TlsFiles};

use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::time::Instant;

use rustls::ServerConnection;

use super::owed::Owed;
use super::read_buffer::ReadBuffer;
use super::socket::Socket;
use super::{HandshakeError, close_gently};
use crate::lock::lock;

/// An encrypted connection.
///
/// The reader waits for ciphertext without a lock, and takes it only to decrypt; a sender encrypts
/// and sends, without waiting, under the same lock. Ciphertext that the socket does not take stays
/// with rustls, at most [`CIPHERTEXT_KEPT_MAX`], and goes first next time.
#[derive(Debug)]
pub(in crate::net) struct Tls {
    socket: Socket,
    state: Mutex<State>,
    /// What was received and not decrypted; the reader takes it along while it reads.
    incoming: Mutex<Option<ReadBuffer>>,
    identity: Option<String>,
}

#[derive(Debug)]
struct State {
    connection: ServerConnection,
    owed: Owed,
    said_goodbye: bool,
}

/// How much ciphertext a client that does not read can make us keep: some records, so that large
/// batches leave in few sends.
const CIPHERTEXT_KEPT_MAX: usize = 64 * 1024;

impl Tls {
    /// Makes the handshake, until `deadline`.
    pub(in crate::net) fn accept(
        socket: Socket,
        certificates: &Certificates,
        deadline: Instant,
    ) -> Result<Self, HandshakeError> {
        let mut connection = ServerConnection::new(certificates.current())?;
        connection.set_buffer_limit(Some(CIPHERTEXT_KEPT_MAX));
        let mut incoming = ReadBuffer::new();
        loop {
            while !send_ciphertext(&mut connection, &socket)? {
                socket.wait_writable(Some(deadline))?;
            }
            if !connection.is_handshaking() {
                break;
            }
            if incoming.bytes().is_empty()
                && incoming.fill_with(|room| socket.read_by(room, Some(deadline)))? == 0
            {
                return Err(HandshakeError::ClosedByPeer);
            }
            if let Err(error) = decrypt_some(&mut connection, &mut incoming)? {
                // The alert, for a peer that understands it.
                let _ = send_ciphertext(&mut connection, &socket);
                close_gently(&socket);
                return Err(error.into());
            }
        }
        let identity = connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|certificate| certificates.identity_in(certificate));
        Ok(Self {
            socket,
            state: Mutex::new(State {
                connection,
                owed: Owed::default(),
                said_goodbye: false,
            }),
            incoming: Mutex::new(Some(incoming)),
            identity,
        })
    }

    pub(in crate::net) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// See [`super::Stream::identity`].
    pub(in crate::net) fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Waits until something has been decrypted, or until `deadline`. Only one thread reads.
    pub(in crate::net) fn read_by(
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
        incoming: &mut ReadBuffer,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> io::Result<usize> {
        loop {
            if let Some(count) = self.decrypt(incoming, buffer)? {
                return Ok(count);
            }
            // An end without TLS's own is an end all the same: MQTT has its DISCONNECT.
            if incoming.fill_with(|room| self.socket.read_by(room, deadline))? == 0 {
                return Ok(0);
            }
        }
    }

    /// Decrypts what was received; `None` if that is not one whole record with data.
    fn decrypt(&self, incoming: &mut ReadBuffer, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let mut state = lock(&self.state);
        let connection = &mut state.connection;
        loop {
            match connection.reader().read(buffer) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if incoming.bytes().is_empty() {
                return Ok(None);
            }
            let outcome = decrypt_some(connection, incoming)?;
            // An alert, or the answer to a change of keys. What the socket does not take now goes
            // with what is sent next; the peer does not wait for it.
            send_ciphertext(connection, &self.socket)?;
            outcome.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// See [`super::Stream::send_now`].
    pub(in crate::net) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let State {
            connection, owed, ..
        } = &mut *state;
        let mut encrypted = owed.settle();
        let all_left = loop {
            if !send_ciphertext(connection, &self.socket)? {
                break false;
            }
            match bytes.get(encrypted..) {
                Some(rest) if !rest.is_empty() => encrypted += connection.writer().write(rest)?,
                _ => break true,
            }
        };
        Ok(owed.report(encrypted, bytes.len(), all_left))
    }

    /// Sends the alert that closes a TLS connection. Never waits.
    pub(in crate::net) fn say_goodbye(&self) {
        let mut state = lock(&self.state);
        if !std::mem::replace(&mut state.said_goodbye, true) {
            state.connection.send_close_notify();
            // The connection ends in any case.
            let _ = send_ciphertext(&mut state.connection, &self.socket);
        }
    }
}

/// Decrypts some of `incoming`, into the connection's own buffer. The outer error is that of a
/// caller who has not taken from there what was decrypted before, which never happens.
fn decrypt_some(
    connection: &mut ServerConnection,
    incoming: &mut ReadBuffer,
) -> io::Result<Result<(), rustls::Error>> {
    let count = connection.read_tls(&mut incoming.bytes())?;
    if count == 0 {
        // After the peer's end nothing is read any more.
        incoming.consume(incoming.bytes().len());
    }
    incoming.consume(count);
    Ok(connection.process_new_packets().map(drop))
}

/// Sends ciphertext that waits, as much as the socket takes at once. Returns whether all has left.
fn send_ciphertext(connection: &mut ServerConnection, socket: &Socket) -> io::Result<bool> {
    while connection.wants_write() {
        match connection.write_tls(&mut WithoutWaiting(socket)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// A socket as rustls writes to one that does not block.
struct WithoutWaiting<'a>(&'a Socket);

impl Write for WithoutWaiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.send_now(bytes)? {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
