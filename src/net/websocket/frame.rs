//! Frames of RFC 6455: those of a client are taken apart, ours are made.

use std::fmt;
use std::io::{self, Cursor};

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::net::read_buffer::ReadBuffer;

/// What a client sends. The payload of data frames goes on as it comes and is not gathered, so
/// that neither a frame's length nor a message's costs memory.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    raw: ReadBuffer,
    /// Payload of the current data frame that has not come yet, in bytes.
    payload_left: u64,
    /// The mask of its next bytes.
    mask: [u8; 4],
    /// The current message has more frames to come.
    is_fragmented: bool,
}

/// What comes next from a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// So many bytes of payload, at least one.
    Payload(usize),
    /// More must be received first.
    Incomplete,
    /// A ping with this payload.
    Ping(Vec<u8>),
    /// The end, with the client's status if it gave one.
    Close(Vec<u8>),
}

impl Incoming {
    /// Begins with what was received in the handshake.
    pub(super) fn new(raw: ReadBuffer) -> Self {
        Self {
            raw,
            ..Self::default()
        }
    }

    /// Receives more, as [`ReadBuffer::fill_with`].
    pub(super) fn fill_with(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.raw.fill_with(read)
    }

    /// Takes the next thing out of what was received; payload goes to the beginning of `buffer`,
    /// which is not empty.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Result<Next, FrameError> {
        loop {
            if self.payload_left > 0 {
                return Ok(match self.take_payload(buffer) {
                    0 => Next::Incomplete,
                    count => Next::Payload(count),
                });
            }
            let mut cursor = Cursor::new(self.raw.bytes());
            let parsed = FrameHeader::parse(&mut cursor).map_err(|_| FrameError::Opcode)?;
            let Some((header, len)) = parsed else {
                return Ok(Next::Incomplete);
            };
            let header_len = header.len(len);
            let mask = check(&header, len, self.is_fragmented)?;
            match header.opcode {
                OpCode::Data(_) => {
                    self.raw.consume(header_len);
                    self.payload_left = len;
                    self.mask = mask;
                    self.is_fragmented = !header.is_final;
                }
                OpCode::Control(control) => {
                    // At most 125 bytes, so waiting for all of them costs nothing.
                    let frame_len = header_len + usize::try_from(len).unwrap_or(CONTROL_LEN_MAX);
                    let Some(payload) = self.raw.bytes().get(header_len..frame_len) else {
                        return Ok(Next::Incomplete);
                    };
                    let mut payload = payload.to_vec();
                    unmask(&mut payload, mask);
                    self.raw.consume(frame_len);
                    match control {
                        Control::Ping => return Ok(Next::Ping(payload)),
                        Control::Close => {
                            // The reason in words is not for us, nor for the client once more.
                            payload.truncate(2);
                            return Ok(Next::Close(payload));
                        }
                        Control::Pong | Control::Reserved(_) => {}
                    }
                }
            }
        }
    }

    fn take_payload(&mut self, buffer: &mut [u8]) -> usize {
        let left = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
        let raw = self.raw.bytes();
        let count = left.min(raw.len()).min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), raw.get(..count)) {
            to.copy_from_slice(from);
            unmask(to, self.mask);
        }
        self.raw.consume(count);
        self.payload_left -= count as u64;
        self.mask.rotate_left(count % 4);
        count
    }
}

/// Longest payload of a control frame, in bytes (RFC 6455, 5.5).
const CONTROL_LEN_MAX: usize = 125;

/// Checks what a header says by itself and after those before it; returns the mask.
fn check(header: &FrameHeader, len: u64, is_fragmented: bool) -> Result<[u8; 4], FrameError> {
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(FrameError::ReservedBits);
    }
    // The highest bit must be 0 (RFC 6455, 5.2).
    if len > u64::MAX >> 1 {
        return Err(FrameError::Length);
    }
    match header.opcode {
        // [MQTT-6.0.0-1]
        OpCode::Data(Data::Text) => return Err(FrameError::Text),
        OpCode::Data(Data::Binary) if is_fragmented => return Err(FrameError::Fragment),
        OpCode::Data(Data::Continue) if !is_fragmented => return Err(FrameError::Fragment),
        OpCode::Data(Data::Binary | Data::Continue) => {}
        OpCode::Data(Data::Reserved(_)) => return Err(FrameError::Opcode),
        OpCode::Control(_) if !header.is_final || len > CONTROL_LEN_MAX as u64 => {
            return Err(FrameError::Control);
        }
        OpCode::Control(_) => {}
    }
    header.mask.ok_or(FrameError::Unmasked)
}

/// Masks or unmasks `bytes`, the first of them with the first byte of `mask`.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let twice = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ twice).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Appends a whole frame of the server, which is never masked.
pub(super) fn push_frame(opcode: OpCode, payload: &[u8], frames: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let len = payload.len() as u64;
    frames.reserve(header.len(len) + payload.len());
    header
        .format(len, frames)
        .expect("a vector takes all that is written to it");
    frames.extend_from_slice(payload);
}

/// How a client breaks the rules for frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    /// A frame that is not masked.
    Unmasked,
    /// A reserved bit, which only an extension may set.
    ReservedBits,
    /// A type of frame that does not exist.
    Opcode,
    /// A text frame.
    Text,
    /// A continuation of nothing, or a new message within another.
    Fragment,
    /// A control frame that is long or fragmented.
    Control,
    /// A length beyond 63 bits.
    Length,
    /// Pings without end, whose answers are not read.
    TooManyPings,
}

