//! The target of a request in its one normal form (invariant 5).

use std::fmt;

use http::{HeaderMap, Method};

use super::{
    HostError, Irregularities, McpError, McpFacts, Reason, host,
    path::{self, NormalPath},
};

/// The scheme by which the client reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`, `ws`.
    Http,
    /// `https`, `wss`.
    Https,
}

impl Scheme {
    /// The scheme's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The pieces of a request from which a [`Target`] is parsed, as they were on the wire.
#[derive(Debug, Clone)]
pub struct RawTarget<'a, H> {
    /// The method.
    pub method: &'a Method,
    /// The scheme.
    pub scheme: Scheme,
    /// HTTP/2's `:authority`, if there is one.
    pub authority: Option<&'a [u8]>,
    /// Every value of `Host`, or of what a proxy sends in its place: `headers.get_all(HOST)`.
    pub hosts: H,
    /// The request target: path, and query after `?`.
    pub path_and_query: &'a [u8],
}

/// The normal form of a request's target. Made here and nowhere else; every gate decides on it.
///
/// ```
/// use http::{HeaderMap, Method};
/// use scopegate::policy::{RawTarget, Scheme, Target, TargetError};
///
/// let parse = |path: &'static str| {
///     Target::parse(RawTarget {
///         method: &Method::GET,
///         scheme: Scheme::Https,
///         authority: None,
///         hosts: ["API.example.com.:443"],
///         path_and_query: path.as_bytes(),
///     })
/// };
/// let target = parse("/caf%c3%a9/%7Euser/?q=1")?;
/// assert_eq!(target.host(), "api.example.com");
/// assert_eq!(target.normal_path(), "/caf%C3%A9/~user/");
/// assert_eq!(parse("/public/%2e%2e/admin"), Err(TargetError::DotSegment));
/// # Ok::<(), TargetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    method: Method,
    scheme: Scheme,
    host: Box<str>,
    sent: Box<str>,
    path_len: usize,
    rewritten: Option<Box<str>>,
    irregularities: Irregularities,
    mcp: Option<Box<Result<McpFacts, McpError>>>,
}

/// Errors of a request that is never acceptable, whatever the policy: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// HTTP/1 absolute form (RFC 9112, section 3.2.2).
    #[error("expected a path as the request target, found a whole URL")]
    AbsoluteForm,
    /// `*` (RFC 9112, section 3.2.4).
    #[error("expected a path as the request target, found `*`")]
    AsteriskForm,
    /// The method `CONNECT` (RFC 9110, section 9.3.6).
    #[error("the method CONNECT is not served")]
    Connect,
    /// Neither of these, and no leading slash.
    #[error("expected a path that begins with `/` as the request target")]
    NotOriginForm,
    /// A raw backslash.
    #[error("the path holds a raw `\\`")]
    Backslash,
    /// NUL, raw or encoded.
    #[error("the path holds a NUL byte")]
    Nul,
    /// Another control character, raw or encoded.
    #[error("the request target holds a control character")]
    Control,
    /// A raw space.
    #[error("the request target holds a space that is not encoded as `%20`")]
    Space,
    /// `.` or `..` as a segment, raw or encoded, also with `;…` behind it.
    #[error("the path holds a segment `.` or `..`")]
    DotSegment,
    /// A raw `#`.
    #[error("the request target holds a raw `#`")]
    Fragment,
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("the path holds a `%` that is not followed by two hexadecimal digits")]
    PercentEncoding,
    /// Encoded bytes that are not UTF-8.
    #[error("the path holds encoded bytes that are not UTF-8")]
    NotUtf8,
    /// A raw byte beyond ASCII.
    #[error("the request target holds a character beyond ASCII that is not percent-encoded")]
    NonAscii,
    /// Neither `Host` nor `:authority`.
    #[error("the request names no host")]
    NoHost,
    /// More than one `Host`, or one that differs from `:authority`.
    #[error("the request names more than one host")]
    SeveralHosts,
    /// The host cannot be read.
    #[error("the host is invalid: {0}")]
    Host(#[from] HostError),
    /// A path that has too many readings to decide them all.
    #[error("the path can be read in too many ways")]
    TooManyInterpretations,
}

impl TargetError {
    /// Its name in the one vocabulary.
    pub fn reason(self) -> Reason {
        match self {
            Self::AbsoluteForm => Reason::AbsoluteForm,
            Self::AsteriskForm => Reason::AsteriskForm,
            Self::Connect => Reason::Connect,
            Self::NotOriginForm => Reason::NotOriginForm,
            Self::Backslash => Reason::Backslash,
            Self::Nul => Reason::Nul,
            Self::Control => Reason::ControlCharacter,
            Self::Space => Reason::Space,
            Self::DotSegment => Reason::DotSegment,
            Self::Fragment => Reason::Fragment,
            Self::PercentEncoding => Reason::PercentEncoding,
            Self::NotUtf8 => Reason::NotUtf8,
            Self::NonAscii => Reason::NonAscii,
            Self::NoHost => Reason::NoHost,
            Self::SeveralHosts => Reason::SeveralHosts,
            Self::Host(HostError::UserInfo) => Reason::UserInfo,
            Self::Host(HostError::Empty | HostError::Grammar | HostError::Port) => Reason::InvalidHost,
            Self::TooManyInterpretations => Reason::TooManyInterpretations,
        }
    }
}

