//! HTTP/1 as bytes: what a service reads, and what a caller reads.

use std::{
    fmt,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Nobody may keep a caller waiting this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it was read, strictly.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    pub(super) version: String,
    /// Names as they were sent.
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

/// Why bytes are no request that every reader takes for the same.
#[derive(Debug)]
pub(super) enum Unread {
    /// The connection ended between two requests.
    End,
    /// It ended in the middle of one.
    BrokenOff,
    /// Readers may disagree about it.
    Ambiguous(String),
}

impl From<io::Error> for Unread {
    fn from(_: io::Error) -> Self {
        Self::BrokenOff
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.method, self.target.escape_ascii(), self.version)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " | {name}: {}", value.escape_ascii()))
    }
}

impl Message {
    /// Reads the head of a request. [`Message::read_body`] reads the rest.
    pub(super) fn read(stream: &mut impl BufRead) -> Result<Self, Unread> {
        if stream.fill_buf().map_or(true, <[u8]>::is_empty) {
            return Err(Unread::End);
        }
        let ambiguous =
            |what: &str, line: &[u8]| Unread::Ambiguous(format!("{what}: \"{}\"", line.escape_ascii()));
        let line = read_line(stream)?;
        let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let [method, target, version] = parts.as_slice() else {
            return Err(ambiguous("its first line", &line));
        };
        if !is_token(method) || target.is_empty() || !matches!(*version, b"HTTP/1.1" | b"HTTP/1.0") {
            return Err(ambiguous("its first line", &line));
        }
        let mut message = Self {
            method: String::from_utf8_lossy(method).into(),
            target: target.to_vec(),
            version: String::from_utf8_lossy(version).into(),
            fields: Vec::new(),
        };
        loop {
            let line = read_line(stream)?;
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':').filter(|at| is_token(&line[..*at]));
            let colon = colon.ok_or_else(|| ambiguous("no field", &line))?;
            let value = line[colon + 1..].trim_ascii();
            if value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
                return Err(ambiguous("a control character", &line));
            }
            message.fields.push((String::from_utf8_lossy(&line[..colon]).into(), value.to_vec()));
        }
        Ok(message)
    }

    /// The values of a field, by its exact name without case.
    pub(super) fn values(&self, name: &str) -> Vec<&[u8]> {
        let fields = self.fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_slice()).collect()
    }

    /// The path without the query, and the query.
    pub(super) fn path(&self) -> (&[u8], Option<&[u8]>) {
        let query = self.target.iter().position(|byte| *byte == b'?');
        query.map_or((&self.target, None), |at| (&self.target[..at], Some(&self.target[at + 1..])))
    }

    /// The `Host`, if there is exactly one.
    pub(super) fn host(&self) -> Option<String> {
        match self.values("host").as_slice() {
            [host] => Some(String::from_utf8_lossy(host).into_owned()),
            _ => None,
        }
    }

    /// Reads over the body.
    pub(super) fn read_body(&self, stream: &mut impl BufRead) -> Result<(), Unread> {
        let (lengths, codings) = (self.values("content-length"), self.values("transfer-encoding"));
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(()),
            ([length], [])
                if !length.is_empty() && length.len() < 10 && length.iter().all(u8::is_ascii_digit) =>
            {
                let length: usize = std::str::from_utf8(length).unwrap().parse().unwrap();
                Ok(stream.read_exact(&mut vec![0; length])?)
            }
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => read_chunks(stream).map(drop),
            framing => Err(Unread::Ambiguous(format!("its framing: {framing:?}"))),
        }
    }
}

/// What a caller gets.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The first value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn read(stream: &mut impl BufRead, to_head: bool) -> Result<Self, Unread> {
        let line = read_line(stream)?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.filter(|_| text.starts_with("HTTP/1."));
        let status = status.ok_or_else(|| Unread::Ambiguous(format!("no answer: {text:?}")))?;
        let mut reply = Self { status, fields: Vec::new(), body: Vec::new() };
        loop {
            let line = read_line(stream)?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let Some((name, value)) = line.split_once(':') else { break };
            reply.fields.push((name.to_owned(), value.trim().to_owned()));
        }
        if (100..200).contains(&status) && status != 101 {
            return Self::read(stream, to_head);
        }
        let length = reply.field("content-length").and_then(|length| length.parse().ok());
        if to_head || matches!(status, 101 | 204 | 304) {
        } else if reply.field("transfer-encoding").is_some() {
            reply.body = read_chunks(stream)?;
        } else if let Some(length) = length {
            reply.body = vec![0; length];
            stream.read_exact(&mut reply.body)?;
        } else {
            stream.read_to_end(&mut reply.body)?;
        }
        Ok(reply)
    }

    fn closes(&self) -> bool {
        let length = self.field("content-length").is_some() || self.field("transfer-encoding").is_some();
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) || !length
    }
}

