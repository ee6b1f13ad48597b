//! What carries a client's bytes: TCP, TLS, WebSocket. Frames are made and read here by hand: a fault made twice in the
//! same way must not cancel out.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// What a [`super::Wire`] reads from and writes to.
pub(crate) trait Link: Read + Write + Send {}

impl<T: Read + Write + Send> Link for T {}

/// A socket that sends each byte in a segment of its own.
pub(crate) struct Dribbling(pub(crate) TcpStream);

impl Read for Dribbling {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Dribbling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// TLS over `link` as a client of 127.0.0.1. The handshake is made with the first byte.
pub(crate) fn tls<L: Link>(link: L, config: Arc<ClientConfig>) -> StreamOwned<ClientConnection, L> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), link)
}

/// The request that opens a WebSocket at `path`; `more` are headers, each with its line end.
pub(crate) fn upgrade_request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// The header that offers MQTT.
pub(crate) const OFFER: &str = "Sec-WebSocket-Protocol: mqtt\r\n";

/// What RFC 6455 (1.3) computes from the key in [`upgrade_request`].
pub(crate) const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Reads an HTTP answer up to the end of its headers.
pub(crate) fn read_head(link: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match link.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    String::from_utf8(head).unwrap()
}

/// A frame as a client sends it, masked. `first` is its first byte: 0x82 a whole binary message, 0x02 the first part
/// of one, 0x00 a middle part, 0x80 the last part, 0x88 close, 0x89 ping.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => bytes.push(0x80 | length.to_be_bytes()[1]),
        Ok(length) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// A WebSocket over `link`, after its handshake: each write is one binary frame.
pub(crate) struct WebSocket<L> {
    link: L,
    /// Bytes that came and belong to no whole frame yet.
    raw: Vec<u8>,
    /// Payload that was not taken yet.
    payload: Vec<u8>,
    closed: bool,
}

impl<L: Link> WebSocket<L> {
    /// Makes the handshake and expects to be accepted.
    pub(crate) fn open(mut link: L, path: &str, offer: &str) -> (Self, String) {
        link.write_all(upgrade_request(path, offer).as_bytes())
            .unwrap();
        let head = read_head(&mut link);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let websocket = Self {
            link,
            raw: Vec::new(),
            payload: Vec::new(),
            closed: false,
        };
        (websocket, head)
    }
}

impl<L: Link> Read for WebSocket<L> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.payload.is_empty() || self.closed {
                let count = self.payload.len().min(buffer.len());
                buffer[..count].copy_from_slice(&self.payload[..count]);
                self.payload.drain(..count);
                return Ok(count);
            }
            let Some((first, payload)) = take_frame(&mut self.raw) else {
                let mut chunk = vec![0; 0x1_0000];
                match self.link.read(&mut chunk)? {
                    0 => return Err(io::Error::new(ErrorKind::UnexpectedEof, "no close frame")),
                    count => self.raw.extend_from_slice(&chunk[..count]),
                }
                continue;
            };
            match first {
                // [MQTT-6.0.0-1]
                0x82 => self.payload = payload,
                0x88 => self.closed = true,
                other => panic!("a frame that begins with {other:#x}"),
            }
        }
    }
}

impl<L: Link> Write for WebSocket<L> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.link.write_all(&frame(0x82, bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.link.flush()
    }
}

/// Takes the first frame out of `raw`, if all of it is there: its first byte and its payload. A server does not mask.
pub(crate) fn take_frame(raw: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let &[first, length] = raw.first_chunk::<2>()?;
    assert_eq!(length & 0x80, 0, "a masked frame from the server");
    let (start, length) = match length {
        126 => (4, usize::from(u16::from_be_bytes(*raw[2..].first_chunk()?))),
        127 => (
            10,
            usize::try_from(u64::from_be_bytes(*raw[2..].first_chunk()?)).unwrap(),
        ),
        length => (2, usize::from(length)),
    };
    let payload = raw.get(start..start + length)?.to_vec();
    raw.drain(..start + length);
    Some((first, payload))
}
