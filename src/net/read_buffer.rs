//! What a client has sent and nobody has handled yet.

use std::io;

use super::Stream;

/// Bytes from one client. Starts small and grows only while it is filled, so that an idle client
/// costs little and a loud one is read in large batches.
#[derive(Debug)]
pub struct ReadBuffer {
    /// All of it may be written to; what counts is `start..end`.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled all the room there was: more is waiting.
    filled: bool,
    read_len_max: usize,
}

/// Room for a CONNECT, or for some small packets.
const LEN_MIN: usize = 2 * 1024;

/// A larger batch makes nothing faster. Only for a single packet that is larger does a buffer grow
/// further, and only as its bytes arrive.
const BATCH_LEN_MAX: usize = 512 * 1024;

impl ReadBuffer {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: vec![0; LEN_MIN],
            start: 0,
            end: 0,
            filled: false,
            read_len_max: usize::MAX,
        }
    }

    /// From now on reads at most `len` bytes at a time; not 0.
    pub fn limit_reads(&mut self, len: usize) {
        self.read_len_max = len.max(1);
    }

    /// What was read and not consumed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Forgets the first `count` bytes: they have been handled.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Waits for more bytes, once. Returns how many came; 0 is the end of the stream.
    ///
    /// The caller has consumed all whole packets and refuses those that are too large, so what is
    /// left in a full buffer is the beginning of a packet that may be larger than the buffer.
    ///
    /// # Errors
    /// As [`Stream::read`].
    pub fn fill(&mut self, stream: &Stream) -> io::Result<usize> {
        self.fill_with(|room| stream.read(room))
    }

    /// As [`ReadBuffer::fill`], from whatever `read` reads from.
    pub(super) fn fill_with(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let left = self.end - self.start;
        if self.start > 0 {
            // Not for each piece of a large packet that comes in small ones.
            self.bytes.copy_within(self.start..self.end, 0);
        }
        (self.start, self.end) = (0, left);
        if left == self.bytes.len() {
            self.bytes.resize(self.bytes.len() * 2, 0);
        } else if self.filled && self.bytes.len() < BATCH_LEN_MAX.min(self.read_len_max) {
            self.bytes
                .resize((self.bytes.len() * 4).min(BATCH_LEN_MAX), 0);
        }
        let room_len = (self.bytes.len() - left).min(self.read_len_max);
        let room = &mut self.bytes[left..left + room_len];
        let count = read(room)?;
        self.end += count;
        self.filled = count == room_len;
        self.shrink_if_quiet();
        Ok(count)
    }

    /// Halves a buffer that was mostly empty, so that it gets small again some reads after a burst.
    fn shrink_if_quiet(&mut self) {
        let len = self.bytes.len() / 2;
        if len >= LEN_MIN && self.end < len / 2 {
            self.bytes.truncate(len);
            self.bytes.shrink_to_fit();
        }
    }
}

impl Default for ReadBuffer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, Stream::tcp(listener.accept().unwrap().0).unwrap())
    }

    #[test]
    fn gives_what_was_sent_in_order_whatever_is_consumed() {
        let (mut client, stream) = pair();
        let sent: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        let mut expected = sent.clone();
        let writer = std::thread::spawn(move || client.write_all(&sent).unwrap());
        let mut buffer = ReadBuffer::new();
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            assert_ne!(buffer.fill(&stream).unwrap(), 0);
            let count = buffer.bytes().len() / 3 + 1;
            seen.extend_from_slice(&buffer.bytes()[..count]);
            buffer.consume(count);
            if seen.len() + buffer.bytes().len() == expected.len() {
                seen.extend_from_slice(buffer.bytes());
                buffer.consume(usize::MAX - buffer.bytes().len());
            }
        }
        writer.join().unwrap();
        expected.truncate(seen.len());
        assert_eq!(seen, expected);
    }

    #[test]
    fn grows_while_filled_and_shrinks_when_quiet() {
        let (mut client, stream) = pair();
        let mut buffer = ReadBuffer::new();
        client.write_all(&vec![7; 100_000]).unwrap();
        let mut seen = 0;
        while seen < 100_000 {
            seen += buffer.fill(&stream).unwrap();
        }
        assert_eq!(
            buffer.bytes().len(),
            100_000,
            "one packet larger than the buffer"
        );
        let grown = buffer.bytes.len();
        assert!(grown >= 100_000);
        buffer.consume(100_000);
        for _ in 0..20 {
            client.write_all(&[7]).unwrap();
            assert_eq!(buffer.fill(&stream).unwrap(), 1);
            buffer.consume(1);
        }
        assert_eq!(buffer.bytes.len(), LEN_MIN);
    }

    #[test]
    fn tells_the_end() {
        let (client, stream) = pair();
        drop(client);
        assert_eq!(ReadBuffer::new().fill(&stream).unwrap(), 0);
    }
}
