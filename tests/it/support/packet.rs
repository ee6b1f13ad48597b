//! MQTT packets as bytes, built from the text of the specification alone.

use std::fmt;

use super::property;

/// PINGREQ.
pub(crate) const PINGREQ: &[u8] = &[0xc0, 0];
/// PINGRESP.
pub(crate) const PINGRESP: &[u8] = &[0xd0, 0];
/// DISCONNECT of 3.1.1.
pub(crate) const DISCONNECT: &[u8] = &[0xe0, 0];

/// A packet: the first byte, the length of `body`, `body`.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let digit = u8::try_from(left % 128).unwrap();
        left /= 128;
        if left == 0 {
            bytes.push(digit);
            break;
        }
        bytes.push(digit | 0x80);
    }
    bytes.extend_from_slice(body);
    bytes
}

/// The length of the packet at the start of `bytes`, if all of it is there.
pub(crate) fn first_packet_length(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.get(1..)?;
    let end = digits.iter().position(|digit| digit & 0x80 == 0)?;
    let length = digits[..=end]
        .iter()
        .rev()
        .fold(0, |sum, digit| sum * 128 + usize::from(digit & 0x7f));
    let total = 1 + end + 1 + length;
    (bytes.len() >= total).then_some(total)
}

/// Bytes behind their length in two bytes: a string, or binary data.
pub(crate) fn prefixed(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length, bytes].concat()
}

/// A CONNECT; [`Connect::new`] has what most clients send.
#[derive(Clone)]
pub(crate) struct Connect<'a> {
    pub(crate) protocol: &'a str,
    /// 4 is MQTT 3.1.1, 5 is MQTT 5.0.
    pub(crate) level: u8,
    pub(crate) client_id: &'a str,
    pub(crate) clean: bool,
    /// Seconds; 0 turns it off.
    pub(crate) keep_alive: u16,
    pub(crate) will: Option<Will<'a>>,
    pub(crate) user_name: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    /// Those of MQTT 5.0, without their length.
    pub(crate) properties: Vec<u8>,
}

/// The will in a CONNECT.
#[derive(Clone)]
pub(crate) struct Will<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Those of MQTT 5.0, without their length.
    pub(crate) properties: Vec<u8>,
}

impl<'a> Connect<'a> {
    /// MQTT 3.1.1, clean session, no keep alive, no will.
    pub(crate) fn new(client_id: &'a str) -> Self {
        Self {
            protocol: "MQTT",
            level: 4,
            client_id,
            clean: true,
            keep_alive: 0,
            will: None,
            user_name: None,
            password: None,
            properties: Vec::new(),
        }
    }

    /// MQTT 5.0, clean start, no keep alive, no will, no session afterwards.
    pub(crate) fn v5(client_id: &'a str) -> Self {
        Self {
            level: 5,
            ..Self::new(client_id)
        }
    }

    /// With properties of MQTT 5.0, one after another.
    pub(crate) fn properties(mut self, properties: &[Vec<u8>]) -> Self {
        self.properties = properties.concat();
        self
    }

    /// Clean session 0 (3.1.1), clean start 0 (5.0).
    pub(crate) fn resuming(mut self) -> Self {
        self.clean = false;
        self
    }

    /// With this will, whatever is in it.
    pub(crate) fn with_will(mut self, will: Will<'a>) -> Self {
        self.will = Some(will);
        self
    }

    /// With a will at QoS 0 that is not retained.
    pub(crate) fn will(mut self, topic: &'a str, payload: &'a [u8]) -> Self {
        self.will = Some(Will {
            topic,
            payload,
            qos: 0,
            retain: false,
            properties: Vec::new(),
        });
        self
    }

    /// With a user name and a password.
    pub(crate) fn user(mut self, name: &'a str, password: &'a str) -> Self {
        self.user_name = Some(name);
        self.password = Some(password);
        self
    }

