//! UNSUBSCRIBE: a client asks for messages no more.
//!
//! Specification: MQTT 5.0 chapter 3.10.

use super::property::Properties;
use super::reader::Reader;
use super::subscribe::read_topic_filter;
use super::{
    DecodeError, Frame, PacketId, PacketType, ProtocolError, ProtocolVersion, UserProperties,
};
use crate::topic::SubscriptionFilter;

/// One topic filter or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// For the UNSUBACK.
    pub packet_id: PacketId,
    /// Whatever else the client wants to say. MQTT 5.0 only.
    pub user_properties: UserProperties<'a>,
    /// At least one [MQTT-3.10.3-2].
    pub filters: UnsubscribeFilters<'a>,
}

impl<'a> Unsubscribe<'a> {
    /// Decodes an UNSUBSCRIBE of a client that speaks `version`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TopicFilter`], [`DecodeError::Malformed`] or [`DecodeError::Protocol`].
    pub fn decode(frame: &Frame<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PacketType::Unsubscribe, frame.body);
        let packet_id = reader.packet_id()?;
        let user_properties = match version {
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => UserProperties::default(),
            ProtocolVersion::V5 => read_properties(&mut reader)?,
        };
        let filters = UnsubscribeFilters::read(reader)?;
        Ok(Self {
            packet_id,
            user_properties,
            filters,
        })
    }
}

fn read_properties<'a>(reader: &mut Reader<'a>) -> Result<UserProperties<'a>, DecodeError> {
    let mut properties = Properties::read(reader, "property length")?;
    match properties.next()? {
        None => Ok(properties.user_properties()),
        Some((id, _)) => Err(properties.misplaced(id)),
    }
}

/// The topic filters of an UNSUBSCRIBE, in order. They were checked when the packet was decoded,
/// so that none is missing.
#[derive(Clone, Copy, Debug)]
pub struct UnsubscribeFilters<'a> {
    reader: Reader<'a>,
    /// How many are still to come.
    left: usize,
}

impl<'a> UnsubscribeFilters<'a> {
    fn read(reader: Reader<'a>) -> Result<Self, DecodeError> {
        let mut rest = reader;
        let mut count: usize = 0;
        while !rest.is_empty() {
            count = count.saturating_add(1);
            read_topic_filter(&mut rest, count)?;
        }
        if count == 0 {
            return Err(reader.protocol(ProtocolError::NoTopicFilter));
        }
        Ok(Self {
            reader,
            left: count,
        })
    }
}

impl<'a> Iterator for UnsubscribeFilters<'a> {
    type Item = SubscriptionFilter<'a>;

    fn next(&mut self) -> Option<SubscriptionFilter<'a>> {
        // The number only matters to errors, and there are none: the filters were checked.
        let filter = read_topic_filter(&mut self.reader, 0).ok()?;
        self.left = self.left.saturating_sub(1);
        Some(filter)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for UnsubscribeFilters<'_> {}

/// Equal are the same filters in the same order.
impl PartialEq for UnsubscribeFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        Iterator::eq(*self, *other)
    }
}

impl Eq for UnsubscribeFilters<'_> {}