impl FrameError {
    /// What the client is told (RFC 6455, 7.4.1).
    pub(super) fn close_code(self) -> u16 {
        match self {
            Self::Text => 1003,
            Self::TooManyPings => 1008,
            Self::Unmasked
            | Self::ReservedBits
            | Self::Opcode
            | Self::Fragment
            | Self::Control
            | Self::Length => 1002,
        }
    }
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unmasked => "WebSocket frame without a mask",
            Self::ReservedBits => "WebSocket frame with reserved bits",
            Self::Opcode => "WebSocket frame of unknown type",
            Self::Text => "WebSocket text frame, MQTT takes binary ones",
            Self::Fragment => "WebSocket frame out of order",
            Self::Control => "WebSocket control frame that is too long or fragmented",
            Self::Length => "WebSocket frame with an impossible length",
            Self::TooManyPings => "WebSocket pings without end, the answers are not read",
        })
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A frame of a client: first byte, how the length is written, payload.
    fn frame(first: u8, len: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        bytes.extend_from_slice(len);
        bytes[1] |= 0x80;
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().enumerate().map(|(i, b)| b ^ MASK[i % 4]));
        bytes
    }

    fn incoming(bytes: &[u8]) -> Incoming {
        let mut incoming = Incoming::default();
        push(&mut incoming, bytes);
        incoming
    }

    fn push(incoming: &mut Incoming, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = incoming
                .fill_with(|room| io::Read::read(&mut bytes, room))
                .unwrap();
            assert!(count > 0);
        }
    }

    /// The payload of everything in `incoming`, taken in pieces of `piece` bytes.
    fn payload(incoming: &mut Incoming, piece: usize) -> Result<Vec<u8>, FrameError> {
        let mut all = Vec::new();
        let mut buffer = vec![0; piece];
        loop {
            match incoming.next(&mut buffer)? {
                Next::Payload(count) => all.extend_from_slice(&buffer[..count]),
                Next::Incomplete => return Ok(all),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn takes_payload_whatever_the_pieces() {
        let bytes: Vec<u8> = (0..70_000_u32).map(|i| (i % 251) as u8).collect();
        let frames = [
            frame(0x02, &[5], &bytes[..5]),
            frame(0x00, &[0], &[]),
            frame(0x80, &[126, 0x01, 0x00], &bytes[5..261]),
            frame(0x82, &[127, 0, 0, 0, 0, 0, 1, 0, 0], &bytes[261..65_797]),
            frame(0x82, &[126, 0x10, 0x6b], &bytes[65_797..]),
        ]
        .concat();
        for piece in [1, 3, 7, 4096, 100_000] {
            assert_eq!(payload(&mut incoming(&frames), piece).unwrap(), bytes);
        }
        let mut dribbled = Incoming::default();
        let mut got = Vec::new();
        for byte in &frames[..400] {
            push(&mut dribbled, &[*byte]);
            got.extend(payload(&mut dribbled, 10).unwrap());
        }
        assert!(got.len() > 300 && bytes.starts_with(&got));
    }

    #[test]
    fn tells_pings_and_the_end_between_fragments() {
        let frames = [
            frame(0x02, &[2], b"ab"),
            frame(0x89, &[4], b"ping"),
            frame(0x8a, &[0], b""),
            frame(0x80, &[1], b"c"),
            frame(0x88, &[5], b"\x03\xe8bye"),
        ]
        .concat();
        let mut incoming = incoming(&frames);
        let mut buffer = [0; 8];
        let mut next = || incoming.next(&mut buffer).unwrap();
        assert_eq!(next(), Next::Payload(2));
        assert_eq!(next(), Next::Ping(b"ping".to_vec()));
        assert_eq!(next(), Next::Payload(1));
        assert_eq!(next(), Next::Close(vec![0x03, 0xe8]));
        assert_eq!(next(), Next::Incomplete);
    }

    #[test]
    fn refuses_what_breaks_the_rules() {
        let long = [&[0x82, 0x80 | 127][..], &[0xff; 8], &MASK].concat();
        for (bytes, error) in [
            (vec![0x82, 1, b'a'], FrameError::Unmasked),
            (frame(0xc2, &[1], b"a"), FrameError::ReservedBits),
            (frame(0x83, &[1], b"a"), FrameError::Opcode),
            (frame(0x8b, &[1], b"a"), FrameError::Opcode),
            (frame(0x81, &[1], b"a"), FrameError::Text),
            (frame(0x80, &[1], b"a"), FrameError::Fragment),
            (frame(0x09, &[1], b"a"), FrameError::Control),
            (frame(0x89, &[126, 0, 126], &[0; 126]), FrameError::Control),
            (long, FrameError::Length),
        ] {
            assert_eq!(payload(&mut incoming(&bytes), 8), Err(error), "{bytes:x?}");
        }
        let within = [frame(0x02, &[1], b"a"), frame(0x82, &[1], b"b")].concat();
        let refused = payload(&mut incoming(&within), 8);
        assert_eq!(refused, Err(FrameError::Fragment));
    }

    #[test]
    fn makes_frames_of_every_length() {
        for (len, header) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 0xff, 0xff]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut frames = Vec::new();
            push_frame(OpCode::Data(Data::Binary), &vec![7; len], &mut frames);
            assert_eq!(frames.len(), header.len() + len);
            assert!(frames.starts_with(&header), "{len}");
        }
    }
}
