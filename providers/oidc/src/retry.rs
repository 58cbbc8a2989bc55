//! When to ask a provider again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use http::HeaderMap;

/// The longest wait that a provider can impose: it may not put itself out of use by a header.
const LONGEST: Duration = Duration::from_mins(10);

/// What the provider asks for in `Retry-After` (RFC 9110, section 10.2.3), in seconds; a date is passed over.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// The wait before try number `failures + 1`: 1, 2, 4 … seconds up to `longest`, each made shorter by up to a half at
/// random, so that many nodes do not ask at once.
pub(crate) fn back_off(failures: u32, longest: Duration) -> Duration {
    let doubled = Duration::from_secs(1_u64 << failures.saturating_sub(1).min(16));
    shorten(doubled.min(longest), 0.5)
}

/// `duration` made shorter by up to `share` of it, at random.
pub(crate) fn shorten(duration: Duration, share: f64) -> Duration {
    // `RandomState` is seeded by the system once a thread and differs from call to call; no secret depends on it.
    let random = RandomState::new().hash_one(0_u8) >> 40;
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit into the mantissa")]
    let fraction = random as f64 / f64::from(1_u32 << 24);
    duration.mul_f64(1.0 - share * fraction)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn with(value: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static(value));
        retry_after(&headers)
    }

    #[test]
    fn seconds_are_taken_up_to_ten_minutes() {
        assert_eq!(with("7"), Some(Duration::from_secs(7)));
        assert_eq!(with("999999"), Some(LONGEST));
        assert_eq!(with("soon"), None);
    }

    proptest! {
        #[test]
        fn a_wait_is_between_half_of_it_and_its_limit(failures in 0_u32..100) {
            let wait = back_off(failures, Duration::from_mins(1));
            prop_assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_mins(1));
        }
    }
}
