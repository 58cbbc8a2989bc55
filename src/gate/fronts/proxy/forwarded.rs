//! The origin of a request as the upstream is told it.

use std::{io::Write, net::IpAddr};

use http::HeaderValue;

use crate::{gate::Origin, policy::Scheme};

/// The origin of a request, for the `X-Forwarded-…` headers that the upstream gets.
#[derive(Debug, Clone)]
pub(super) struct Forwarded {
    pub(super) client: Option<HeaderValue>,
    pub(super) scheme: Scheme,
    pub(super) host: HeaderValue,
}

impl Forwarded {
    /// Returns the origin that is believed, with the host that the caller asked for.
    pub(super) fn new(origin: &Origin<'_>, host: HeaderValue) -> Self {
        Self { client: origin.client.and_then(address), scheme: origin.scheme, host }
    }
}

/// Formats an address. This is done for each request, and most addresses are four numbers: it does without the formatting
/// machinery.
fn address(address: IpAddr) -> Option<HeaderValue> {
    let IpAddr::V4(address) = address else { return address.to_string().try_into().ok() };
    let mut text = *b"255.255.255.255";
    let mut rest = text.as_mut_slice();
    for (place, octet) in address.octets().into_iter().enumerate() {
        let digits = [b'.', b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        let zeros = usize::from(octet < 100) + usize::from(octet < 10);
        let (dot, digits) = digits.split_at(1);
        rest.write_all(if place > 0 { dot } else { b"" }).ok()?;
        rest.write_all(digits.get(zeros..)?).ok()?;
    }
    let unused = rest.len();
    HeaderValue::from_bytes(text.get(..text.len() - unused)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_addresses_like_the_standard_library() {
        for text in [
            "0.0.0.0",
            "127.0.0.1",
            "203.0.113.9",
            "10.200.30.4",
            "99.100.9.10",
            "255.255.255.255",
            "2001:db8::1",
        ] {
            assert_eq!(address(text.parse().unwrap()).unwrap(), text);
        }
    }
}
