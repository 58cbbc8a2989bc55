//! Proxies that cannot be installed here, as their documentation and sources say they behave: what they take, what they
//! ask scopegate, and what they send on. They are told to by the files that the manual ships.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Scene,
    case::{Case, Oddity},
    front::{Front, Line, Outcome},
    model,
    service::{Log, Seen},
    wire::{Caller, Message, Reply},
};

/// A proxy as it behaves.
pub(super) struct Behaviour {
    /// The request as the proxy takes it, or the status with which it refuses by itself.
    takes: fn(Message) -> Result<Message, u16>,
    /// What it asks scopegate.
    question: fn(&Message) -> Vec<u8>,
    /// The request as it is sent on.
    onward: fn(Message, &Reply) -> Message,
    own_ways: &'static [Oddity],
}

/// Traefik's `forwardAuth`: Go's server and URLs.
pub(super) const TRAEFIK: Behaviour = Behaviour {
    takes: |message| take(message, go_path),
    question: traefik_question,
    onward: traefik_onward,
    own_ways: &[
        Oddity::Form,
        Oddity::Fragment,
        Oddity::Characters,
        Oddity::Head,
        Oddity::Listed,
        Oddity::Version,
    ],
};

/// Envoy's `ext_authz` over HTTP.
pub(super) const ENVOY: Behaviour = Behaviour {
    takes: |message| {
        if message.method == "CONNECT" { Err(404) } else { take(message, |path| Some(path.to_vec())) }
    },
    question: envoy_question,
    onward: envoy_onward,
    own_ways: &[
        Oddity::Method,
        Oddity::Form,
        Oddity::Fragment,
        Oddity::Head,
        Oddity::Repeated,
        Oddity::Version,
    ],
};

/// A proxy that behaves so.
pub(super) fn driven(scene: &Scene, behaviour: &'static Behaviour) -> Box<dyn Front> {
    Box::new(Driven { behaviour, scopegate: scene.scopegate(), log: Log::default() })
}

impl Behaviour {
    /// A request as the proxy takes it, or the status with which it refuses by itself.
    pub(super) fn taken(&self, case: &Case) -> Result<Message, u16> {
        let bytes = case.bytes();
        let mut bytes = bytes.as_slice();
        let message =
            Message::read(&mut bytes).and_then(|message| message.read_body(&mut bytes).map(|()| message));
        message.map_err(|_| 400).and_then(self.takes)
    }
}

struct Driven {
    behaviour: &'static Behaviour,
    scopegate: String,
    log: Log,
}

impl Front for Driven {
    fn line(&self) -> Box<dyn Line> {
        let (behaviour, log) = (self.behaviour, self.log.clone());
        Box::new(Asking { behaviour, log, scopegate: Caller::new(&self.scopegate) })
    }

    fn log(&self) -> &Log {
        &self.log
    }

    fn own_ways(&self) -> &[Oddity] {
        self.behaviour.own_ways
    }

    fn serves(&self) -> bool {
        false
    }
}

struct Asking {
    behaviour: &'static Behaviour,
    log: Log,
    scopegate: Caller,
}

impl Line for Asking {
    fn ask(&mut self, case: &Case) -> Outcome {
        let message = match self.behaviour.taken(case) {
            Ok(message) => message,
            Err(status) => return Outcome::Refused { status, reason: None },
        };
        let question = (self.behaviour.question)(&message);
        match self.scopegate.ask(&question, question.starts_with(b"HEAD "), false) {
            Ok(Some(reply)) if (200..300).contains(&reply.status) => {
                let sent = (self.behaviour.onward)(message, &reply);
                self.log.note(Seen::Request(sent.clone()));
                Outcome::Passed(sent.into())
            }
            Ok(Some(reply)) => Outcome::refused(reply.status, &reply.body),
            Ok(None) => Outcome::Ended,
            Err(what) => Outcome::Broken(what),
        }
    }
}

/// What both have in common: one host, an absolute URL taken apart, nothing unprintable, no fragment.
fn take(mut message: Message, path: fn(&[u8]) -> Option<Vec<u8>>) -> Result<Message, u16> {
    let target = message.target.clone();
    if target.iter().any(|byte| byte.is_ascii_control() || matches!(byte, b' ' | b'#')) {
        return Err(400);
    }
    let whole =
        [b"http://".as_slice(), b"https://"].into_iter().find_map(|scheme| target.strip_prefix(scheme));
    if let Some(rest) = whole {
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        message.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
        message.fields.push(("Host".to_owned(), rest[..end].to_vec()));
        let rest = &rest[end..];
        message.target = if rest.starts_with(b"/") { rest.to_vec() } else { [b"/", rest].concat() };
    } else if !target.starts_with(b"/") {
        return Err(400);
    }
    let in_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    if !message.host().is_some_and(|host| !host.is_empty() && host.as_bytes().iter().all(in_host)) {
        return Err(400);
    }
    let (own, query) = message.path();
    let query = query.map(|query| [b"?", query].concat()).unwrap_or_default();
    message.target = [path(own).ok_or(400_u16)?, query].concat();
    Ok(message)
}

