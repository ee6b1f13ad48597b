//! CONNECT: who a client is, and what it wants.
//!
//! Specification: MQTT 5.0 chapter 3.1.

use super::error::excerpt;
use super::property::{Properties, Property};
use super::reader::Reader;
use super::{
    DecodeError, Frame, MalformedPacket, PacketType, PayloadFormat, ProtocolError, ProtocolVersion,
    PublishProperties, QoS, UserProperties,
};
use crate::topic::TopicName;

/// The first packet of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// What the client speaks.
    pub version: ProtocolVersion,
    /// May be empty; which version and which session allow that is the handler's to know
    /// [MQTT-3.1.3-6, 3.1.3-8 3.1.1].
    pub client_id: &'a str,
    /// Forget the session there was. Called clean session before MQTT 5.0.
    pub clean_start: bool,
    /// In seconds; 0 is never.
    pub keep_alive: u16,
    /// What to publish when the connection breaks.
    pub will: Option<Will<'a>>,
    /// May be empty, which is not the same as none.
    pub user_name: Option<&'a str>,
    /// Any bytes. Without a user name in MQTT 5.0 only.
    pub password: Option<&'a [u8]>,
    /// Default where the version is not 5.0.
    pub properties: ConnectProperties<'a>,
}

/// Without the password: this may end in a log.
impl std::fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("will", &self.will)
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}

/// A message to be published when the connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where to.
    pub topic: TopicName<'a>,
    /// Any bytes, or none.
    pub payload: &'a [u8],
    /// How surely it is delivered.
    pub qos: QoS,
    /// To be kept.
    pub retain: bool,
    /// Default where the version is not 5.0.
    pub properties: WillProperties<'a>,
}

/// What MQTT 5.0 says about a will.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WillProperties<'a> {
    /// In seconds from the end of the connection. Absent: 0.
    pub will_delay_interval: Option<u32>,
    /// What the payload is.
    pub payload_format_indicator: Option<PayloadFormat>,
    /// In seconds from when the will is published.
    pub message_expiry_interval: Option<u32>,
    /// What the payload is, as publisher and subscriber agreed.
    pub content_type: Option<&'a str>,
    /// Where an answer is awaited.
    pub response_topic: Option<TopicName<'a>>,
    /// Tells which question an answer is for.
    pub correlation_data: Option<&'a [u8]>,
    /// To be passed on as they are [MQTT-3.1.3-10].
    pub user_properties: UserProperties<'a>,
}

/// What a client of MQTT 5.0 asks for. `None` is what it did not say.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectProperties<'a> {
    /// In seconds from the end of the connection; 0xFFFFFFFF is never. Absent: 0.
    pub session_expiry_interval: Option<u32>,
    /// The most messages of QoS 1 and 2 in flight towards the client; not 0. Absent: 65,535.
    pub receive_maximum: Option<u16>,
    /// In bytes, fixed header included; not 0. Absent: no limit.
    pub maximum_packet_size: Option<u32>,
    /// The highest topic alias the server may use. Absent: 0, none.
    pub topic_alias_maximum: Option<u16>,
    /// Whether response information is wanted. Absent: no.
    pub request_response_information: Option<bool>,
    /// Whether reason strings and user properties are wanted everywhere. Absent: yes.
    pub request_problem_information: Option<bool>,
    /// Whatever else the client wants to say.
    pub user_properties: UserProperties<'a>,
    /// Names the method of an extended authentication.
    pub authentication_method: Option<&'a str>,
    /// What the method has to say; only with a method.
    pub authentication_data: Option<&'a [u8]>,
}

impl<'a> Connect<'a> {
    /// Decodes a CONNECT of any version; `frame` must be one.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownProtocolName`], [`DecodeError::UnsupportedProtocolLevel`],
    /// [`DecodeError::TopicName`], [`DecodeError::Malformed`] or [`DecodeError::Protocol`].
    // The order of the fields is fixed [MQTT-3.1.3-1]. Should one be missing that the flags
    // announce, then the packet ends too early; one that they do not announce is left over.
    pub fn decode(frame: &Frame<'a>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PacketType::Connect, frame.body);
        let version = read_version(&mut reader)?;
        let flags = ConnectFlags::read(&mut reader, version)?;
        let keep_alive = reader.u16("keep alive")?;
        let properties = match version {
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => ConnectProperties::default(),
            ProtocolVersion::V5 => ConnectProperties::read(&mut reader)?,
        };
        let client_id = reader.string("client identifier")?;
        let will = match flags.will {
            Some((qos, retain)) => Some(Will::read(&mut reader, version, qos, retain)?),
            None => None,
        };
        // In MQTT 3.1 the remaining length has the last word: what the flags announce may be
        // missing at the end (MQTT 3.1, "User name and password flags").
        let may_be_missing = version == ProtocolVersion::V3_1;
        let user_name = match flags.user_name && !(may_be_missing && reader.is_empty()) {
            true => Some(reader.string("user name")?),
            false => None,
        };
        let password = match flags.password && !(may_be_missing && reader.is_empty()) {
            true => Some(reader.binary("password")?),
            false => None,
        };
        reader.finish()?;
        Ok(Self {
            version,
            client_id,
            clean_start: flags.clean_start,
            keep_alive,
            will,
            user_name,
            password,
            properties,
        })
    }

