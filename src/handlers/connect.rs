//! CONNECT.

use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::auth::{Credential, Refusal};
use crate::broker::{Broker, Outbox, OutboxLimits, Session};
use crate::close_reason::CloseReason;
use crate::codec::{
    ConnAck, Connect, DecodeError, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode,
    Will, next_frame,
};
use crate::connection::Connection;
use crate::net::{ReadBuffer, Stream};
use crate::publisher::check_limits;

/// Handles the CONNECT that `input` begins with: answers it, and enters the client.
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
    let (connect, credential) = match Connect::decode(&frame)
        .map_err(CloseReason::Decode)
        .and_then(|connect| {
            check(&connect, broker)?;
            let credential = admit(&connect, broker)?;
            Ok((connect, credential))
        }) {
        Ok(admitted) => admitted,
        Err(reason) => {
            refuse(&stream, &reason);
            return Err(reason);
        }
    };
    let connection = accept(&connect, credential, stream, peer, broker);
    let len = frame.bytes.len();
    input.consume(len);
    Ok(connection)
}

/// What the codec cannot know: which clients are welcome here.
fn check(connect: &Connect<'_>, broker: &Broker) -> Result<(), CloseReason> {
    let refused = |code, what: String| {
        Err(CloseReason::Refused {
            code,
            what: format!("CONNECT: {what}"),
        })
    };
    if connect.version == ProtocolVersion::V5 {
        return Err(DecodeError::UnsupportedProtocolLevel(5).into());
    }
    // [MQTT-3.1.3-8 in 3.1.1]
    if connect.client_id.is_empty() && !connect.clean_start {
        let what = "an empty client identifier with clean session 0".to_owned();
        return refused(ReasonCode::ClientIdentifierNotValid, what);
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
fn refuse(stream: &Stream, reason: &CloseReason) {
    let code = match reason {
        CloseReason::Decode(error @ DecodeError::UnsupportedProtocolLevel(_)) => {
            error.reason_code()
        }
        CloseReason::Refused { code, .. } => *code,
        // A malformed CONNECT is closed without an answer [MQTT-3.1.4-1 in 3.1.1].
        _ => return,
    };
    let mut answer = Vec::new();
    ConnAck {
        reason: code,
        ..ConnAck::default()
    }
    .encode(ProtocolVersion::V3_1_1, &mut answer);
    // A client that has gone already does not miss the answer.
    if stream.send_now(&answer).is_ok() {
        stream.close_gently();
    }
}

fn accept<'b>(
    connect: &Connect<'_>,
    credential: Credential,
    stream: Stream,
    peer: SocketAddr,
    broker: &'b Broker,
) -> Connection<'b> {
    // [MQTT-3.1.3-6] a client without an identifier gets one that nobody else has.
    let assigned = connect.client_id.is_empty().then(unique_client_id);
    let client_id = assigned.as_deref().unwrap_or(connect.client_id);

    let limits = OutboxLimits {
        queued_bytes_max: broker.config.max_queued_bytes,
        queued_messages_max: broker.config.max_queued_messages,
        when_full: broker.config.when_queue_full,
    };
    let outbox = Arc::new(Outbox::new(
        format!("client={client_id:?} peer={peer}"),
        stream,
        limits,
    ));
    let session = Session::new(client_id, credential, connect.version, outbox);

    let keep_alive = match (connect.keep_alive, broker.config.max_keep_alive) {
        (asked, 0) => asked,
        (0, max) => max,
        (asked, max) => asked.min(max),
    };
    let patience = (keep_alive > 0).then(|| Duration::from_secs(keep_alive.into()) * 3 / 2);
    let mut connection = Connection::new(broker, session, patience);
    connection.will = connect.will.as_ref().map(will_packet);

    // CONNACK is the first packet a client gets [MQTT-3.2.0-1]: only then may others find it.
    let mut answer = Vec::new();
    ConnAck::default().encode(connect.version, &mut answer);
    connection.session.outbox().answer(&answer);
    broker.clients.attach(&connection.session);
    info!(
        "{}: connected, version={} clean={} keep_alive={}s",
        connection.session.outbox().name(),
        connect.version,
        connect.clean_start,
        connect.keep_alive
    );
    if !connect.clean_start {
        warn!(
            "{}: asked for a session that is kept; it is kept only while the client is connected",
            connection.session.outbox().name()
        );
    }
    connection
}

/// The will as the PUBLISH that the client would have sent. Its acknowledgement is of no use to
/// anybody, so it goes as QoS 0, whatever it will be delivered with.
fn will_packet(will: &Will<'_>) -> Vec<u8> {
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: will.retain,
        topic: will.topic.as_str(),
        packet_id: None,
        properties: PublishProperties::default(),
        payload: will.payload,
    };
    let mut packet = Vec::with_capacity(publish.encoded_len(ProtocolVersion::V3_1_1));
    publish.encode(ProtocolVersion::V3_1_1, &mut packet);
    packet
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
