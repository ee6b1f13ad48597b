//! Just enough HTTP to ask InfluxDB, and to be mistaken for it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

/// What a server answered.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Sends one POST on a connection of its own.
///
/// # Errors
///
/// When the server is not there, does not answer by the deadline, or answers what is not HTTP.
pub(crate) fn post(address: SocketAddr, target: &str, body: &[u8]) -> io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    // Under HTTP/1.0 the body ends with the connection: no chunks to put together.
    let head = format!(
        "POST {target} HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not HTTP: {line:?}")))?;
    read_headers(&mut stream)?;
    let mut body = Vec::new();
    stream.read_to_end(&mut body)?;
    Ok(Response { status, body })
}

/// A request as a server reads it.
pub(crate) struct Request {
    /// Path and query: `/write?db=mqtt_data&precision=ns`.
    pub(crate) target: String,
    /// Names and values, as they were sent.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads the next request of a connection; `None` when the client has left.
///
/// # Errors
///
/// When the connection breaks in the middle of a request.
pub(crate) fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = Request {
        target,
        headers: read_headers(stream)?,
        body: Vec::new(),
    };
    let length = request.header("content-length").map_or(Ok(0), str::parse);
    request.body = vec![0; length.map_err(io::Error::other)?];
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// Reads up to and with the empty line.
fn read_headers(stream: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(headers);
        };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// `text` as a value in a form or a query.
pub(crate) fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
