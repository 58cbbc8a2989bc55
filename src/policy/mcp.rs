//! The method and name of a request of the Model Context Protocol, as its headers say them (revision 2026-07-28,
//! Streamable HTTP).

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The first revision in which servers compare these headers with the body. In requests of older ones nobody checks them.
pub const FIRST_MCP_REVISION: &str = "2026-07-28";

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The methods whose requests name a tool, resource or prompt.
const NAMED: [&str; 3] = ["tools/call", "resources/read", "prompts/get"];

/// The method and name of an MCP request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct McpFacts {
    /// The JSON-RPC method, such as `tools/call`.
    pub method: Box<str>,
    /// The tool, resource or prompt, where the method has one.
    pub name: Option<Box<str>>,
}

/// The part of a pattern that selects MCP requests. The order is the precedence: a name before a method alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct McpSelector {
    /// The method.
    pub method: Box<str>,
    /// The tool, resource or prompt; `None` for all of the method's requests.
    pub name: Option<Box<str>>,
}

/// Reasons why the headers of an MCP request cannot be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum McpError {
    /// The request has no `Mcp-Method`.
    #[error("this is decided by `Mcp-Method`, and the request has none")]
    NoMethod,
    /// The request has no `Mcp-Name`, though its method has a name.
    #[error("this is decided by `Mcp-Name`, and the request has none")]
    NoName,
    /// A header occurs more than once.
    #[error("a header of the Model Context Protocol occurs more than once")]
    Repeated,
    /// The protocol version is absent.
    #[error(
        "this needs `MCP-Protocol-Version: {FIRST_MCP_REVISION}` or a newer one, and the request has none"
    )]
    NoVersion,
    /// The protocol version is older than [`FIRST_MCP_REVISION`], or not a version.
    #[error(
        "this needs `MCP-Protocol-Version: {FIRST_MCP_REVISION}` or a newer one: servers of older revisions do not compare the headers with the body"
    )]
    OldVersion,
    /// A value that is neither plain ASCII nor well encoded.
    #[error("a header of the Model Context Protocol is not encoded as `=?base64?…?=`")]
    Encoding,
}

impl McpFacts {
    /// Reads the headers of a request.
    ///
    /// ```
    /// use http::HeaderMap;
    /// use scopegate::policy::{McpError, McpFacts};
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("MCP-Protocol-Version", "2026-07-28".parse()?);
    /// headers.insert("Mcp-Method", "tools/call".parse()?);
    /// assert_eq!(McpFacts::from_headers(&headers), Err(McpError::NoName));
    /// headers.insert("Mcp-Name", "=?base64?d2V0dGVy?=".parse()?);
    /// assert_eq!(McpFacts::from_headers(&headers)?.name.as_deref(), Some("wetter"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`McpError`].
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, McpError> {
        let version = one(headers, &VERSION)?.ok_or(McpError::NoVersion)?;
        if !is_revision(version) || version < FIRST_MCP_REVISION.as_bytes() {
            return Err(McpError::OldVersion);
        }
        let method = decode(one(headers, &METHOD)?.ok_or(McpError::NoMethod)?)?;
        let name = one(headers, &NAME)?.map(decode).transpose()?;
        if name.is_none() && NAMED.contains(&&*method) {
            return Err(McpError::NoName);
        }
        Ok(Self { method: method.into(), name: name.map(Into::into) })
    }
}

/// Returns the only value of a header.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, McpError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes().trim_ascii())),
        (_, Some(_)) => Err(McpError::Repeated),
    }
}

/// Returns `true` for a date such as `2026-07-28`, as revisions are named.
fn is_revision(version: &[u8]) -> bool {
    version.len() == 10
        && version.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// Decodes a value: plain ASCII, or base64 between markers.
fn decode(value: &[u8]) -> Result<Cow<'_, str>, McpError> {
    if let Some(encoded) = value.strip_prefix(b"=?base64?") {
        let encoded = encoded.strip_suffix(b"?=").ok_or(McpError::Encoding)?;
        let decoded = STANDARD.decode(encoded).map_err(|_| McpError::Encoding)?;
        return String::from_utf8(decoded).map(Cow::Owned).map_err(|_| McpError::Encoding);
    }
    let text = std::str::from_utf8(value).map_err(|_| McpError::Encoding)?;
    let plain = !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    if plain { Ok(Cow::Borrowed(text)) } else { Err(McpError::Encoding) }
}