impl Target {
    /// Parses a request.
    ///
    /// # Errors
    /// [`TargetError`] for what no policy may accept.
    pub fn parse<H>(raw: RawTarget<'_, H>) -> Result<Self, TargetError>
    where
        H: IntoIterator<Item: AsRef<[u8]>>,
    {
        check_form(raw.method, raw.path_and_query)?;
        let host = one_host(raw.authority, raw.hosts)?;
        let path_len = raw.path_and_query.iter().position(|byte| *byte == b'?');
        let path_len = path_len.unwrap_or(raw.path_and_query.len());
        let (path, query) = raw.path_and_query.split_at_checked(path_len).unwrap_or_default();
        let NormalPath { rewritten, irregularities } = path::normalise(path)?;
        path::check_query(query)?;
        let sent = std::str::from_utf8(raw.path_and_query).map_err(|_| TargetError::NonAscii)?.into();
        Ok(Self {
            method: raw.method.clone(),
            scheme: raw.scheme,
            host,
            sent,
            path_len,
            rewritten,
            irregularities,
            mcp: None,
        })
    }

    /// Adds the facts of the Model Context Protocol, which a policy needs if it [reads](super::Policy::reads_mcp) them.
    #[must_use]
    pub fn with_mcp(self, headers: &HeaderMap) -> Self {
        Self { mcp: Some(Box::new(McpFacts::from_headers(headers))), ..self }
    }

    /// Returns the MCP method and name.
    ///
    /// # Errors
    /// The reason why the headers cannot be relied on. Without [`Target::with_mcp`] there is no method.
    pub fn mcp(&self) -> Result<&McpFacts, McpError> {
        match self.mcp.as_deref() {
            None => Err(McpError::NoMethod),
            Some(facts) => facts.as_ref().map_err(|error| *error),
        }
    }

    /// The same request as a proxy received it that stands before: the scheme that its caller used, and the host that
    /// it asked, where the proxy tells another one.
    ///
    /// # Errors
    /// [`TargetError`] if the host cannot be read.
    pub fn received_at(self, scheme: Scheme, host: Option<&[u8]>) -> Result<Self, TargetError> {
        let host = host.map(|host| one_host(None, [host])).transpose()?.unwrap_or(self.host);
        Ok(Self { scheme, host, ..self })
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: lower case, without port and final dot; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path in normal form, with a final slash if one was sent: what upstreams get.
    pub fn normal_path(&self) -> &str {
        self.rewritten.as_deref().unwrap_or_else(|| self.path_as_sent())
    }

    /// The path as it was sent: what upstreams get from a route that accepts irregularities.
    pub fn path_as_sent(&self) -> &str {
        self.sent.get(..self.path_len).unwrap_or_default()
    }

    /// The query without its `?`, as it was sent. It never reaches the matcher.
    pub fn query(&self) -> Option<&str> {
        self.sent.get(self.path_len..)?.strip_prefix('?')
    }

    /// Returns the irregularities of the path.
    pub fn irregularities(&self) -> Irregularities {
        self.irregularities
    }

    /// The segments of the path in normal form. A final slash makes no segment.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        let path = self.matched_path();
        path.split('/').skip(1).filter(move |_| !path.is_empty())
    }

    /// The same request with as many segments taken off the front of its path as `prefix` has: what an upstream gets
    /// whose route strips a prefix. It is parsed again, so that what is left is as acceptable as the whole was.
    ///
    /// # Errors
    /// [`TargetError`] if what is left is never acceptable.
    pub fn without_prefix(&self, prefix: &str) -> Result<Self, TargetError> {
        let segments = prefix.split('/').filter(|segment| !segment.is_empty()).count();
        let path = self.path_as_sent();
        let rest = path.match_indices('/').nth(segments).and_then(|(start, _)| path.get(start..));
        let query = self.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path_and_query = rest.unwrap_or("/").to_owned() + &query;
        let raw = RawTarget {
            method: &self.method,
            scheme: self.scheme,
            authority: None,
            hosts: [self.host.as_bytes()],
            path_and_query: path_and_query.as_bytes(),
        };
        Ok(Self { mcp: self.mcp.clone(), ..Self::parse(raw)? })
    }

    /// The path in normal form without its final slash: empty, or a slash before each segment.
    pub(super) fn matched_path(&self) -> &str {
        let path = self.normal_path();
        path.strip_suffix('/').unwrap_or(path)
    }

    /// The same request for another path.
    pub(super) fn at_path(&self, path: String) -> Result<Self, TargetError> {
        let NormalPath { rewritten, irregularities } = path::normalise(path.as_bytes())?;
        let sent: Box<str> = path.into();
        Ok(Self { path_len: sent.len(), sent, rewritten, irregularities, ..self.clone() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}://{}{}", self.method, self.scheme, self.host, self.normal_path())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A query may hold what should not be logged.
        write!(f, "Target({self}, irregular: {:?})", self.irregularities)
    }
}

fn check_form(method: &Method, target: &[u8]) -> Result<(), TargetError> {
    if method == Method::CONNECT {
        return Err(TargetError::Connect);
    }
    match target {
        [b'/', ..] => Ok(()),
        b"*" => Err(TargetError::AsteriskForm),
        _ if target.windows(3).any(|window| window == b"://") => Err(TargetError::AbsoluteForm),
        _ => Err(TargetError::NotOriginForm),
    }
}

fn one_host(
    authority: Option<&[u8]>,
    hosts: impl IntoIterator<Item: AsRef<[u8]>>,
) -> Result<Box<str>, TargetError> {
    let mut hosts = hosts.into_iter();
    let named = hosts.next().map(|host| host::parse_authority(host.as_ref())).transpose()?;
    if hosts.next().is_some() {
        return Err(TargetError::SeveralHosts);
    }
    let authority = authority.map(host::parse_authority).transpose()?;
    match (authority, named) {
        (Some(authority), Some(named)) if authority != named => Err(TargetError::SeveralHosts),
        (Some((host, _)), _) | (None, Some((host, _))) => Ok(host),
        (None, None) => Err(TargetError::NoHost),
    }
}
