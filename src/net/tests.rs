//! What every kind of stream promises, whatever carries the bytes.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Request;

use super::*;
use crate::config::{ClientCertificate, ClientIdentity};

/// Takes what came, as the client: at least one byte, or nothing at the end.
type Receive = Box<dyn FnMut() -> Vec<u8> + Send>;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A stream of every kind, with its name and its client.
fn streams() -> Vec<(&'static str, Stream, Receive)> {
    let (certificates, config) = certificates();
    let path: Arc<str> = "/mqtt".into();
    let acceptor = |tls: bool, websocket: bool| Acceptor {
        tls: tls.then(|| Arc::clone(&certificates)),
        websocket_path: websocket.then(|| Arc::clone(&path)),
    };
    let tls = |socket| {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
        StreamOwned::new(connection, socket)
    };
    vec![
        connected("TCP", &acceptor(false, false), receive),
        connected("TLS", &acceptor(true, false), |socket| {
            let mut tls = tls(socket);
            tls.conn.complete_io(&mut tls.sock).unwrap();
            receive(tls)
        }),
        connected("WebSocket", &acceptor(false, true), receive_frames),
        connected("WebSocket over TLS", &acceptor(true, true), |socket| {
            receive_frames(tls(socket))
        }),
    ]
}

fn connected(
    name: &'static str,
    acceptor: &Acceptor,
    client: impl FnOnce(TcpStream) -> Receive,
) -> (&'static str, Stream, Receive) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    thread::scope(|scope| {
        let stream = scope.spawn(|| acceptor.accept(accepted, TIMEOUT).unwrap());
        let receive = client(socket);
        (name, stream.join().unwrap(), receive)
    })
}

fn receive(mut link: impl Read + Send + 'static) -> Receive {
    Box::new(move || {
        let mut bytes = vec![0; 10_000];
        let count = link.read(&mut bytes).unwrap();
        bytes.truncate(count);
        bytes
    })
}

fn receive_frames(link: impl Read + Write + Send + 'static) -> Receive {
    let (mut websocket, _) = tungstenite::client(upgrade(), link)
        .unwrap_or_else(|error| panic!("the handshake fails: {error}"));
    Box::new(move || match websocket.read().unwrap() {
        Message::Binary(bytes) => bytes.to_vec(),
        Message::Close(_) => Vec::new(),
        other => panic!("{other:?}"),
    })
}

fn upgrade() -> Request {
    let mut request = "ws://localhost/mqtt".into_client_request().unwrap();
    let protocol = "mqtt".try_into().unwrap();
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", protocol);
    request
}

fn certificates() -> (Arc<Certificates>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = TempDir::new().unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("certificate"),
        key: folder.path().join("key"),
        client_ca: None,
        client_certificate: ClientCertificate::None,
        client_identity: ClientIdentity::None,
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (
        Arc::new(Certificates::load(files).unwrap()),
        Arc::new(config),
    )
}

/// Where a byte is in the order of sending can be seen from it and its neighbours.
fn bytes(start: usize, len: usize) -> Vec<u8> {
    (start..start + len)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect()
}

/// Sends pieces until not even a byte is taken, and none will be before the client reads; returns
/// how many bytes were sent.
fn send_until_full(stream: &Stream) -> usize {
    let mut sent = 0;
    for len in [1, 70_000, 2, 130_000, 16_384, 999].into_iter().cycle() {
        let taken = stream.send_now(&bytes(sent, len)).unwrap();
        assert!(taken <= len);
        sent += taken;
        // The system may still move bytes from one buffer to the other.
        let soon = Instant::now() + Duration::from_millis(20);
        if taken < len && stream.socket().wait_writable(Some(soon)).is_err() {
            match stream.send_now(&bytes(sent, 1)).unwrap() {
                0 => return sent,
                more => sent += more,
            }
        }
        assert!(sent < 1 << 30, "a client that does not read never fills up");
    }
    unreachable!("the lengths never end")
}

/// As the drainer does, on another thread than the one that found the socket full.
#[test]
fn sends_the_rest_when_the_client_reads_at_last() {
    for (name, stream, mut receive) in streams() {
        let sent = send_until_full(&stream);
        let total = sent + 300_000;
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            while got.len() < total {
                got.extend(receive());
            }
            got
        });
        stream.send(&bytes(sent, 100_000)).unwrap();
        stream.send(&bytes(sent + 100_000, 200_000)).unwrap();
        assert!(reader.join().unwrap() == bytes(0, total), "{name}");
    }
}

/// Whoever sees that all was taken may go: nothing is left that nobody would send.
#[test]
fn sends_what_it_took_as_a_whole_without_another_call() {
    const PIECE: usize = 1000;
    for (name, stream, mut receive) in streams() {
        let mut sent = 0;
        while stream.send_now(&bytes(sent, PIECE)).unwrap() == PIECE {
            sent += PIECE;
        }
        let mut got = Vec::new();
        while got.len() < sent {
            got.extend(receive());
        }
        assert!(got[..sent] == bytes(0, sent), "{name}");
    }
}

#[test]
fn wakes_whoever_waits_and_tells_the_client_the_end() {
    for (name, stream, mut receive) in streams() {
        let rest = bytes(send_until_full(&stream), 1 << 20);
        thread::scope(|scope| {
            let sender = scope.spawn(|| stream.send(&rest));
            let reader = scope.spawn(|| stream.read(&mut [0; 10]));
            stream.shutdown();
            assert!(sender.join().unwrap().is_err(), "{name}");
            assert!(matches!(reader.join().unwrap(), Ok(0)), "{name}");
        });
        // What was sent before comes first.
        assert!(!receive().is_empty(), "{name}");
    }
    for (name, stream, mut receive) in streams() {
        stream.shutdown();
        assert_eq!(receive(), Vec::<u8>::new(), "{name}");
    }
}

#[test]
fn stops_reading_in_time() {
    for (name, stream, _receive) in streams() {
        let timeout = Duration::from_millis(20);
        stream.set_read_timeout(Some(timeout)).unwrap();
        let error = stream.read(&mut [0; 10]).unwrap_err();
        let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        assert!(kinds.contains(&error.kind()), "{name}: {error}");
    }
}
