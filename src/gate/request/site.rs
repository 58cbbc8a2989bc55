//! The site that a request comes from, as browsers report it.

use http::{HeaderMap, HeaderName, HeaderValue, header::ORIGIN};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns `true` if a browser says that a page of this very origin makes the request: `Sec-Fetch-Site` of the Fetch
/// metadata specification, or else an `Origin` that names `authority`, the host and port that the request is for.
pub(crate) fn is_same_origin(headers: &HeaderMap, authority: Option<&[u8]>) -> bool {
    if headers.contains_key(&SEC_FETCH_SITE) {
        return one(headers, &SEC_FETCH_SITE).is_some_and(|site| site == "same-origin");
    }
    let origin = one(headers, &ORIGIN).and_then(|origin| origin.to_str().ok());
    let Some((scheme, host)) = origin.and_then(|origin| origin.split_once("://")) else { return false };
    // Browsers leave the port of the scheme out, and some proxies do not.
    let port: &[u8] = if scheme == "https" { b":443" } else { b":80" };
    authority.is_some_and(|authority| {
        authority.strip_suffix(port).unwrap_or(authority).eq_ignore_ascii_case(host.as_bytes())
    })
}

/// Returns the value of a header that occurs exactly once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        is_same_origin(&headers, Some(b"a.example:8443"))
    }

    #[test]
    fn only_pages_of_the_same_scheme_host_and_port_are_of_the_same_origin() {
        assert!(is_same(&[("sec-fetch-site", "same-origin")]));
        assert!(is_same(&[("origin", "https://a.example:8443")]));
        for other in
            ["https://a.example", "https://b.example:8443", "null", "https://a.example:8443.evil.example"]
        {
            assert!(!is_same(&[("origin", other)]), "{other}");
        }
        for site in ["same-site", "cross-site", "none", ""] {
            assert!(!is_same(&[("sec-fetch-site", site), ("origin", "https://a.example:8443")]), "{site}");
        }
        assert!(!is_same(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]));
        assert!(!is_same(&[]));
    }

    #[test]
    fn the_port_of_the_scheme_may_be_left_out() {
        let headers: HeaderMap =
            [(ORIGIN, HeaderValue::from_static("https://a.example"))].into_iter().collect();
        assert!(is_same_origin(&headers, Some(b"a.example:443")));
        assert!(is_same_origin(&headers, Some(b"A.example")));
        assert!(!is_same_origin(&headers, Some(b"a.example:80")));
        assert!(!is_same_origin(&headers, None));
    }
}
