//! The HTTP request that a WebSocket begins with, and its answer.

use std::time::Instant;

use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response};
use tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;

use crate::net::read_buffer::ReadBuffer;
use crate::net::transport::Transport;
use crate::net::{HandshakeError, close_gently};

/// Longest request line and headers together, in bytes. A browser sends less than 1 KiB, and its
/// cookies.
const REQUEST_LEN_MAX: usize = 8 * 1024;

/// The sub-protocols that stand for MQTT, the registered one [MQTT-6.0.0-3] and an old one that
/// some clients still ask for.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Answers the client's request for a WebSocket at `path`, until `deadline`. Returns what the
/// client sent after its request.
pub(in crate::net) fn handshake(
    transport: &Transport,
    path: &str,
    deadline: Instant,
) -> Result<ReadBuffer, HandshakeError> {
    let mut received = ReadBuffer::new();
    let outcome = loop {
        match Request::try_parse(received.bytes()) {
            Ok(Some((len, request))) => {
                received.consume(len);
                break answer(&request, path);
            }
            Err(error) => break Err(refusal(400, error.to_string())),
            Ok(None) if received.bytes().len() > REQUEST_LEN_MAX => {
                let what = format!("the request is longer than {REQUEST_LEN_MAX} bytes");
                break Err(refusal(431, what));
            }
            Ok(None) => {}
        }
        if received.fill_with(|room| transport.read_by(room, Some(deadline)))? == 0 {
            return Err(HandshakeError::ClosedByPeer);
        }
    };
    match outcome {
        Ok(answer) => {
            send(transport, answer.as_bytes(), deadline)?;
            Ok(received)
        }
        Err((status, what)) => {
            if send(transport, refusal_text(status, &what).as_bytes(), deadline).is_ok() {
                transport.say_goodbye();
                close_gently(transport.socket());
            }
            Err(HandshakeError::Http { status, what })
        }
    }
}

/// A status and what was wrong.
type Refusal = (u16, String);

fn refusal(status: u16, what: impl Into<String>) -> Refusal {
    (status, what.into())
}

/// The text of the answer that opens the WebSocket.
fn answer(request: &Request, path: &str) -> Result<String, Refusal> {
    if request.uri().path() != path {
        let what = format!("no WebSocket at {:?}", request.uri().path());
        return Err(refusal(404, what));
    }
    let response = create_response(request).map_err(|error| refusal(400, error.to_string()))?;
    let protocol = protocol(request)
        .ok_or_else(|| refusal(400, "the client does not offer the sub-protocol mqtt"))?;
    let mut text = "HTTP/1.1 101 Switching Protocols\r\n".to_owned();
    for (name, value) in response.headers() {
        // All of them are ours, and ASCII.
        let value = value.to_str().unwrap_or_default();
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("{SEC_WEBSOCKET_PROTOCOL}: {protocol}\r\n\r\n"));
    Ok(text)
}

/// The sub-protocol that we speak and the client offers.
fn protocol(request: &Request) -> Option<&'static str> {
    let offers = |wanted: &str| {
        let lists = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        lists
            .iter()
            .filter_map(|list| list.to_str().ok())
            .any(|list| list.split(',').any(|offered| offered.trim() == wanted))
    };
    PROTOCOLS.into_iter().find(|protocol| offers(protocol))
}

fn refusal_text(status: u16, what: &str) -> String {
    let reason = match status {
        404 => "Not Found",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    };
    let body = format!("{what}\n");
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a short answer, waiting until `deadline`.
fn send(transport: &Transport, bytes: &[u8], deadline: Instant) -> Result<(), HandshakeError> {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        let count = transport.send_now(rest)?;
        sent += count;
        if count < rest.len() {
            transport.socket().wait_writable(Some(deadline))?;
        }
    }
    Ok(())
}
