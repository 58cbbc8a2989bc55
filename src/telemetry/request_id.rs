//! The id of a request, which log lines, responses and upstreams share.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// The id of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Returns the id as a header's value.
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// A source of ids. It keeps a harmless id that a trusted proxy has sent.
#[derive(Debug)]
pub struct RequestIds {
    /// The first digits, of the process.
    process: [u8; 16],
    next: AtomicU64,
}

impl RequestIds {
    /// Creates a source whose ids no other process creates.
    pub fn new() -> Self {
        Self {
            process: hexadecimal(ahash::RandomState::new().hash_one(std::process::id())),
            next: AtomicU64::new(0),
        }
    }

    /// Returns the id of a request that a trusted proxy sent with `given`.
    pub fn of(&self, given: Option<&HeaderValue>) -> RequestId {
        given.filter(|value| harmless(value)).cloned().map_or_else(|| self.make(), RequestId)
    }

    fn make(&self) -> RequestId {
        let mut id = [0; 32];
        let (process, number) = id.split_at_mut(16);
        process.copy_from_slice(&self.process);
        number.copy_from_slice(&hexadecimal(self.next.fetch_add(1, Ordering::Relaxed)));
        RequestId(HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("-")))
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the digits of a number.
fn hexadecimal(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    let [high, low] = [number >> 32, number & 0xFFFF_FFFF].map(eight_digits);
    digits.iter_mut().zip(high.into_iter().chain(low)).for_each(|(digit, value)| *digit = value);
    digits
}

/// Returns the digits of a number of 32 bits: four bits to a byte, all at once.
const fn eight_digits(number: u64) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let pairs = (number << 16 | number) & 0x0000_FFFF_0000_FFFF;
    let bytes = (pairs << 8 | pairs) & 0x00FF_00FF_00FF_00FF;
    let values = (bytes << 4 | bytes) & (0x0F * ONES);
    // One for each value that is written as a letter.
    let letters = (values + 6 * ONES) >> 4 & ONES;
    (values + b'0' as u64 * ONES + letters * (b'a' - b'9' - 1) as u64).to_be_bytes()
}

fn harmless(value: &HeaderValue) -> bool {
    (1..=128).contains(&value.len()) && value.as_bytes().iter().all(|byte| is_harmless(*byte))
}

/// Returns `true` if a byte cannot end a word or a line of the log.
fn is_harmless(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte)
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
        let ids = RequestIds { process: hexadecimal(0x00ab_cdef_0123_4567), next: AtomicU64::new(0x1f) };
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