    /// Only the version, for whom has to answer a CONNECT that [`Connect::decode`] refuses.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnknownProtocolName`], [`DecodeError::UnsupportedProtocolLevel`] or
    /// [`DecodeError::Malformed`].
    pub fn decode_version(frame: &Frame<'_>) -> Result<ProtocolVersion, DecodeError> {
        read_version(&mut Reader::new(PacketType::Connect, frame.body))
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<ProtocolVersion, DecodeError> {
    let name = reader.string("protocol name")?;
    if !matches!(name, "MQTT" | "MQIsdp") {
        return Err(DecodeError::UnknownProtocolName(excerpt(name))); // [MQTT-3.1.2-1]
    }
    match (name, reader.u8("protocol level")?) {
        ("MQIsdp", 3) => Ok(ProtocolVersion::V3_1),
        ("MQTT", 4) => Ok(ProtocolVersion::V3_1_1),
        ("MQTT", 5) => Ok(ProtocolVersion::V5),
        (_, level) => Err(DecodeError::UnsupportedProtocolLevel(level)), // [MQTT-3.1.2-2]
    }
}

/// The byte that says which fields follow.
struct ConnectFlags {
    clean_start: bool,
    /// QoS and RETAIN of the will, if there is one.
    will: Option<(QoS, bool)>,
    user_name: bool,
    password: bool,
}

impl ConnectFlags {
    fn read(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let flags = reader.u8("connect flags")?;
        let bit = |number: u8| flags >> number & 1 != 0;
        let (will_flag, user_name, password) = (bit(2), bit(7), bit(6));

        // MQTT 3.1 does not use what later versions want to be 0.
        if version != ProtocolVersion::V3_1 {
            if bit(0) {
                return Err(reader.malformed(MalformedPacket::ReservedConnectFlag(flags)));
            }
            if !will_flag && flags & 0b0011_1000 != 0 {
                return Err(reader.malformed(MalformedPacket::WillFlagsWithoutWill(flags)));
            }
        }
        if password && !user_name && version != ProtocolVersion::V5 {
            return Err(reader.malformed(MalformedPacket::PasswordWithoutUserName));
        }
        let will = if will_flag {
            let qos = QoS::try_from(flags >> 3 & 0b11)
                .map_err(|_| reader.malformed(MalformedPacket::QoS3("will QoS")))?; // [3.1.2-12]
            Some((qos, bit(5)))
        } else {
            None
        };
        Ok(Self {
            clean_start: bit(1),
            will,
            user_name,
            password,
        })
    }
}

impl<'a> ConnectProperties<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = Properties::read(reader, "property length")?;
        let mut connect = Self::default();
        while let Some((id, property)) = properties.next()? {
            match property {
                Property::SessionExpiryInterval(seconds) => {
                    connect.session_expiry_interval = Some(seconds);
                }
                Property::ReceiveMaximum(count) => connect.receive_maximum = Some(count),
                Property::MaximumPacketSize(len) => connect.maximum_packet_size = Some(len),
                Property::TopicAliasMaximum(alias) => connect.topic_alias_maximum = Some(alias),
                Property::RequestResponseInformation(wanted) => {
                    connect.request_response_information = Some(wanted);
                }
                Property::RequestProblemInformation(wanted) => {
                    connect.request_problem_information = Some(wanted);
                }
                Property::AuthenticationMethod(text) => connect.authentication_method = Some(text),
                Property::AuthenticationData(data) => connect.authentication_data = Some(data),
                _ => return Err(properties.misplaced(id)),
            }
        }
        connect.user_properties = properties.user_properties();
        if connect.authentication_data.is_some() && connect.authentication_method.is_none() {
            return Err(reader.protocol(ProtocolError::AuthenticationDataAlone));
        }
        Ok(connect)
    }
}

/// Without the authentication data: this may end in a log.
impl std::fmt::Debug for ConnectProperties<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectProperties")
            .field("session_expiry_interval", &self.session_expiry_interval)
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field("authentication_method", &self.authentication_method)
            .finish_non_exhaustive()
    }
}

impl<'a> Will<'a> {
    fn read(
        reader: &mut Reader<'a>,
        version: ProtocolVersion,
        qos: QoS,
        retain: bool,
    ) -> Result<Self, DecodeError> {
        let properties = match version {
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => WillProperties::default(),
            ProtocolVersion::V5 => WillProperties::read(reader)?,
        };
        let topic = reader.topic_name("will topic")?;
        let payload = reader.binary("will payload")?;
        Ok(Self {
            topic,
            payload,
            qos,
            retain,
            properties,
        })
    }
}

impl<'a> WillProperties<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut properties = Properties::read(reader, "will property length")?;
        let mut will = Self::default();
        while let Some((id, property)) = properties.next()? {
            match property {
                Property::WillDelayInterval(seconds) => will.will_delay_interval = Some(seconds),
                Property::PayloadFormatIndicator(format) => {
                    will.payload_format_indicator = Some(format);
                }
                Property::MessageExpiryInterval(seconds) => {
                    will.message_expiry_interval = Some(seconds);
                }
                Property::ContentType(text) => will.content_type = Some(text),
                Property::ResponseTopic(topic) => will.response_topic = Some(topic),
                Property::CorrelationData(data) => will.correlation_data = Some(data),
                _ => return Err(properties.misplaced(id)),
            }
        }
        will.user_properties = properties.user_properties();
        Ok(will)
    }

    /// What is passed on when the will is published: all but the delay.
    #[must_use]
    pub fn publish_properties(&self) -> PublishProperties<'a> {
        PublishProperties {
            payload_format_indicator: self.payload_format_indicator,
            message_expiry_interval: self.message_expiry_interval,
            content_type: self.content_type,
            response_topic: self.response_topic,
            correlation_data: self.correlation_data,
            user_properties: self.user_properties,
            ..PublishProperties::default()
        }
    }
}
