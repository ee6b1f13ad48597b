//! The real InfluxDB, and what it takes when nothing stands before it.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::payload::{self, NUMBER_AT, PAYLOAD_LEN};
use crate::process::{Process, free_address};
use crate::usage::Usage;

/// Where our broker stores unless it is told otherwise.
const DATABASE: &str = "mqtt_data";

/// Counting some million points takes InfluxDB seconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// An influxd with empty folders.
#[derive(Debug)]
pub(crate) struct Influx {
    process: Process,
    address: SocketAddr,
}

impl Influx {
    /// Its version, for the head of the table.
    pub(crate) fn version() -> Option<String> {
        let output = Command::new("influxd").arg("version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Starts one, waits until it serves, and creates the database.
    ///
    /// # Errors
    /// When it does not get so far.
    pub(crate) fn start() -> io::Result<Self> {
        let directory = TempDir::new()?;
        let address = free_address()?;
        let folder = |name: &str| directory.path().join(name);
        let mut command = Command::new("influxd");
        command
            .args(["-config", "/dev/null"])
            .env("INFLUXDB_META_DIR", folder("meta"))
            .env("INFLUXDB_DATA_DIR", folder("data"))
            .env("INFLUXDB_DATA_WAL_DIR", folder("wal"))
            .env("INFLUXDB_HTTP_BIND_ADDRESS", address.to_string())
            .env("INFLUXDB_HTTP_LOG_ENABLED", "false")
            .env("INFLUXDB_BIND_ADDRESS", "127.0.0.1:0")
            .env("INFLUXDB_MONITOR_STORE_ENABLED", "false")
            .env("INFLUXDB_REPORTING_DISABLED", "true");
        let serves = || query(address, &format!("CREATE DATABASE {DATABASE}")).map(drop);
        let process = Process::start(&command, directory, serves)?;
        Ok(Self { process, address })
    }

    /// Where our broker finds it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        Usage::of(self.process.id())
    }

    /// How many points it has.
    ///
    /// # Errors
    /// When it does not answer, or not as expected.
    pub(crate) fn count(&self) -> io::Result<u64> {
        let answer = query(self.address, "SELECT count(payload) FROM mqtt")?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        // Without points there is no series.
        Ok(answer["results"][0]["series"][0]["values"][0][1]
            .as_u64()
            .unwrap_or(0))
    }

    /// A connection that points are written on.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn writer(&self) -> io::Result<Writer> {
        let stream = TcpStream::connect_timeout(&self.address, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Writer {
            address: self.address,
            stream: BufReader::new(stream),
        })
    }
}

/// One connection to InfluxDB, kept alive.
#[derive(Debug)]
pub(crate) struct Writer {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Writer {
    /// Writes points and waits until they are stored.
    ///
    /// # Errors
    /// The connection's, and when InfluxDB does not take all of them.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let head = format!(
            "POST /write?db={DATABASE}&precision=ns HTTP/1.1\r\nHost: {}\r\n\
             Content-Length: {}\r\n\r\n",
            self.address,
            lines.len(),
        );
        let socket = self.stream.get_mut();
        if lines.len() < 16 * 1024 {
            socket.write_all(&[head.as_bytes(), lines].concat())?;
        } else {
            socket.write_all(head.as_bytes())?;
            socket.write_all(lines)?;
        }
        let mut status = String::new();
        self.stream.read_line(&mut status)?;
        if !status.contains(" 204 ") {
            return Err(io::Error::other(format!("InfluxDB answers {status:?}")));
        }
        let mut header = String::new();
        while header != "\r\n" {
            header.clear();
            if self.stream.read_line(&mut header)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

/// The points of the bench's messages as our broker writes them, built once.
#[derive(Debug)]
pub(crate) struct Points {
    lines: Vec<u8>,
    line_len: usize,
    /// Where in a line the payload stands.
    payload_at: usize,
}

/// The length of a timestamp of our century, in digits.
const TIMESTAMP_LEN: usize = 19;

/// The timestamp of the message 0; each other one's is as much later as its number.
const FIRST_TIMESTAMP_NS: u64 = 1_700_000_000_000_000_000;

impl Points {
    /// `count` points on each of `topics` in turn, which must be of the same length.
    pub(crate) fn new(topics: &[String], count: usize) -> Self {
        let payload = String::from_utf8_lossy(&payload::payload(0)).into_owned();
        let mut lines = String::new();
        for topic in topics.iter().cycle().take(count) {
            // A String takes whatever is written.
            let _ = writeln!(
                lines,
                "mqtt,topic={topic} payload=\"{payload}\" {FIRST_TIMESTAMP_NS}"
            );
        }
        let line_len = lines.len() / count.max(1);
        Self {
            lines: lines.into_bytes(),
            line_len,
            payload_at: line_len - TIMESTAMP_LEN - PAYLOAD_LEN - 3,
        }
    }

    /// The points as those of the messages `first` and so on.
    pub(crate) fn numbered_from(&mut self, first: u32) -> &[u8] {
        for (line, number) in self.lines.chunks_exact_mut(self.line_len).zip(first..) {
            let number_at = self.payload_at + NUMBER_AT;
            line[number_at..number_at + 8].copy_from_slice(&payload::letters(number));
            // Below 10^10: only the last ten digits of the timestamp change.
            let mut left = number;
            let digits_at = self.line_len - 1 - TIMESTAMP_LEN;
            for digit in line[digits_at + 9..self.line_len - 1].iter_mut().rev() {
                *digit = b'0' + (left % 10) as u8;
                left /= 10;
            }
        }
        &self.lines
    }
}

/// Under HTTP/1.0 the answer ends with the connection: no chunks to put together.
fn query(address: SocketAddr, statement: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let form = format!("db={DATABASE}&q={}", statement.replace(' ', "+"));
    let request = format!(
        "POST /query HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len(),
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n");
    match body {
        Some(head_len) if answer.starts_with(b"HTTP/1.0 200") => Ok(answer.split_off(head_len + 4)),
        _ => Err(io::Error::other(
            String::from_utf8_lossy(&answer).into_owned(),
        )),
    }
}