/// `URL.EscapedPath` of Go: as sent if that is how it might have been written, else written anew.
fn go_path(path: &[u8]) -> Option<Vec<u8>> {
    let encodes =
        |after: &[u8]| after.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    if !path.split(|byte| *byte == b'%').skip(1).all(encodes) {
        return None;
    }
    let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*".contains(&byte);
    if path.iter().all(|byte| stands(*byte) || matches!(byte, b'%' | b'[' | b']')) {
        return Some(path.to_vec());
    }
    let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
    let written = model::decode(path).into_iter().flat_map(|byte| match byte {
        byte if stands(byte) => vec![byte],
        byte => format!("%{byte:02X}").into_bytes(),
    });
    Some(written.collect())
}

fn line(method: &str, target: &[u8]) -> Vec<u8> {
    [method.as_bytes(), b" ", target, b" HTTP/1.1\r\n"].concat()
}

fn field(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b": ", value, b"\r\n"].concat()
}

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Without what belongs to the caller's connection, and what `Connection` lists.
fn without_hops(message: &Message) -> Vec<(String, Vec<u8>)> {
    let listed = message.values("connection").into_iter().flat_map(|value| value.split(|byte| *byte == b','));
    let listed: BTreeSet<Vec<u8>> = listed.map(|name| name.trim_ascii().to_ascii_lowercase()).collect();
    let keeps = |(name, _): &&(String, Vec<u8>)| {
        let name = name.to_ascii_lowercase();
        !HOP_BY_HOP.contains(&name.as_str()) && (name == "host" || !listed.contains(name.as_bytes()))
    };
    message.fields.iter().filter(keeps).cloned().collect()
}

fn traefik_question(message: &Message) -> Vec<u8> {
    let mut question = line("GET", b"/auth/traefik");
    let own =
        ["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri", "x-forwarded-for"];
    for (name, value) in without_hops(message) {
        let lower = name.to_ascii_lowercase();
        if !own.contains(&lower.as_str()) && !["host", "content-length"].contains(&lower.as_str()) {
            question.extend(field(&name, &value));
        }
    }
    question.extend(field("Host", b"scopegate"));
    question.extend(field("X-Forwarded-Method", message.method.as_bytes()));
    question.extend(field("X-Forwarded-Proto", b"http"));
    question.extend(field("X-Forwarded-Host", message.host().unwrap().as_bytes()));
    question.extend(field("X-Forwarded-Uri", &message.target));
    question.extend(field("X-Forwarded-For", b"192.0.2.7"));
    [question, b"\r\n".to_vec()].concat()
}

fn traefik_onward(mut message: Message, reply: &Reply) -> Message {
    let file = shipped(include_str!("../../../src/manual/proxies/traefik.yaml"));
    let middlewares = &file["http"]["middlewares"];
    message.fields = without_hops(&message);
    for name in texts(&middlewares["scopegate"]["forwardAuth"]["authResponseHeaders"]) {
        set(&mut message, &name, reply);
    }
    let removed = middlewares["stripped"]["headers"]["customRequestHeaders"].as_object();
    let removed = removed.into_iter().flatten().filter(|(_, value)| value.as_str() == Some(""));
    for (name, _) in removed {
        message.fields.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }
    message
}

fn envoy_question(message: &Message) -> Vec<u8> {
    let mut question = line(&message.method, &[b"/auth/envoy", message.target.as_slice()].concat());
    question.extend(field("Host", message.host().unwrap().as_bytes()));
    question.extend(field("X-Forwarded-Proto", b"http"));
    let tokens = message.values("authorization");
    if !tokens.is_empty() {
        question.extend(field("Authorization", &tokens.join(&b","[..])));
    }
    [question, b"Content-Length: 0\r\n\r\n".to_vec()].concat()
}

fn envoy_onward(mut message: Message, reply: &Reply) -> Message {
    let file = shipped(include_str!("../../../src/manual/proxies/envoy.yaml"));
    let manager = &file["typed_config"];
    if manager["common_http_protocol_options"]["headers_with_underscores_action"] == "DROP_HEADER" {
        message.fields.retain(|(name, _)| !name.contains('_'));
    }
    let answer = &manager["http_filters"][0]["typed_config"]["http_service"]["authorization_response"];
    let patterns = answer["allowed_upstream_headers"]["patterns"].as_array();
    for pattern in patterns.into_iter().flatten() {
        set(&mut message, pattern["exact"].as_str().unwrap(), reply);
    }
    for name in texts(&manager["route_config"]["request_headers_to_remove"]) {
        message.fields.retain(|(own, _)| !own.eq_ignore_ascii_case(&name));
    }
    message
}

/// Sets a header as scopegate's answer has it.
fn set(message: &mut Message, name: &str, reply: &Reply) {
    message.fields.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    if let Some(value) = reply.field(name) {
        message.fields.push((name.to_owned(), value.as_bytes().to_vec()));
    }
}

fn shipped(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}
