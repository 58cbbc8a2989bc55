//! Just enough HTTP/1.1 for a test issuer, so that it can also speak it badly.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers beside `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A field of the form.
    pub fn field(&self, name: &str) -> Option<String> {
        let fields = self.body.split('&').filter_map(|field| field.split_once('='));
        fields.filter(|(found, _)| *found == name).map(|(_, value)| decoded(value)).next()
    }

    /// The client's id and secret, from the header or the form.
    pub fn client(&self) -> Option<(String, String)> {
        let Some(basic) = self.header("authorization").and_then(|value| value.strip_prefix("Basic ")) else {
            return Some((self.field("client_id")?, self.field("client_secret")?));
        };
        let pair = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
        pair.split_once(':').map(|(id, secret)| (decoded(id), decoded(secret)))
    }
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes() }
            .with("content-type", "application/json")
    }

    /// A recorded `{status, headers, body}`.
    pub fn recorded(envelope: &Value) -> Self {
        let headers = envelope["headers"].as_object().into_iter().flatten();
        let headers =
            headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let body = match &envelope["body"] {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let status = envelope["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap();
        Self { status, headers: headers.collect(), body }
    }

    /// With a header more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub(super) async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value);
    let end = head + 4 + length.parse::<usize>().ok()?;
    while bytes.len() < end {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&bytes[head + 4..end]).into_owned();
    Some(Request { method, path, headers, body })
}

pub(super) async fn write(stream: &mut TcpStream, reply: &Reply) {
    let mut bytes = head(reply, reply.body.len()).into_bytes();
    bytes.extend_from_slice(&reply.body);
    // The client may have gone away, which is its right.
    let _ = stream.write_all(&bytes).await;
}

pub(super) fn head(reply: &Reply, length: usize) -> String {
    let mut head =
        format!("HTTP/1.1 {} -\r\nconnection: close\r\ncontent-length: {length}\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head + "\r\n"
}

/// `application/x-www-form-urlencoded`, one value.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}
