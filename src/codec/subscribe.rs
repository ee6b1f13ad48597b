//! SUBSCRIBE: a client asks for messages.
//!
//! Specification: MQTT 5.0 chapter 3.8.

use super::error::excerpt;
use super::property::{Properties, Property};
use super::reader::Reader;
use super::{
    DecodeError, Frame, MalformedPacket, PacketId, PacketType, ProtocolError, ProtocolVersion, QoS,
    UserProperties,
};
use crate::topic::{SubscriptionFilter, TopicFilter};

/// One topic filter or more, each with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// For the SUBACK.
    pub packet_id: PacketId,
    /// To be sent with each message of these subscriptions, 1 to 268,435,455. MQTT 5.0 only.
    pub subscription_identifier: Option<u32>,
    /// Whatever else the client wants to say. MQTT 5.0 only.
    pub user_properties: UserProperties<'a>,
    /// At least one [MQTT-3.8.3-2].
    pub filters: SubscribeFilters<'a>,
}

impl<'a> Subscribe<'a> {
    /// Decodes a SUBSCRIBE of a client that speaks `version`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TopicFilter`], [`DecodeError::Malformed`] or [`DecodeError::Protocol`]. One
    /// bad filter refuses them all.
    pub fn decode(frame: &Frame<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PacketType::Subscribe, frame.body);
        let packet_id = reader.packet_id()?;
        let (subscription_identifier, user_properties) = match version {
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => (None, UserProperties::default()),
            ProtocolVersion::V5 => read_properties(&mut reader)?,
        };
        let filters = SubscribeFilters::read(reader, version)?;
        Ok(Self {
            packet_id,
            subscription_identifier,
            user_properties,
            filters,
        })
    }
}

fn read_properties<'a>(
    reader: &mut Reader<'a>,
) -> Result<(Option<u32>, UserProperties<'a>), DecodeError> {
    let mut properties = Properties::read(reader, "property length")?;
    let mut subscription_identifier = None;
    while let Some((id, property)) = properties.next()? {
        match property {
            Property::SubscriptionIdentifier(identifier) => {
                subscription_identifier = Some(identifier);
            }
            _ => return Err(properties.misplaced(id)),
        }
    }
    Ok((subscription_identifier, properties.user_properties()))
}

/// One topic filter of a SUBSCRIBE and its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// What messages are matched against, without `$share/ShareName/`.
    pub filter: TopicFilter<'a>,
    /// The share name, if the subscription is shared.
    pub share: Option<&'a str>,
    /// The filter as the client wrote it.
    pub full: &'a str,
    /// The highest QoS the client wants.
    pub qos: QoS,
    /// Not the client's own messages. Never on a shared subscription [MQTT-3.8.3-4].
    pub no_local: bool,
    /// RETAIN as the publisher set it.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// Whether a new subscription brings retained messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetainHandling {
    /// Each time; the only way in MQTT 3.1 and 3.1.1.
    #[default]
    SendAlways = 0,
    /// Only if there was no such subscription.
    SendIfNew = 1,
    /// Never.
    SendNever = 2,
}

/// The topic filters of a SUBSCRIBE, in order. They were checked when the packet was decoded, so
/// that none is missing.
#[derive(Clone, Copy, Debug)]
pub struct SubscribeFilters<'a> {
    reader: Reader<'a>,
    version: ProtocolVersion,
    /// How many are still to come.
    left: usize,
}

impl<'a> SubscribeFilters<'a> {
    fn read(reader: Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut rest = reader;
        let mut count: usize = 0;
        while !rest.is_empty() {
            count = count.saturating_add(1);
            read_filter(&mut rest, version, count)?;
        }
        if count == 0 {
            return Err(reader.protocol(ProtocolError::NoTopicFilter));
        }
        Ok(Self {
            reader,
            version,
            left: count,
        })
    }
}

impl<'a> Iterator for SubscribeFilters<'a> {
    type Item = SubscribeFilter<'a>;

    fn next(&mut self) -> Option<SubscribeFilter<'a>> {
        // The number only matters to errors, and there are none: the filters were checked.
        let filter = read_filter(&mut self.reader, self.version, 0).ok()?;
        self.left = self.left.saturating_sub(1);
        Some(filter)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for SubscribeFilters<'_> {}

/// Equal are the same filters with the same options in the same order.
impl PartialEq for SubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        Iterator::eq(*self, *other)
    }
}

impl Eq for SubscribeFilters<'_> {}

/// Takes a filter and its options off `reader`; the filter is the `number`th.
fn read_filter<'a>(
    reader: &mut Reader<'a>,
    version: ProtocolVersion,
    number: usize,
) -> Result<SubscribeFilter<'a>, DecodeError> {
    let SubscriptionFilter {
        filter,
        share,
        full,
    } = read_topic_filter(reader, number)?;
    let options = reader.u8("subscription options")?;
    // MQTT 5.0 took four of the six bits that 3.1.1 reserves [MQTT-3.8.3-5, MQTT-3-8.3-4 3.1.1].
    let reserved = if version == ProtocolVersion::V5 {
        0b1100_0000
    } else {
        0b1111_1100
    };
    if options & reserved != 0 {
        let problem = MalformedPacket::ReservedSubscriptionOption { number, options };
        return Err(reader.malformed(problem));
    }
    let qos = QoS::try_from(options & 0b11)
        .map_err(|_| reader.protocol(ProtocolError::MaximumQoS3(number)))?;
    let no_local = options & 0b100 != 0;
    if no_local && share.is_some() {
        return Err(reader.protocol(ProtocolError::NoLocalOnShared(number))); // [MQTT-3.8.3-4]
    }
    let retain_handling = match options >> 4 {
        0 => RetainHandling::SendAlways,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::SendNever,
        _ => return Err(reader.protocol(ProtocolError::RetainHandling3(number))),
    };
    Ok(SubscribeFilter {
        filter,
        share,
        full,
        qos,
        no_local,
        retain_as_published: options & 0b1000 != 0,
        retain_handling,
    })
}

/// Takes a topic filter off `reader`; it is the `number`th.
pub(super) fn read_topic_filter<'a>(
    reader: &mut Reader<'a>,
    number: usize,
) -> Result<SubscriptionFilter<'a>, DecodeError> {
    let text = reader.utf8("topic filter")?;
    SubscriptionFilter::new(text).map_err(|error| {
        let text = excerpt(text);
        DecodeError::TopicFilter {
            packet: reader.packet(),
            number,
            text,
            error,
        }
    })
}
