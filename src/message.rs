//! A message that outlives the packet it came in.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::codec::{PublishProperties, QoS};

/// What was published, owned: queued, in flight, retained, or a will. Shared by all who get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic name.
    pub topic: Arc<str>,
    /// Any bytes, or none.
    pub payload: Box<[u8]>,
    /// What it was published with; a subscription may want less.
    pub qos: QoS,
    /// RETAIN as the publisher set it.
    pub retain: bool,
    /// By the wall clock, as it may wait longer than this process lives.
    pub expires_at: Option<SystemTime>,
    /// The properties that are passed on, encoded: all but what belongs to one hop (topic alias,
    /// subscription identifiers) and the expiry interval, which counts down.
    properties: Box<[u8]>,
}

impl Message {
    /// Copies a message out of its packet.
    #[must_use]
    pub fn new(
        topic: Arc<str>,
        payload: &[u8],
        qos: QoS,
        retain: bool,
        properties: &PublishProperties<'_>,
    ) -> Self {
        let expires_at = properties
            .message_expiry_interval
            .and_then(|seconds| SystemTime::now().checked_add(Duration::from_secs(seconds.into())));
        let kept = PublishProperties {
            message_expiry_interval: None,
            topic_alias: None,
            subscription_identifiers: &[],
            ..*properties
        };
        let mut encoded = Vec::new();
        kept.encode(&mut encoded);
        let properties = encoded.into_boxed_slice();
        Self {
            topic,
            payload: payload.into(),
            qos,
            retain,
            expires_at,
            properties,
        }
    }

    /// Puts a message together again from what [`Message::properties_bytes`] and the fields gave.
    #[must_use]
    pub fn from_parts(
        topic: Arc<str>,
        payload: Box<[u8]>,
        qos: QoS,
        retain: bool,
        expires_at: Option<SystemTime>,
        properties: Box<[u8]>,
    ) -> Self {
        Self {
            topic,
            payload,
            qos,
            retain,
            expires_at,
            properties,
        }
    }

    /// The properties, for who keeps the message elsewhere.
    #[must_use]
    pub fn properties_bytes(&self) -> &[u8] {
        &self.properties
    }

    /// The properties to pass on at `now`, with the seconds that are left [MQTT-3.3.2-6]. `None` if
    /// the message has expired [MQTT-3.3.2-5].
    #[must_use]
    pub fn properties_at(&self, now: SystemTime) -> Option<PublishProperties<'_>> {
        let message_expiry_interval = match self.expires_at {
            None => None,
            Some(expires_at) => {
                let left = expires_at
                    .duration_since(now)
                    .ok()
                    .filter(|left| !left.is_zero())?;
                // Rounded up, so that a message passed on at once keeps its number.
                let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                Some(u32::try_from(seconds).unwrap_or(u32::MAX))
            }
        };
        let kept = match self.properties.is_empty() {
            true => PublishProperties::default(),
            // They were decoded once, before they were encoded here.
            false => PublishProperties::decode(&self.properties).unwrap_or_default(),
        };
        Some(PublishProperties {
            message_expiry_interval,
            ..kept
        })
    }

    /// Roughly what it costs to keep, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len() + size_of::<Self>()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn counts_the_expiry_down() {
        let properties = PublishProperties {
            message_expiry_interval: Some(10),
            ..Default::default()
        };
        let message = Message::new("a".into(), b"x", QoS::AtLeastOnce, false, &properties);
        let published = message.expires_at.unwrap() - Duration::from_secs(10);
        let left = |after_ms| {
            let properties = message.properties_at(published + Duration::from_millis(after_ms));
            properties.map(|properties| properties.message_expiry_interval.unwrap())
        };
        assert_eq!(left(0), Some(10));
        assert_eq!(left(1), Some(10));
        assert_eq!(left(9_000), Some(1));
        assert_eq!(left(9_999), Some(1));
        assert_eq!(left(10_000), None);
        assert_eq!(left(60_000), None);
    }

    #[test]
    fn passes_on_what_belongs_to_the_message_only() {
        let properties = PublishProperties {
            topic_alias: std::num::NonZeroU16::new(3),
            content_type: Some("text/plain"),
            correlation_data: Some(&[0, 1]),
            ..Default::default()
        };
        let message = Message::new("a".into(), b"x", QoS::AtMostOnce, false, &properties);
        let expected = PublishProperties {
            topic_alias: None,
            ..properties
        };
        assert_eq!(message.properties_at(SystemTime::now()), Some(expected));
    }
}
