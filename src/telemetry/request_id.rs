//! The id of a request, by which log lines, responses and upstreams speak of the same one.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// The id of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id as a header's value.
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Makes ids: those that a caller brings are kept where they are harmless.
#[derive(Debug)]
pub struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Ids that no other process makes.
    pub fn new() -> Self {
        Self { process: ahash::RandomState::new().hash_one(std::process::id()), next: AtomicU64::new(0) }
    }

    /// The id of a request that brought `given`.
    pub fn of(&self, given: Option<&HeaderValue>) -> RequestId {
        given.filter(|value| harmless(value)).cloned().map_or_else(|| self.make(), RequestId)
    }

    fn make(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = u128::from(self.process) << 64 | u128::from(number);
        let digits: [u8; 32] = std::array::from_fn(|at| digit(id >> (124 - at * 4)));
        RequestId(HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("-")))
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

/// The last hexadecimal digit of a number.
fn digit(number: u128) -> u8 {
    match (number & 0xF) as u8 {
        small @ 0..=9 => b'0' + small,
        large => b'a' - 10 + large,
    }
}

fn harmless(value: &HeaderValue) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=128).contains(&value.len()) && value.as_bytes().iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harmless_id_of_the_caller_is_kept() {
        let given = HeaderValue::from_static("3f2b-4c");
        assert_eq!(RequestIds::new().of(Some(&given)).as_str(), "3f2b-4c");
    }

    #[test]
    fn an_id_is_of_hexadecimal_digits() {
        let ids = RequestIds { process: 0x00ab_cdef_0123_4567, next: AtomicU64::new(0x1f) };
        assert_eq!(ids.of(None).as_str(), "00abcdef01234567000000000000001f");
    }

    #[test]
    fn an_id_that_could_forge_a_log_line_is_replaced() {
        let ids = RequestIds::new();
        for given in ["a b", "a\"b", "", &"a".repeat(129)] {
            let value = HeaderValue::from_str(given).unwrap();
            assert_ne!(ids.of(Some(&value)).as_str(), given);
        }
    }

    #[test]
    fn two_requests_have_two_ids() {
        let ids = RequestIds::new();
        assert_ne!(ids.of(None), ids.of(None));
    }
}
