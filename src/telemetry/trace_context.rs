//! W3C Trace Context: the headers `traceparent` and `tracestate`.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that names the trace and the span of the sender.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header in which the systems of a trace keep facts of their own.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The bit of the flags by which a caller says that it has recorded its span.
const SAMPLED: u8 = 1;

/// The most members of `tracestate` that are passed on (W3C Trace Context, section 3.3.1.1).
const MAX_MEMBERS: usize = 32;

/// The longest `tracestate` that is passed on, in bytes (section 3.3.1.5).
const MAX_STATE: usize = 512;

/// The trace that a request belongs to, and the span that sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TraceContext {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) is_sampled: bool,
    /// `tracestate`, all lines joined.
    pub(super) state: Option<String>,
}

impl TraceContext {
    /// Reads the headers. Returns `None` if there are none, or if `traceparent` is malformed.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&TRACEPARENT).iter();
        let text = values.next()?.as_bytes();
        if values.next().is_some() {
            return None;
        }
        let (version, rest) = text.split_at_checked(2)?;
        let [version] = hexadecimal(version)?;
        // A later version may add fields behind another hyphen; its first fields are those of version 00.
        let (fields, more) = rest.split_at_checked(53)?;
        if version == 0xff || (version == 0 && !more.is_empty()) || !matches!(more.first(), None | Some(b'-'))
        {
            return None;
        }
        let mut parts = fields.strip_prefix(b"-")?.split(|byte| *byte == b'-');
        let trace_id: [u8; 16] = hexadecimal(parts.next()?)?;
        let span_id: [u8; 8] = hexadecimal(parts.next()?)?;
        let [flags] = hexadecimal(parts.next()?)?;
        if parts.next().is_some() || trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self { trace_id, span_id, is_sampled: flags & SAMPLED != 0, state: state(headers) })
    }

    /// Writes the headers for the next hop, in place of those that the request came with.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        remove(headers);
        let flags = if self.is_sampled { "01" } else { "00" };
        let text = format!("00-{}-{}-{flags}", text(&self.trace_id), text(&self.span_id));
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(TRACEPARENT, value);
        }
        let state = self.state.as_deref().and_then(|state| HeaderValue::from_str(state).ok());
        if let Some(state) = state {
            headers.insert(TRACESTATE, state);
        }
    }
}

/// `traceparent` as the next hop gets it: well-formed, as this node has written or checked it.
#[derive(Debug, Clone)]
pub(crate) struct TraceParent(HeaderValue);

impl TraceParent {
    /// Returns the header of a request whose context was written or passed on.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        is_present(headers).then(|| headers.get(&TRACEPARENT).cloned().map(Self)).flatten()
    }

    /// Returns the id of the trace, in hexadecimal digits.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.0.to_str().ok()?.split('-').nth(1)
    }
}

/// Passes the context of a request on where this node records no spans: a malformed one is removed, and one of a caller
/// that is not trusted asks nobody to record.
pub(super) fn pass_on(headers: &mut HeaderMap, is_trusted: bool) {
    if !is_present(headers) {
        return;
    }
    match TraceContext::of(headers) {
        Some(context) if is_trusted => context.write(headers),
        Some(context) => TraceContext { is_sampled: false, ..context }.write(headers),
        None => remove(headers),
    }
}

/// Returns `true` if a request carries a trace context, malformed or not.
pub(super) fn is_present(headers: &HeaderMap) -> bool {
    // Few fields come: comparing each costs less than hashing two.
    headers.keys().any(|name| *name == TRACEPARENT || *name == TRACESTATE)
}

fn remove(headers: &mut HeaderMap) {
    headers.remove(&TRACEPARENT);
    headers.remove(&TRACESTATE);
}

/// Returns `tracestate`, unless it is malformed or too long.
fn state(headers: &HeaderMap) -> Option<String> {
    let lines: Vec<&str> =
        headers.get_all(&TRACESTATE).iter().map(HeaderValue::to_str).collect::<Result<_, _>>().ok()?;
    let members: Vec<&str> = lines
        .iter()
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
        .collect();
    let is_well_formed = members.iter().all(|member| {
        member
            .split_once('=')
            .is_some_and(|(key, value)| !key.is_empty() && !value.is_empty() && !value.contains('='))
    });
    let state = members.join(",");
    (is_well_formed && !state.is_empty() && members.len() <= MAX_MEMBERS && state.len() <= MAX_STATE)
        .then_some(state)
}

/// Returns the bytes of lower-case hexadecimal digits.
fn hexadecimal<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    if text.len() != 2 * BYTES {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

/// Returns bytes as hexadecimal digits.
fn text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_context_is_read_and_written_as_it_came() {
        let mut headers =
            headers(&[("traceparent", GOOD), ("tracestate", "a=1, b=2"), ("tracestate", "c=3")]);
        let context = TraceContext::of(&headers).unwrap();
        assert_eq!((text(&context.span_id).as_str(), context.is_sampled), ("00f067aa0ba902b7", true));
        context.write(&mut headers);
        assert_eq!(
            (&headers[TRACEPARENT], &headers[TRACESTATE]),
            (&GOOD.parse().unwrap(), &"a=1,b=2,c=3".parse().unwrap())
        );
    }

    #[test]
    fn a_malformed_context_is_none() {
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::of(&headers(&[("traceparent", bad)])), None, "{bad}");
        }
        assert_eq!(TraceContext::of(&headers(&[("traceparent", GOOD), ("traceparent", GOOD)])), None);
        let later = format!("01{}-more", &GOOD[2..]);
        assert!(TraceContext::of(&headers(&[("traceparent", &later)])).is_some());
    }

    #[test]
    fn a_malformed_or_long_state_is_left_out_and_the_trace_goes_on() {
        let many = (0..33).map(|number| format!("k{number}=v")).collect::<Vec<_>>().join(",");
        for bad in ["a", "=b", "a=", &many, &format!("a={}", "x".repeat(600))] {
            let context = TraceContext::of(&headers(&[("traceparent", GOOD), ("tracestate", bad)]));
            assert_eq!(context.map(|context| context.state), Some(None), "{bad}");
        }
    }

    #[test]
    fn a_caller_that_is_not_trusted_asks_nobody_to_record() {
        let mut untrusted = headers(&[("traceparent", GOOD), ("tracestate", "a=1")]);
        pass_on(&mut untrusted, false);
        assert!(untrusted[TRACEPARENT].to_str().unwrap().ends_with("b7-00"));
        let mut trusted = headers(&[("traceparent", GOOD)]);
        pass_on(&mut trusted, true);
        assert_eq!(trusted[TRACEPARENT], GOOD);
        let mut malformed = headers(&[("traceparent", "x"), ("tracestate", "a=1")]);
        pass_on(&mut malformed, true);
        assert!(malformed.is_empty());
    }
}