    /// With a keep alive in seconds.
    pub(crate) fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        let mut payload = Vec::new();
        if self.level == 5 {
            payload.extend(property::section(&self.properties));
        }
        payload.extend(prefixed(self.client_id));
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
            if self.level == 5 {
                payload.extend(property::section(&will.properties));
            }
            payload.extend(prefixed(will.topic));
            payload.extend(prefixed(will.payload));
        }
        if let Some(name) = self.user_name {
            flags |= 0x80;
            payload.extend(prefixed(name));
        }
        if let Some(password) = self.password {
            flags |= 0x40;
            payload.extend(prefixed(password));
        }
        connect(self.protocol, self.level, flags, self.keep_alive, &payload)
    }
}

/// What a CONNACK says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnAck {
    pub(crate) session_present: bool,
    pub(crate) code: u8,
    /// Those of MQTT 5.0; always empty in 3.1.1.
    pub(crate) properties: Vec<(u8, Vec<u8>)>,
}

impl ConnAck {
    /// Reads a whole packet; `None` if it is no CONNACK.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = body_of(0x20, bytes)?.split_first()?;
        let (code, properties) = rest.split_first()?;
        let properties = match properties.is_empty() {
            true => Vec::new(),
            false => property::parse(property::split_section(properties)?.0)?,
        };
        (flags & 0xfe == 0).then_some(Self {
            session_present: *flags == 1,
            code: *code,
            properties,
        })
    }

    /// The bytes of a property, if it is there.
    pub(crate) fn property(&self, id: u8) -> Option<&[u8]> {
        let found = self.properties.iter().find(|(there, _)| *there == id)?;
        Some(&found.1)
    }
}

/// What stands behind the fixed header `first`; `None` if the packet begins with another byte.
pub(crate) fn body_of(first: u8, bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&[first])?;
    let length_end = rest.iter().position(|byte| byte & 0x80 == 0)?;
    rest.get(length_end + 1..)
}

/// A CONNECT of any parts, also of such as do not belong together.
pub(crate) fn connect(
    protocol: &str,
    level: u8,
    flags: u8,
    keep_alive: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut body = prefixed(protocol);
    body.extend([level, flags]);
    body.extend(keep_alive.to_be_bytes());
    body.extend_from_slice(payload);
    packet(0x10, &body)
}

/// CONNACK of 3.1.1 without a session.
pub(crate) fn connack(code: u8) -> Vec<u8> {
    vec![0x20, 2, 0, code]
}

/// A PUBLISH, to send or as it came.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) id: Option<u16>,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    /// Those of MQTT 5.0, one after another as they stand in the packet, without their length.
    pub(crate) properties: Vec<u8>,
}

impl Publish {
    /// QoS 0, not retained.
    pub(crate) fn new(topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            id: None,
            retain: false,
            dup: false,
            properties: Vec::new(),
        }
    }

    /// With properties of MQTT 5.0, one after another.
    pub(crate) fn properties(mut self, properties: &[Vec<u8>]) -> Self {
        self.properties = properties.concat();
        self
    }

    /// At QoS 1 or 2 with a packet identifier.
    pub(crate) fn qos(mut self, qos: u8, id: u16) -> Self {
        self.qos = qos;
        self.id = Some(id);
        self
    }

    /// With RETAIN 1.
    pub(crate) fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With DUP 1.
    pub(crate) fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// As a packet of 3.1.1.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.packet(&[])
    }

    /// As a packet of MQTT 5.0.
    pub(crate) fn bytes_v5(&self) -> Vec<u8> {
        self.packet(&property::section(&self.properties))
    }

    fn packet(&self, properties: &[u8]) -> Vec<u8> {
        let flags = u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let mut body = prefixed(&self.topic);
        body.extend(self.id.iter().flat_map(|id| id.to_be_bytes()));
        body.extend_from_slice(properties);
        body.extend_from_slice(&self.payload);
        packet(0x30 | flags, &body)
    }

    /// Reads a whole packet of 3.1.1, or of MQTT 5.0; `None` if it is not a PUBLISH.
    pub(crate) fn parse(bytes: &[u8], is_v5: bool) -> Option<Self> {
        let &first = bytes.first()?;
        let rest = body_of(first, bytes)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (topic, mut payload) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let qos = first >> 1 & 3;
        let mut id = None;
        if qos > 0 {
            let (bytes, rest) = payload.split_first_chunk::<2>()?;
            id = Some(u16::from_be_bytes(*bytes));
            payload = rest;
        }
        let mut properties: &[u8] = &[];
        if is_v5 {
            (properties, payload) = property::split_section(payload)?;
        }
        (first >> 4 == 3).then(|| Self {
            topic: String::from_utf8_lossy(topic).into_owned(),
            payload: payload.to_vec(),
            qos,
            id,
            retain: first & 1 != 0,
            dup: first & 8 != 0,
            properties: properties.to_vec(),
        })
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            payload,
            qos,
            id,
            retain,
            dup,
            properties,
        } = self;
        let shown = String::from_utf8_lossy(payload.get(..100).unwrap_or(payload));
        write!(
            f,
            "PUBLISH {topic:?} qos={qos} id={id:?} retain={retain} dup={dup} properties={properties:02x?} {} bytes: {shown:?}",
            payload.len()
        )
    }
}

