//! CONNECT.

use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;

use super::publish::TOPIC_ALIAS_MAX;
use crate::auth::{Credential, Principal, Refusal};
use crate::broker::{Attached, Broker, Link, Opened, Outbox, OutboxLimits, Session, Terms};
use crate::close_reason::{CloseReason, EndedBy};
use crate::codec::{
    ConnAck, ConnAckProperties, Connect, DecodeError, Frame, PACKET_LEN_MAX, PacketId,
    ProtocolVersion, Publish, QoS, ReasonCode, next_frame,
};
use crate::connection::{Connection, SessionExpiry, Will};
use crate::limits::Limit;
use crate::net::{ReadBuffer, Stream};
use crate::publisher::{Publisher, check_limits};
use crate::state::KeptSession;

/// How long a client waits for the thread of its earlier connection to leave the session: that one
/// may be in the middle of a write to InfluxDB.
const TAKE_OVER_MAX: Duration = Duration::from_secs(60);

/// Handles the CONNECT that `input` begins with: answers it, and connects the client to its
/// session.
///
/// # Errors
/// Why the client is refused. It has been told so where its version of MQTT has an answer for it.
pub(crate) fn on_connect<'b>(
    stream: Stream,
    input: &mut ReadBuffer,
    peer: SocketAddr,
    broker: &'b Broker,
) -> Result<Connection<'b>, CloseReason> {
    let Some(frame) = next_frame(input.bytes(), None, broker.config.max_packet_size)? else {
        return Err(CloseReason::ClosedByPeer);
    };
    let len = frame.bytes.len();
    let connect = Connect::decode(&frame).map_err(CloseReason::Decode);
    let admitted = connect.and_then(|connect| {
        broker
            .limits
            .admission
            .note_connect(peer.ip(), Instant::now())?;
        check(&connect, broker)?;
        let credential = match stream.identity() {
            Some(name) => Credential::certified(name),
            None => admit(&connect, broker)?,
        };
        Ok((connect, credential))
    });
    match admitted {
        Ok((connect, credential)) => {
            let connection = accept(&connect, &frame, credential, stream, peer, broker)?;
            input.consume(len);
            Ok(connection)
        }
        Err(reason) => {
            if let CloseReason::OverLimit(exceeded) = &reason {
                broker.limits.note(exceeded, &format!("peer={peer}"));
            }
            refuse(&stream, &frame, &reason);
            Err(reason)
        }
    }
}

/// What the codec cannot know: which clients are welcome here.
fn check(connect: &Connect<'_>, broker: &Broker) -> Result<(), CloseReason> {
    let refused = |code, what: String| {
        Err(CloseReason::Refused {
            code,
            what: format!("CONNECT: {what}"),
        })
    };
    // [MQTT-3.1.3-8 in 3.1.1]; MQTT 5.0 lets every client go without one.
    if connect.client_id.is_empty()
        && !connect.clean_start
        && connect.version != ProtocolVersion::V5
    {
        let what = "an empty client identifier with clean session 0".to_owned();
        return refused(ReasonCode::ClientIdentifierNotValid, what);
    }
    // [MQTT-4.12.0-1]
    if let Some(method) = connect.properties.authentication_method {
        return refused(
            ReasonCode::BadAuthenticationMethod,
            format!("authentication method {method:?}"),
        );
    }
    if let Some(will) = &connect.will
        && let Err(what) = check_limits(will.topic.as_str(), &broker.config)
    {
        return refused(ReasonCode::TopicNameInvalid, format!("will: {what}"));
    }
    Ok(())
}

/// Who the client is, if it may come in.
fn admit(connect: &Connect<'_>, broker: &Broker) -> Result<Credential, CloseReason> {
    let deadline = Instant::now() + broker.config.connect_timeout;
    broker
        .access
        .admit(connect.user_name, connect.password, deadline)
        .map_err(|refusal| CloseReason::Refused {
            code: match &refusal {
                Refusal::WrongPassword { .. } => ReasonCode::BadUserNameOrPassword,
                Refusal::Anonymous => ReasonCode::NotAuthorized,
                Refusal::Busy => ReasonCode::ServerBusy,
            },
            what: format!("CONNECT: {refusal}"),
        })
}

