//! An MQTT client on whose connection anything may fail at any time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::packet;

/// A raw connection to a broker that may be killed, which is an error and no failed test.
pub(crate) struct Unsteady {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Unsteady {
    /// Connects the socket, and waits for no packet longer than `patience`.
    pub(crate) fn open(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Waits for no packet longer than `patience` from now on. Bytes that came meanwhile are not lost.
    pub(crate) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next packet.
    pub(crate) fn packet(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(len) = packet::first_packet_length(&self.buffer) {
                return Ok(self.buffer.drain(..len).collect());
            }
            let mut chunk = [0; 0x1_0000];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
