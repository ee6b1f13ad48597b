//! Variable byte integers: seven bits a byte, the lowest first, the eighth bit says "more".
//!
//! Specification: MQTT 5.0 chapter 1.5.5.

/// The largest value that four bytes hold.
pub(super) const VAR_INT_MAX: u32 = 268_435_455;

/// A value and how many bytes said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VarInt {
    /// 0 to [`VAR_INT_MAX`].
    pub(super) value: u32,
    /// In bytes, 1 to 4.
    pub(super) len: usize,
}

impl VarInt {
    /// Whether no shorter form says the same, as MQTT 5.0 demands [MQTT-1.5.5-1].
    pub(super) fn is_shortest(self) -> bool {
        self.len == encoded_len(self.value)
    }
}

/// The fourth byte says that there is a fifth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Reads the integer that `bytes` begin with; `None` if they end inside it.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<VarInt>, TooLong> {
    let mut value = 0;
    for (&byte, (len, shift)) in bytes.iter().zip([(1, 0), (2, 7), (3, 14), (4, 21)]) {
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(VarInt { value, len }));
        }
    }
    if bytes.len() < 4 {
        Ok(None)
    } else {
        Err(TooLong)
    }
}

/// Appends the shortest form of `value`, 0 to [`VAR_INT_MAX`].
pub(super) fn encode(mut value: u32, out: &mut Vec<u8>) {
    debug_assert!(value <= VAR_INT_MAX, "{value} does not fit");
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// The bytes that [`encode`] appends.
pub(super) fn encoded_len(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The borders in the table of chapter 1.5.5.
    const BORDERS: [(u32, &[u8]); 8] = [
        (0, &[0x00]),
        (127, &[0x7f]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xff, 0xff, 0x7f]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        (VAR_INT_MAX, &[0xff, 0xff, 0xff, 0x7f]),
    ];

    #[test]
    fn encodes_and_decodes_the_borders() {
        for (value, bytes) in BORDERS {
            let mut out = Vec::new();
            encode(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(encoded_len(value), bytes.len());
            let decoded = VarInt {
                value,
                len: bytes.len(),
            };
            assert_eq!(decode(bytes), Ok(Some(decoded)));
            assert!(decoded.is_shortest());
        }
    }

    #[test]
    fn asks_for_more_or_rejects_a_fifth_byte() {
        for len in 0..4 {
            assert_eq!(decode(&vec![0xff; len]), Ok(None));
        }
        assert_eq!(decode(&[0xff; 4]), Err(TooLong));
        assert_eq!(decode(&[0x80, 0x80, 0x80, 0x80, 0x01]), Err(TooLong));
    }

    #[test]
    fn tells_long_forms_apart() {
        let long = VarInt { value: 1, len: 2 };
        assert_eq!(decode(&[0x81, 0x00]), Ok(Some(long)));
        assert!(!long.is_shortest());
    }
}