/// Tells the client why, where there is a way to say it.
fn refuse(stream: &Stream, frame: &Frame<'_>, reason: &CloseReason) {
    let version = match reason {
        // [MQTT-3.1.2-2 in 3.1.1] what a client of an unknown level understands, nobody knows.
        CloseReason::Decode(DecodeError::UnsupportedProtocolLevel(_)) => ProtocolVersion::V3_1_1,
        // Another protocol altogether [MQTT-3.1.2-1].
        CloseReason::Decode(DecodeError::UnknownProtocolName(_)) => return,
        _ => match Connect::decode_version(frame) {
            // [MQTT-3.1.4-1 in 3.1.1] what is malformed is closed without an answer.
            Ok(ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1)
                if matches!(reason, CloseReason::Decode(_)) =>
            {
                return;
            }
            Ok(version) => version,
            Err(_) => return,
        },
    };
    let words = reason.to_string();
    let code = reason.reason_code().unwrap_or(ReasonCode::UnspecifiedError);
    let len_max = Connect::decode(frame).map_or(PACKET_LEN_MAX, |connect| packet_len_max(&connect));
    // [MQTT-3.2.2-19] the words are left out where they do not fit.
    let answers = [Some(words.as_str()), None].map(|reason_string| {
        let mut answer = Vec::new();
        ConnAck {
            session_present: false,
            reason: code,
            properties: ConnAckProperties {
                reason_string,
                ..ConnAckProperties::default()
            },
        }
        .encode(version, &mut answer);
        answer
    });
    let Some(answer) = answers.into_iter().find(|answer| answer.len() <= len_max) else {
        return;
    };
    // A client that has gone already does not miss the answer.
    if stream.send_now(&answer).is_ok() {
        stream.close_gently();
    }
}

fn accept<'b>(
    connect: &Connect<'_>,
    frame: &Frame<'_>,
    credential: Credential,
    stream: Stream,
    peer: SocketAddr,
    broker: &'b Broker,
) -> Result<Connection<'b>, CloseReason> {
    // [MQTT-3.1.3-6, 3.1.3-7] a client without an identifier gets one that nobody else has.
    let assigned = connect.client_id.is_empty().then(unique_client_id);
    let client_id = assigned.as_deref().unwrap_or(connect.client_id);
    let keep_alive = keep_alive(connect.keep_alive, broker.config.max_keep_alive);

    let connack = |session_present| {
        let properties = ConnAckProperties {
            maximum_packet_size: u32::try_from(broker.config.max_packet_size).ok(),
            assigned_client_identifier: assigned.as_deref(),
            topic_alias_maximum: Some(TOPIC_ALIAS_MAX),
            server_keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
            ..ConnAckProperties::default()
        };
        let mut packet = Vec::new();
        ConnAck {
            session_present,
            reason: ReasonCode::Success,
            properties,
        }
        .encode(connect.version, &mut packet);
        packet
    };
    // [MQTT-3.1.2-24]
    let (len, len_max) = (connack(false).len(), packet_len_max(connect));
    if len > len_max {
        let reason = CloseReason::Refused {
            code: ReasonCode::PacketTooLarge,
            what: format!(
                "CONNECT: CONNACK of {len} bytes is longer than the client takes: {len_max}"
            ),
        };
        refuse(&stream, frame, &reason);
        return Err(reason);
    }

    let name = format!("client={client_id:?} peer={peer}");
    let sessions_max = broker.config.max_sessions;
    if !broker.sessions.has_room_for(client_id, sessions_max) {
        broker.limits.bites.note(Limit::Sessions, &name);
        let reason = CloseReason::Refused {
            code: ReasonCode::QuotaExceeded,
            what: format!(
                "CONNECT: there are {sessions_max} sessions, and no more by max-sessions"
            ),
        };
        refuse(&stream, frame, &reason);
        return Err(reason);
    }
    let principal = Principal::new(credential, client_id.into());
    let seat = match broker.limits.users.enter(principal.user_name(), client_id) {
        Ok(seat) => seat,
        Err(exceeded) => {
            broker.limits.note(&exceeded, &name);
            let reason = exceeded.into();
            refuse(&stream, frame, &reason);
            return Err(reason);
        }
    };
    let outbox = Outbox::new(name, stream, outbox_limits(broker));
    let link = Link::new(Arc::new(outbox), terms(connect), principal, &broker.access);
    let expiry = match (connect.version, connect.clean_start) {
        (ProtocolVersion::V5, _) => {
            SessionExpiry(connect.properties.session_expiry_interval.unwrap_or(0))
        }
        (ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1, true) => SessionExpiry::AT_ONCE,
        (ProtocolVersion::V3_1 | ProtocolVersion::V3_1_1, false) => SessionExpiry::NEVER,
    };
    let will = connect.will.as_ref().map(will);
    let kept = |session: &Session| {
        (expiry > SessionExpiry::AT_ONCE || session.is_kept()).then(|| KeptSession {
            number: session.number().0,
            client_id: Arc::clone(session.client_id()),
            expiry_s: expiry.0,
            detached_at: None,
            will: will.as_ref().map(|will| will.packet.clone()),
            will_delay_s: will.as_ref().map_or(0, |will| will.delay),
        })
    };
    let session = open_session(client_id, connect.clean_start, broker, &link, connack, kept)?;

    let mut connection = Connection::new(broker, session, link);
    connection.user_seat = seat;
    connection.patience = (keep_alive > 0).then(|| Duration::from_secs(keep_alive.into()) * 3 / 2);
    connection.expiry = expiry;
    connection.will = will;
    info!(
        "{}: connected, version={} clean={} keep_alive={keep_alive}s",
        connection.name(),
        connect.version,
        connect.clean_start,
    );
    Ok(connection)
}

