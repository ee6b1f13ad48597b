//! Standard base64 with padding ([RFC 4648] section 4), written straight into a line.
//!
//! [RFC 4648]: https://www.rfc-editor.org/rfc/rfc4648#section-4

/// The 64 digits, by value.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the base64 of `bytes` to `out`: four digits for every three bytes begun.
pub(super) fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    let (triples, tail) = bytes.as_chunks::<3>();
    for &triple in triples {
        out.extend_from_slice(&digits(triple));
    }
    match *tail {
        [a] => {
            let [first, second, ..] = digits([a, 0, 0]);
            out.extend_from_slice(&[first, second, b'=', b'=']);
        }
        [a, b] => {
            let [first, second, third, _] = digits([a, b, 0]);
            out.extend_from_slice(&[first, second, third, b'=']);
        }
        _ => {}
    }
}

/// The four digits of three bytes.
fn digits([a, b, c]: [u8; 3]) -> [u8; 4] {
    let digit = |bits: u8| ALPHABET[usize::from(bits & 0x3f)];
    [
        digit(a >> 2),
        digit((a << 4) | (b >> 4)),
        digit((b << 2) | (c >> 6)),
        digit(c),
    ]
}

#[cfg(test)]
mod tests {
    use super::push_base64;

    #[test]
    fn encodes_the_vectors_of_rfc_4648() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), expected);
        }
    }

    #[test]
    fn uses_every_digit() {
        let every_value: Vec<u8> = (0..16)
            .flat_map(|i: u8| {
                let [a, b, c, d] = [i * 4, i * 4 + 1, i * 4 + 2, i * 4 + 3];
                [(a << 2) | (b >> 4), (b << 4) | (c >> 2), (c << 6) | d]
            })
            .collect();
        assert_eq!(
            encode(&every_value),
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        );
        assert_eq!(encode(&[0xff, 0xfe]), "//4=");
    }

    fn encode(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        push_base64(bytes, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}