/// Returns the headers of a request with this method and name.
pub(super) fn headers_for(method: &str, name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let values = [("mcp-protocol-version", FIRST_MCP_REVISION), ("mcp-method", method), ("mcp-name", name)];
    for (header, value) in values {
        // Values beyond ASCII are sent in base64.
        let encoded = format!("=?base64?{}?=", STANDARD.encode(value));
        let plain = !value.is_empty() && value.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
        if let Ok(value) = HeaderValue::from_str(if plain { value } else { &encoded }) {
            headers.insert(header, value);
        }
    }
    headers
}

impl McpSelector {
    /// Returns `true` if a request with these facts is selected.
    pub fn matches(&self, facts: &McpFacts) -> bool {
        self.method == facts.method && (self.name.is_none() || self.name == facts.name)
    }

    /// Returns `true` if every request that this selects is selected by `other` too. `None` selects every request.
    pub(super) fn is_within(ours: Option<&Self>, theirs: Option<&Self>) -> bool {
        match (ours, theirs) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(ours), Some(theirs)) => {
                ours.method == theirs.method && (theirs.name.is_none() || ours.name == theirs.name)
            }
        }
    }

    /// Returns `true` if some request is selected by both. `None` selects every request.
    pub(super) fn intersects(ours: Option<&Self>, theirs: Option<&Self>) -> bool {
        Self::is_within(ours, theirs) || Self::is_within(theirs, ours)
    }

    /// Returns the selector of the requests that both select, of two that intersect.
    pub(super) fn narrower<'s>(ours: Option<&'s Self>, theirs: Option<&'s Self>) -> Option<&'s Self> {
        if Self::is_within(ours, theirs) { ours } else { theirs }
    }
}

impl Ord for McpSelector {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let unnamed = self.name.is_none().cmp(&other.name.is_none());
        unnamed.then_with(|| self.method.cmp(&other.method)).then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for McpSelector {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for McpSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.method)?;
        self.name.iter().try_for_each(|name| write!(f, " {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(headers: &[(&'static str, &str)]) -> Result<(String, Option<String>), McpError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let facts = McpFacts::from_headers(&map)?;
        Ok((facts.method.into(), facts.name.map(Into::into)))
    }

    const NOW: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

    #[test]
    fn method_and_name_are_read_plain_and_encoded() {
        let call = ("mcp-method", "tools/call");
        let named = |name: &str| Ok(("tools/call".to_owned(), Some(name.to_owned())));
        assert_eq!(facts(&[NOW, call, ("mcp-name", "get_weather")]), named("get_weather"));
        assert_eq!(facts(&[NOW, call, ("mcp-name", "=?base64?Z2V0X3dlYXRoZXI=?=")]), named("get_weather"));
        assert_eq!(facts(&[NOW, call, ("mcp-name", "=?base64?w7w=?=")]), named("ü"));
        assert_eq!(facts(&[NOW, ("mcp-method", "initialize")]), Ok(("initialize".to_owned(), None)));
    }

    #[test]
    fn missing_repeated_and_malformed_headers_are_errors() {
        let call = ("mcp-method", "tools/call");
        let name = ("mcp-name", "a");
        for (headers, error) in [
            (vec![call, name], McpError::NoVersion),
            (vec![("mcp-protocol-version", "2025-11-25"), call, name], McpError::OldVersion),
            (vec![("mcp-protocol-version", "9"), call, name], McpError::OldVersion),
            (vec![("mcp-protocol-version", "DRAFT-2027"), call, name], McpError::OldVersion),
            (vec![NOW, NOW, call, name], McpError::Repeated),
            (vec![NOW, name], McpError::NoMethod),
            (vec![NOW, call], McpError::NoName),
            (vec![NOW, call, call, name], McpError::Repeated),
            (vec![NOW, call, name, ("mcp-name", "b")], McpError::Repeated),
            (vec![NOW, call, ("mcp-name", "ü")], McpError::Encoding),
            (vec![NOW, call, ("mcp-name", "")], McpError::Encoding),
            (vec![NOW, call, ("mcp-name", "=?base64?a")], McpError::Encoding),
            (vec![NOW, call, ("mcp-name", "=?base64?!?=")], McpError::Encoding),
            (vec![NOW, call, ("mcp-name", "=?base64?/w==?=")], McpError::Encoding),
        ] {
            assert_eq!(facts(&headers), Err(error), "{headers:?}");
        }
    }
}