/// Connects the link to the client's session, a new one or the one there was; ends another
/// connection of the same client identifier [MQTT-3.1.4-3].
fn open_session(
    client_id: &str,
    clean_start: bool,
    broker: &Broker,
    link: &Arc<Link>,
    connack: impl Fn(bool) -> Vec<u8>,
    kept: impl Fn(&Session) -> Option<KeptSession>,
) -> Result<Arc<Session>, CloseReason> {
    let deadline = Instant::now() + TAKE_OVER_MAX;
    loop {
        let Opened {
            session,
            is_present,
            replaced,
        } = broker.sessions.open(client_id, clean_start);
        if let Some(replaced) = replaced {
            replaced.end_connection(EndedBy::TakeOver);
            // Its session ends here, and with it the delay of its will [MQTT-3.1.3-9].
            if let Some(will) = broker.end_session(&replaced) {
                Publisher::default().publish_will(broker, &will, link.outbox().name());
            }
        }
        let kept = kept(&session);
        match session.attach(link, &connack(is_present), kept)? {
            Attached::Yes => {
                if is_present && broker.access.restricts() {
                    // It may be another user than before.
                    broker.subscriptions.touch();
                }
                return Ok(session);
            }
            // It ended between the two calls, or is about to: there will be a new one.
            Attached::Discarded => {
                broker.sessions.remove(&session);
                if let Some(ended_by) = link.ended_by() {
                    // A later connection has wiped the session: that one stays.
                    return Err(CloseReason::Ended(ended_by));
                }
            }
            Attached::Taken(old) => {
                old.end(EndedBy::TakeOver);
                session.await_detached(deadline);
                if Instant::now() >= deadline {
                    return Err(CloseReason::Refused {
                        code: ReasonCode::ServerBusy,
                        what: "CONNECT: the client's earlier connection does not end".to_owned(),
                    });
                }
            }
        }
    }
}

fn keep_alive(asked: u16, max: u16) -> u16 {
    match (asked, max) {
        (asked, 0) => asked,
        (0, max) => max,
        (asked, max) => asked.min(max),
    }
}

fn outbox_limits(broker: &Broker) -> OutboxLimits {
    OutboxLimits {
        queued_bytes_max: broker.config.max_queued_bytes,
        queued_messages_max: broker.config.max_queued_messages,
        when_full: broker.config.when_queue_full,
    }
}

fn terms(connect: &Connect<'_>) -> Terms {
    Terms {
        version: connect.version,
        packet_len_max: packet_len_max(connect),
        receive_max: connect.properties.receive_maximum.unwrap_or(u16::MAX),
        topic_alias_max: connect.properties.topic_alias_maximum.unwrap_or(0),
        wants_reasons: connect
            .properties
            .request_problem_information
            .unwrap_or(true),
    }
}

fn packet_len_max(connect: &Connect<'_>) -> usize {
    let len_max = connect.properties.maximum_packet_size;
    len_max
        .and_then(|len| usize::try_from(len).ok())
        .unwrap_or(PACKET_LEN_MAX)
}

/// The will as the PUBLISH that the client would have sent.
fn will(will: &crate::codec::Will<'_>) -> Will {
    let publish = Publish {
        dup: false,
        qos: will.qos,
        retain: will.retain,
        topic: will.topic.as_str(),
        // Nobody acknowledges it.
        packet_id: PacketId::new(1).filter(|_| will.qos > QoS::AtMostOnce),
        properties: will.properties.publish_properties(),
        payload: will.payload,
    };
    let mut packet = Vec::with_capacity(publish.encoded_len(ProtocolVersion::V5));
    publish.encode(ProtocolVersion::V5, &mut packet);
    Will {
        topic: will.topic.as_str().into(),
        packet: packet.into_boxed_slice(),
        delay: will.properties.will_delay_interval.unwrap_or(0),
    }
}

/// 128 random bits: nobody else has it, and nobody can guess another client's.
fn unique_client_id() -> String {
    let random = || {
        std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish()
    };
    format!("auto-{:016x}{:016x}", random(), random())
}
