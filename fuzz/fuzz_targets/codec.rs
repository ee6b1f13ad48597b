//! Whatever a client sends is a packet, the beginning of one, or refused; in every version.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_server::codec::{Connect, ProtocolVersion, next_frame};

const VERSIONS: [Option<ProtocolVersion>; 4] = [
    None,
    Some(ProtocolVersion::V3_1),
    Some(ProtocolVersion::V3_1_1),
    Some(ProtocolVersion::V5),
];

/// Small enough that inputs reach it.
const LEN_MAX: usize = 1_000;

fuzz_target!(|bytes: &[u8]| {
    for version in VERSIONS {
        let mut rest = bytes;
        while let Ok(Some(frame)) = next_frame(rest, version, LEN_MAX) {
            let len = frame.bytes.len();
            assert!((2..=LEN_MAX).contains(&len) && len <= rest.len());
            match version {
                None => {
                    let _ = Connect::decode_version(&frame);
                    let _ = Connect::decode(&frame);
                }
                Some(version) => {
                    let _ = frame.decode(version);
                }
            }
            rest = &rest[len..];
        }
    }
});
