//! A connection to a broker, as far as the generator goes through it packet by packet.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::packet::{self, Received};

/// No answer of a broker that works takes so long, on whatever machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A client that is connected.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its socket, for those who read and write by the many packets.
    pub(crate) socket: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects and sends CONNECT; [`Client::await_connected`] has to follow.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(crate) fn begin(address: SocketAddr, client_id: &str) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&address, DEADLINE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        let mut client = Self {
            socket,
            received: Vec::new(),
        };
        client.socket.write_all(&packet::connect(client_id))?;
        Ok(client)
    }

    /// Waits for a CONNACK that accepts.
    ///
    /// # Errors
    /// When the broker refuses, answers something else, or nothing in time.
    pub(crate) fn await_connected(&mut self) -> io::Result<()> {
        self.expect(packet::CONNACK, |answer| answer.body.get(1) == Some(&0))
    }

    /// Connects, and waits until that is accepted.
    ///
    /// # Errors
    /// As [`Client::begin`] and [`Client::await_connected`].
    pub(crate) fn connect(address: SocketAddr, client_id: &str) -> io::Result<Self> {
        let mut client = Self::begin(address, client_id)?;
        client.await_connected()?;
        Ok(client)
    }

    /// Subscribes to all `filters` and waits until that is granted, at whatever QoS.
    ///
    /// # Errors
    /// When one of them is refused, or nothing is answered in time.
    pub(crate) fn subscribe(&mut self, filters: &[String], qos: u8) -> io::Result<()> {
        self.socket.write_all(&packet::subscribe(1, filters, qos))?;
        self.expect(packet::SUBACK, |answer| {
            let granted = answer.body.get(2..).unwrap_or_default();
            granted.len() == filters.len() && granted.iter().all(|code| *code <= 2)
        })
    }

    fn expect(&mut self, kind: u8, is_good: impl Fn(&Received<'_>) -> bool) -> io::Result<()> {
        let mut room = [0; 4096];
        loop {
            if let Some(answer) = packet::next(&self.received) {
                if answer.kind() != kind || !is_good(&answer) {
                    let answer =
                        format!("unexpected answer {:02x} {:?}", answer.first, answer.body);
                    return Err(io::Error::other(answer));
                }
                self.received.drain(..answer.len);
                return Ok(());
            }
            match self.socket.read(&mut room)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&room[..count]),
            }
        }
    }
}
