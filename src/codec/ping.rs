//! PINGREQ and PINGRESP.
//!
//! Specification: MQTT 5.0 chapters 3.12 and 3.13.

use super::reader::Reader;
use super::{DecodeError, Frame, PacketType, writer};

/// Checks that a PINGREQ is empty.
pub(super) fn decode(frame: &Frame<'_>) -> Result<(), DecodeError> {
    Reader::new(PacketType::PingReq, frame.body).finish()
}

/// The answer to PINGREQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingResp;

impl PingResp {
    /// Appends the packet, which is the same in every version.
    pub fn encode(self, out: &mut Vec<u8>) {
        writer::packet(out, PacketType::PingResp, 0, |_| {});
    }
}
