//! The host of a target: lower case, without port and final dot.

use std::net::Ipv6Addr;

/// Errors of the authority of a request or the host of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is nothing.
    #[error("expected a host, found nothing")]
    Empty,
    /// `user@` (RFC 3986, section 3.2.1), which has no place in HTTP (RFC 9110, section 4.2.4).
    #[error("a host may not be preceded by user information (`user@`)")]
    UserInfo,
    /// A name outside of letters, digits, `-`, `_` and `.`, or with an empty or too long label.
    #[error("expected a host name, an IPv4 address or an IPv6 address in brackets")]
    Grammar,
    /// The text behind the host's colon is not a port.
    #[error("expected a port between 0 and 65535 after the host's `:`")]
    Port,
}

/// The longest host name (RFC 1035, section 3.1).
const MAX_NAME: usize = 253;
/// The longest label of one (RFC 1035, section 3.1).
const MAX_LABEL: usize = 63;

/// The host of an authority (`host[:port]`), and its port.
pub(super) fn parse_authority(authority: &[u8]) -> Result<(Box<str>, Option<u16>), HostError> {
    if authority.contains(&b'@') {
        return Err(HostError::UserInfo);
    }
    let authority = std::str::from_utf8(authority).map_err(|_| HostError::Grammar)?;
    let (host, port) = split_port(authority)?;
    Ok((parse_host(host)?, port.map(parse_port).transpose()?))
}

/// The normal form of a host without a port.
pub(super) fn parse_host(host: &str) -> Result<Box<str>, HostError> {
    if let Some(literal) = host.strip_prefix('[') {
        let address = literal.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address.map(|address| format!("[{address}]").into()).ok_or(HostError::Grammar);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() {
        return Err(if host.is_empty() { HostError::Empty } else { HostError::Grammar });
    }
    if name.len() > MAX_NAME || !name.as_bytes().split(|byte| *byte == b'.').all(is_label) {
        return Err(HostError::Grammar);
    }
    let mut name: Box<str> = name.into();
    name.make_ascii_lowercase();
    Ok(name)
}

fn is_label(label: &[u8]) -> bool {
    !label.is_empty() && label.len() <= MAX_LABEL && label.iter().all(|byte| in_label(*byte))
}

fn in_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), HostError> {
    let Some(end) = authority.strip_prefix('[').and_then(|rest| rest.find(']')) else {
        return Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))));
    };
    let (host, rest) = authority.split_at_checked(end + 2).ok_or(HostError::Grammar)?;
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(HostError::Grammar),
    }
}

fn parse_port(port: &str) -> Result<u16, HostError> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|_| digits).ok_or(HostError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(authority: &str) -> Result<Box<str>, HostError> {
        parse_authority(authority.as_bytes()).map(|(host, _)| host)
    }

    #[test]
    fn invariant_5_a_host_is_lower_case_without_port_and_final_dot() {
        for authority in ["api.example.com", "API.Example.COM", "api.example.com.", "Api.example.com.:8443"] {
            assert_eq!(host(authority).as_deref(), Ok("api.example.com"), "{authority}");
        }
    }

    #[test]
    fn invariant_5_user_information_before_a_host_is_refused() {
        assert_eq!(host("admin@api.example.com"), Err(HostError::UserInfo));
        assert_eq!(host("@api.example.com"), Err(HostError::UserInfo));
    }

    #[test]
    fn an_ipv6_address_has_one_form() {
        assert_eq!(host("[::1]:80").as_deref(), Ok("[::1]"));
        assert_eq!(host("[0:0:0:0:0:0:0:1]").as_deref(), Ok("[::1]"));
        assert_eq!(host("[::FFFF:127.0.0.1]").as_deref(), Ok("[::ffff:127.0.0.1]"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [".", "a..b", "a b", "a/b", "a,b", "a%2eb", "ä.example", "[::1", "[::1]x", "[v1.x]"] {
            assert_eq!(host(bad), Err(HostError::Grammar), "{bad}");
        }
        assert_eq!(host(""), Err(HostError::Empty));
        assert_eq!(host("::1]"), Err(HostError::Empty));
        assert_eq!(host(&"a".repeat(64)), Err(HostError::Grammar));
        assert_eq!(host(&"a.".repeat(200)), Err(HostError::Grammar));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for bad in ["a:", "a:x", "a:+80", "a:65536", "a:80:80", "[::1]:"] {
            assert_eq!(host(bad), Err(HostError::Port), "{bad}");
        }
    }
}
