//! The few MQTT 3.1.1 packets that the generator needs, as bytes.
//!
//! Built here and not with `mqtt_server::codec`: a fault made twice in the same way must not cancel
//! out.

/// The upper four bits of a packet's first byte.
pub(crate) const CONNACK: u8 = 0x20;
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x60;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const SUBACK: u8 = 0x90;

/// CONNECT with a clean session and the longest keep alive, since rumqttd refuses one of 0.
pub(crate) fn connect(client_id: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\x02\xff\xff".to_vec();
    push_text(&mut body, client_id);
    packet(0x10, &body)
}

/// SUBSCRIBE to all `filters` at one QoS.
pub(crate) fn subscribe(packet_id: u16, filters: &[String], qos: u8) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    for filter in filters {
        push_text(&mut body, filter);
        body.push(qos);
    }
    packet(0x82, &body)
}

/// PUBLISH without RETAIN; above QoS 0 its packet id is 0, to be filled in.
pub(crate) fn publish(topic: &str, qos: u8, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_text(&mut body, topic);
    if qos > 0 {
        body.extend_from_slice(&[0, 0]);
    }
    body.extend_from_slice(payload);
    packet(PUBLISH | qos << 1, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP, by its upper four bits.
pub(crate) fn push_ack(out: &mut Vec<u8>, kind: u8, packet_id: [u8; 2]) {
    let flags = if kind == PUBREL { 0x02 } else { 0 };
    out.extend_from_slice(&[kind | flags, 2, packet_id[0], packet_id[1]]);
}

/// One whole packet as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    /// First byte: type and flags.
    pub(crate) first: u8,
    /// What follows the fixed header.
    pub(crate) body: &'a [u8],
    /// The length of all of it, in bytes.
    pub(crate) len: usize,
}

impl Received<'_> {
    /// The upper four bits of the first byte.
    pub(crate) fn kind(&self) -> u8 {
        self.first & 0xf0
    }

    /// Of an acknowledgement: what it acknowledges.
    pub(crate) fn packet_id(&self) -> Option<[u8; 2]> {
        self.body.first_chunk().copied()
    }

    /// Of a PUBLISH: its QoS, packet id above QoS 0, and payload. `None` if it is cut short.
    pub(crate) fn publish(&self) -> Option<(u8, [u8; 2], &[u8])> {
        let qos = self.first >> 1 & 3;
        let (topic_len, rest) = self.body.split_first_chunk()?;
        let rest = rest.get(usize::from(u16::from_be_bytes(*topic_len))..)?;
        if qos == 0 {
            return Some((qos, [0, 0], rest));
        }
        let (packet_id, payload) = rest.split_first_chunk()?;
        Some((qos, *packet_id, payload))
    }
}

/// The first whole packet of `bytes`; `None` when more bytes are needed.
pub(crate) fn next(bytes: &[u8]) -> Option<Received<'_>> {
    let (&first, rest) = bytes.split_first()?;
    let mut body_len = 0;
    for (index, &byte) in rest.iter().take(4).enumerate() {
        body_len |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            let start = index + 2;
            let len = start + body_len;
            let body = bytes.get(start..len)?;
            return Some(Received { first, body, len });
        }
    }
    None
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let digit = (left & 0x7f) as u8;
        left >>= 7;
        packet.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

/// Text of the bench's own making, which is short.
fn push_text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
