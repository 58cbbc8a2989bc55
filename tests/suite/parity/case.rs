//! A generated request, as bytes.

use std::fmt;

/// A request that goes through every front. Its parts can be left out one by one, to find the few that matter.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) number: u64,
    pub(super) method: &'static str,
    pub(super) target: Vec<Vec<u8>>,
    pub(super) version: &'static str,
    /// Lines of the head.
    pub(super) fields: Vec<Vec<u8>>,
    pub(super) line_end: &'static str,
    pub(super) body: Vec<u8>,
    /// Sent on a connection of its own, read to its end: it may be taken for more than one request.
    pub(super) alone: bool,
}

/// What is out of the ordinary about a request, so that a proxy may refuse or rewrite it before it asks. The decision
/// is then not compared; what reaches a service is judged all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Oddity {
    /// A method that not every server takes.
    Method,
    /// `PRI`, with which HTTP/2 begins (RFC 9113, section 3.4).
    Preface,
    /// No path as the target: a whole URL, `*`, an authority, or anything without a slash at the start.
    Form,
    /// `#` in the target.
    Fragment,
    /// Bytes in the target that should have been encoded, and `%` that encodes nothing.
    Characters,
    /// Not one plain host.
    Host,
    /// Lines of the head that are no fields, or fields of a framing that is no common one.
    Head,
    /// A field that stands more than once.
    Repeated,
    /// `Connection` lists what is needed.
    Listed,
    /// Not HTTP/1.1 with CRLF.
    Version,
}

impl Case {
    /// What is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let end = self.line_end.as_bytes();
        let mut bytes =
            [self.method.as_bytes(), b" ", &self.target(), b" ", self.version.as_bytes(), end].concat();
        let own = [format!("X-Case: {}", self.number).into_bytes()];
        let close = self.alone.then(|| b"Connection: close".to_vec());
        // Of the two, HTTP/1.0 servers heed one or the other.
        let contradicts = |field: &[u8]| self.alone && field == b"Connection: keep-alive";
        let fields = self.fields.iter().filter(|field| !contradicts(field));
        for field in fields.chain(&own).chain(&close) {
            bytes.extend_from_slice(field);
            bytes.extend_from_slice(end);
        }
        bytes.extend_from_slice(end);
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The same request with something before its path, if it has one.
    pub(super) fn behind(&self, prefix: &str) -> Self {
        let mut case = self.clone();
        if self.target().starts_with(b"/") {
            case.target.insert(0, prefix.as_bytes().to_vec());
        }
        case
    }

    /// The request target.
    pub(super) fn target(&self) -> Vec<u8> {
        self.target.concat()
    }

    fn repeats(&self) -> bool {
        let name = |field: &Vec<u8>| field.split(|byte| *byte == b':').next().unwrap().to_ascii_lowercase();
        let mut names: Vec<_> = self.fields.iter().map(name).collect();
        names.sort_unstable();
        names.windows(2).any(|two| two[0] == two[1])
    }

    /// The values of a field, by its exact name without case.
    pub(super) fn values(&self, name: &str) -> Vec<&[u8]> {
        let value = |field: &'_ Vec<u8>| {
            let colon = field.iter().position(|byte| *byte == b':')?;
            field[..colon].eq_ignore_ascii_case(name.as_bytes()).then_some(colon + 1)
        };
        self.fields.iter().filter_map(|field| value(field).map(|at| field[at..].trim_ascii())).collect()
    }

    /// What is out of the ordinary.
    pub(super) fn oddities(&self) -> Vec<Oddity> {
        let target = self.target();
        let (path, host) = (target.split(|byte| *byte == b'?').next().unwrap(), self.values("host"));
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(byte);
        let encodes_nothing = path
            .split(|byte| *byte == b'%')
            .skip(1)
            .any(|after| !after.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
        let one_host = matches!(host.as_slice(), [host] if is_plain_host(host));
        let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
        let lists =
            self.values("connection").iter().any(|value| matches!(*value, b"authorization" | b"host"));
        let odd = [
            (Oddity::Method, !known.contains(&self.method)),
            (Oddity::Preface, self.method == "PRI"),
            (Oddity::Form, target.first() != Some(&b'/')),
            (Oddity::Fragment, target.contains(&b'#')),
            (Oddity::Characters, encodes_nothing || !target.iter().all(|byte| plain(byte) || *byte == b'?')),
            (Oddity::Host, !one_host),
            (Oddity::Head, self.alone),
            (Oddity::Repeated, self.repeats()),
            (Oddity::Listed, lists),
            (Oddity::Version, self.version != "HTTP/1.1" || self.line_end != "\r\n"),
        ];
        odd.into_iter().filter(|(_, there)| *there).map(|(oddity, _)| oddity).collect()
    }

    /// Whether servers disagree about the path, though it is well-formed.
    pub(super) fn is_irregular(&self) -> bool {
        let path = String::from_utf8_lossy(&self.target()).split('?').next().unwrap().to_ascii_lowercase();
        ["%2f", "%25", ";", "%3b", "//"].iter().any(|irregular| path.contains(irregular))
    }

    /// The same request with one part less: every way to do that.
    pub(super) fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        for index in 0..self.fields.len() {
            let mut case = self.clone();
            case.fields.remove(index);
            smaller.push(case);
        }
        for index in 0..self.target.len() {
            let mut case = self.clone();
            case.target.remove(index);
            smaller.push(case);
        }
        smaller.extend((!self.body.is_empty()).then(|| Self { body: Vec::new(), ..self.clone() }));
        smaller
    }
}

/// A name and perhaps a port.
fn is_plain_host(host: &[u8]) -> bool {
    let (name, port) = match host.iter().position(|byte| *byte == b':') {
        Some(colon) => (&host[..colon], std::str::from_utf8(&host[colon + 1..]).ok()),
        None => (host, Some("80")),
    };
    let label = |label: &[u8]| {
        label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') && !label.is_empty()
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    port.is_some_and(|port| port.parse::<u16>().is_ok()) && name.split(|byte| *byte == b'.').all(label)
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "case {}: \"{}\"", self.number, self.bytes().escape_ascii())
    }
}
