//! `htu`: the comparison of URLs (RFC 9449, section 4.3; RFC 3986, sections 6.2.2 and 6.2.3).

use std::fmt::Write;

use scopegate_provider::{ProofRequest, Rejection};
use url::Url;

use super::invalid;

/// Checks that `htu` is the URL of the request at one of its origins, and returns it in normal form.
///
/// Both are compared in normal form, without query, fragment and final slash, as the policy ignores it.
pub(super) fn matching(htu: &str, request: &ProofRequest<'_>) -> Result<String, Rejection> {
    let well_formed = htu.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\\".contains(&byte));
    if !well_formed {
        return Err(invalid("expected `htu` to be a URL without query, fragment and user information"));
    }
    let claimed = normal(htu, request.is_websocket).ok_or(invalid("expected `htu` to be a URL"))?;
    let is_target = request.origins.iter().any(|origin| {
        let expected = normal(&format!("{origin}{}", request.path), request.is_websocket);
        expected.is_some_and(|expected| expected == claimed)
    });
    if is_target { Ok(claimed) } else { Err(invalid("its `htu` is not the URL of the request")) }
}

/// Returns a URL in normal form.
fn normal(url: &str, is_websocket: bool) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let scheme = match url.scheme() {
        "wss" if is_websocket => "https",
        "ws" if is_websocket => "http",
        scheme @ ("https" | "http") => scheme,
        _ => return None,
    };
    let host = url.host_str()?;
    let host = host.strip_suffix('.').unwrap_or(host);
    // The ports of `ws` and `wss` are those of `http` and `https`.
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = unreserved_decoded(url.path());
    let path = path.strip_suffix('/').unwrap_or(&path);
    Some(format!("{scheme}://{host}{port}{path}"))
}

/// Decodes unreserved characters and writes the hexadecimal digits of all others in upper case.
fn unreserved_decoded(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                decoded.push(char::from(byte));
            }
            Some(byte) => {
                // A String takes every write.
                let _ = write!(decoded, "%{byte:02X}");
            }
            None => {
                decoded.push('%');
                rest = after;
                continue;
            }
        }
        rest = after.get(2..).unwrap_or_default();
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use http::Method;
    use scopegate_provider::{Thumbprint, Timestamp};

    use super::*;

    fn matches(htu: &str, origins: &[&str], path: &str, is_websocket: bool) -> bool {
        let origins: Vec<Box<str>> = origins.iter().map(|origin| (*origin).into()).collect();
        let request = ProofRequest {
            proof: b"",
            token: b"",
            key: Thumbprint::new([0; 32]),
            method: &Method::GET,
            origins: &origins,
            path,
            is_websocket,
            now: Timestamp::from_seconds(0),
        };
        matching(htu, &request).is_ok()
    }

    #[test]
    fn compares_urls_in_normal_form() {
        for htu in [
            "https://api.example/a%7Eb/c",
            "https://api.example:443/a~b/c",
            "HTTPS://API.Example/a~b/c",
            "https://api.example/a~b/x/../c",
            "https://api.example/a%7eb/%63",
            "https://api.example/a~b/c/",
        ] {
            assert!(matches(htu, &["https://api.example"], "/a~b/c", false), "{htu}");
        }
        assert!(matches("https://api.example", &["https://api.example"], "/", false));
        assert!(matches("https://api.example/%2f", &["https://api.example"], "/%2F", false));
    }

    /// T2.6: another scheme, host, port or path is not the target.
    #[test]
    fn rejects_another_scheme_host_port_or_path() {
        for htu in [
            "http://api.example/items",
            "https://api.example:8443/items",
            "https://other.example/items",
            "https://api.example/prefix/items",
            "https://api.example/Items",
            "https://api.example/items%2F",
            "wss://api.example/items",
            "/items",
            "items",
            "",
        ] {
            assert!(!matches(htu, &["https://api.example"], "/items", false), "{htu}");
        }
    }

    #[test]
    fn rejects_a_query_a_fragment_and_user_information() {
        for suffix in ["?", "?a=b", "#", "#a"] {
            let htu = format!("https://api.example/items{suffix}");
            assert!(!matches(&htu, &["https://api.example"], "/items", false), "{htu}");
        }
        assert!(!matches("https://me@api.example/items", &["https://api.example"], "/items", false));
        assert!(!matches("https://api.example\\items", &["https://api.example"], "/items", false));
        assert!(!matches("https://api.exa\tmple/items", &["https://api.example"], "/items", false));
    }

    #[test]
    fn accepts_wss_for_the_handshake_of_a_websocket_only() {
        assert!(matches("wss://api.example/live", &["https://api.example"], "/live", true));
        assert!(matches("https://api.example/live", &["https://api.example"], "/live", true));
        assert!(!matches("ws://api.example/live", &["https://api.example"], "/live", true));
    }
}