/// A caller's connection, kept from request to request while it lasts.
#[derive(Debug)]
pub(super) struct Caller {
    address: String,
    kept: Option<BufReader<TcpStream>>,
}

impl Caller {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), kept: None }
    }

    /// Sends bytes and reads the answer; none if the connection is ended without one.
    ///
    /// # Errors
    /// What a caller must never see: an answer that was not asked for, none at all, or nonsense.
    pub(super) fn ask(&mut self, bytes: &[u8], to_head: bool, alone: bool) -> Result<Option<Reply>, String> {
        if alone {
            return self.ask_alone(bytes, to_head);
        }
        if let Some(mut kept) = self.kept.take().filter(is_open)
            && let Some(reply) = exchange(&mut kept, bytes, to_head)?
        {
            return Ok(Some(self.keep(kept, reply)));
        }
        let mut fresh = self.connect();
        let reply = exchange(&mut fresh, bytes, to_head)?;
        Ok(reply.map(|reply| self.keep(fresh, reply)))
    }

    fn keep(&mut self, connection: BufReader<TcpStream>, reply: Reply) -> Reply {
        self.kept = (!reply.closes() && connection.buffer().is_empty()).then_some(connection);
        reply
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        BufReader::new(stream)
    }

    /// The first answer of a connection that is read to its end.
    fn ask_alone(&self, bytes: &[u8], to_head: bool) -> Result<Option<Reply>, String> {
        let mut stream = self.connect();
        // Whoever refuses the head may close before the rest is written.
        let _ = stream.get_mut().write_all(bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err("the connection was left hanging".to_owned())
            }
            _ if answer.is_empty() => Ok(None),
            _ => Ok(Reply::read(&mut answer.as_slice(), to_head).ok()),
        }
    }
}

/// Sends and reads one answer; none if the connection had ended.
fn exchange(stream: &mut BufReader<TcpStream>, bytes: &[u8], to_head: bool) -> Result<Option<Reply>, String> {
    let _ = stream.get_mut().write_all(bytes);
    match stream.fill_buf() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Err("no answer came".to_owned()),
        Err(_) | Ok([]) => return Ok(None),
        Ok(_) => {}
    }
    match Reply::read(stream, to_head) {
        Ok(reply) => Ok(Some(reply)),
        Err(Unread::End) => Ok(None),
        Err(Unread::BrokenOff) => Err("the answer broke off".to_owned()),
        Err(Unread::Ambiguous(what)) => Err(what),
    }
}

/// Whether the peer has neither ended a connection nor said anything unasked.
fn is_open(stream: &BufReader<TcpStream>) -> bool {
    let stream = stream.get_ref();
    stream.set_nonblocking(true).unwrap();
    let looked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    match looked {
        Ok(0) => false,
        Ok(_) => panic!("an answer came that nobody asked for"),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// A line that ends with CRLF, without it. A line that ends otherwise keeps its end, so that it is no field.
fn read_line(stream: &mut impl BufRead) -> Result<Vec<u8>, Unread> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        _ if !line.ends_with(b"\n") => Err(Unread::BrokenOff),
        Some(text) if !text.contains(&b'\r') => Ok(text.to_vec()),
        _ => Err(Unread::Ambiguous(format!(
            "a line that does not end as lines do: \"{}\"",
            line.escape_ascii()
        ))),
    }
}

fn read_chunks(stream: &mut impl BufRead) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let digits = text.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(digits, 16)
            .ok()
            .filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size = size.ok_or_else(|| Unread::Ambiguous(format!("the size of a chunk: {text:?}")))?;
        if size == 0 {
            while !read_line(stream)?.is_empty() {}
            return Ok(body);
        }
        let begun = body.len();
        body.resize(begun + size, 0);
        stream.read_exact(&mut body[begun..])?;
        if !read_line(stream)?.is_empty() {
            return Err(Unread::Ambiguous("a chunk that is longer than it says".to_owned()));
        }
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}