/// PUBACK.
pub(crate) fn puback(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}

/// PUBREC.
pub(crate) fn pubrec(id: u16) -> Vec<u8> {
    packet(0x50, &id.to_be_bytes())
}

/// PUBREL.
pub(crate) fn pubrel(id: u16) -> Vec<u8> {
    packet(0x62, &id.to_be_bytes())
}

/// PUBCOMP.
pub(crate) fn pubcomp(id: u16) -> Vec<u8> {
    packet(0x70, &id.to_be_bytes())
}

/// An acknowledgement of any form: the packet's first byte, the packet id, and what MQTT 5.0 adds.
pub(crate) fn ack(first: u8, id: u16, reason_and_properties: &[u8]) -> Vec<u8> {
    packet(first, &[&id.to_be_bytes(), reason_and_properties].concat())
}

/// SUBSCRIBE of MQTT 5.0, with the options of each filter.
pub(crate) fn subscribe_v5(id: u16, properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(property::section(properties));
    for (filter, options) in filters {
        body.extend(prefixed(filter));
        body.push(*options);
    }
    packet(0x82, &body)
}

/// SUBACK of MQTT 5.0 without properties.
pub(crate) fn suback_v5(id: u16, codes: &[u8]) -> Vec<u8> {
    packet(0x90, &[&id.to_be_bytes()[..], &[0], codes].concat())
}

/// UNSUBSCRIBE of MQTT 5.0.
pub(crate) fn unsubscribe_v5(id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.push(0);
    body.extend(filters.iter().flat_map(prefixed));
    packet(0xa2, &body)
}

/// UNSUBACK of MQTT 5.0 without properties.
pub(crate) fn unsuback_v5(id: u16, codes: &[u8]) -> Vec<u8> {
    packet(0xb0, &[&id.to_be_bytes()[..], &[0], codes].concat())
}

/// DISCONNECT of MQTT 5.0 with a reason code and properties.
pub(crate) fn disconnect_v5(code: u8, properties: &[u8]) -> Vec<u8> {
    packet(
        0xe0,
        &[&[code], property::section(properties).as_slice()].concat(),
    )
}

/// SUBSCRIBE to filters, each with the QoS it asks for.
pub(crate) fn subscribe(id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    for (filter, qos) in filters {
        body.extend(prefixed(filter));
        body.push(*qos);
    }
    packet(0x82, &body)
}

/// SUBACK with a code for each filter.
pub(crate) fn suback(id: u16, codes: &[u8]) -> Vec<u8> {
    packet(0x90, &[&id.to_be_bytes(), codes].concat())
}

/// UNSUBSCRIBE.
pub(crate) fn unsubscribe(id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(filters.iter().flat_map(prefixed));
    packet(0xa2, &body)
}

/// UNSUBACK of 3.1.1.
pub(crate) fn unsuback(id: u16) -> Vec<u8> {
    packet(0xb0, &id.to_be_bytes())
}
