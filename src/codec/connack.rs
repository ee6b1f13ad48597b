//! CONNACK: the answer to CONNECT.
//!
//! Specification: MQTT 5.0 chapter 3.2.

use super::{PacketType, PropertyId, ProtocolVersion, QoS, ReasonCode, UserProperties, writer};

/// Whether the client may stay, and on what terms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The session goes on where it was; never with a failure [MQTT-3.2.2-6].
    pub session_present: bool,
    /// `Success`, or why not.
    pub reason: ReasonCode,
    /// Not encoded where the version is not 5.0.
    pub properties: ConnAckProperties<'a>,
}

/// The terms of a connection in MQTT 5.0. What is `None` is not sent, and has the meaning that the
/// specification gives to its absence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties<'a> {
    /// In seconds, if it is not what the client asked for.
    pub session_expiry_interval: Option<u32>,
    /// The most messages of QoS 1 and 2 in flight towards the server; not 0. Absent: 65,535.
    pub receive_maximum: Option<u16>,
    /// 0 or 1; the specification has no 2 here, which is what absence says.
    pub maximum_qos: Option<QoS>,
    /// Absent: yes.
    pub retain_available: Option<bool>,
    /// In bytes, fixed header included; not 0. Absent: no limit.
    pub maximum_packet_size: Option<u32>,
    /// The client identifier, if the server made one [MQTT-3.2.2-16].
    pub assigned_client_identifier: Option<&'a str>,
    /// The highest topic alias the client may use. Absent: none.
    pub topic_alias_maximum: Option<u16>,
    /// The reason in words, for people.
    pub reason_string: Option<&'a str>,
    /// Whatever else the server wants to say.
    pub user_properties: UserProperties<'a>,
    /// Absent: yes.
    pub wildcard_subscription_available: Option<bool>,
    /// Absent: yes.
    pub subscription_identifiers_available: Option<bool>,
    /// Absent: yes.
    pub shared_subscription_available: Option<bool>,
    /// In seconds, if the client is to use another keep alive than it said [MQTT-3.2.2-21].
    pub server_keep_alive: Option<u16>,
    /// What response topics may be made of.
    pub response_information: Option<&'a str>,
    /// Another server that the client may turn to.
    pub server_reference: Option<&'a str>,
    /// Names the method of an extended authentication.
    pub authentication_method: Option<&'a str>,
    /// What the method has to say.
    pub authentication_data: Option<&'a [u8]>,
}

impl ConnAck<'_> {
    /// Appends the packet as a client that speaks `version` takes it. In MQTT 3.1 and 3.1.1 that
    /// is nothing at all if no return code says the reason [MQTT-3.2.2-6 3.1.1].
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        let code = match version {
            ProtocolVersion::V5 => self.reason as u8,
            ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1 => {
                let Some(code) = self.reason.connect_return_code() else {
                    return;
                };
                code
            }
        };
        // MQTT 3.1 has no session present: the byte is reserved there.
        let session_present = self.session_present && version != ProtocolVersion::V3_1;
        writer::packet(out, PacketType::ConnAck, 0, |out| {
            out.push(u8::from(session_present));
            out.push(code);
            if version == ProtocolVersion::V5 {
                writer::with_length(out, |out| self.properties.encode(out));
            }
        });
    }
}

impl ConnAckProperties<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        use PropertyId as Id;
        writer::property_u32(out, Id::SessionExpiryInterval, self.session_expiry_interval);
        writer::property_u16(out, Id::ReceiveMaximum, self.receive_maximum);
        writer::property_u8(out, Id::MaximumQoS, self.maximum_qos.map(|qos| qos as u8));
        writer::property_bool(out, Id::RetainAvailable, self.retain_available);
        writer::property_u32(out, Id::MaximumPacketSize, self.maximum_packet_size);
        writer::property_string(
            out,
            Id::AssignedClientIdentifier,
            self.assigned_client_identifier,
        );
        writer::property_u16(out, Id::TopicAliasMaximum, self.topic_alias_maximum);
        writer::properties_of_answers(out, self.reason_string, self.user_properties);
        writer::property_bool(
            out,
            Id::WildcardSubscriptionAvailable,
            self.wildcard_subscription_available,
        );
        writer::property_bool(
            out,
            Id::SubscriptionIdentifiersAvailable,
            self.subscription_identifiers_available,
        );
        writer::property_bool(
            out,
            Id::SharedSubscriptionAvailable,
            self.shared_subscription_available,
        );
        writer::property_u16(out, Id::ServerKeepAlive, self.server_keep_alive);
        writer::property_string(out, Id::ResponseInformation, self.response_information);
        writer::property_string(out, Id::ServerReference, self.server_reference);
        writer::property_string(out, Id::AuthenticationMethod, self.authentication_method);
        writer::property_binary(out, Id::AuthenticationData, self.authentication_data);
    }
}
