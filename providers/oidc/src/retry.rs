//! Waits between attempts at a provider.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use http::HeaderMap;
use scopegate_provider::Timestamp;

/// The longest wait that a provider can impose, so that a header cannot put it out of use.
const LONGEST: Duration = Duration::from_mins(10);

/// The shortest wait.
const SHORTEST: Duration = Duration::from_secs(1);

/// Returns the wait in `Retry-After` (RFC 9110, section 10.2.3), in seconds; a date is passed over.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(SHORTEST, LONGEST))
}

/// Returns the same, or else the wait until `X-RateLimit-Reset` (Auth0) or `X-Rate-Limit-Reset` (Okta), in seconds since
/// 1970. A limit of 0 is Okta's limit of concurrent requests, for which the moment means nothing.
pub(crate) fn asked_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    if let Some(wait) = retry_after(headers) {
        return Some(wait);
    }
    let limit = number(headers, "x-ratelimit-limit").or(number(headers, "x-rate-limit-limit"))?;
    let reset = number(headers, "x-ratelimit-reset").or(number(headers, "x-rate-limit-reset"))?;
    (limit > 0).then(|| Timestamp::from_seconds(reset).since(now).clamp(SHORTEST, LONGEST))
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Returns the wait before attempt number `failures + 1`: 1, 2, 4 … seconds up to `longest`, each made shorter by up to a half at
/// random, so that many nodes do not ask at once.
pub(crate) fn back_off(failures: u32, longest: Duration) -> Duration {
    let doubled = Duration::from_secs(1_u64 << failures.saturating_sub(1).min(16));
    shorten(doubled.min(longest), 0.5)
}

/// Returns `duration` made shorter by up to `share` of it, at random.
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
        assert_eq!(with("0"), Some(SHORTEST));
        assert_eq!(with("soon"), None);
    }

    fn recorded(envelope: &str) -> Option<Duration> {
        let envelope: serde_json::Value = serde_json::from_str(envelope).unwrap();
        let headers = envelope["headers"].as_object().unwrap().iter();
        let headers =
            headers.map(|(name, value)| (name.parse().unwrap(), value.as_str().unwrap().parse().unwrap()));
        asked_wait(&headers.collect::<HeaderMap>(), Timestamp::from_seconds(1_790_000_000))
    }

    #[test]
    fn recorded_throttling_says_how_long_to_wait() {
        let seconds = |envelope| recorded(envelope).map(|wait| wait.as_secs());
        assert_eq!(seconds(include_str!("../tests/data/fixtures/auth0/error-429-jwks.json")), Some(1));
        assert_eq!(seconds(include_str!("../tests/data/fixtures/auth0/error-429-m2m-quota.json")), Some(600));
        assert_eq!(seconds(include_str!("../tests/data/fixtures/okta/error-429.json")), Some(42));
        assert_eq!(seconds(include_str!("../tests/data/fixtures/okta/error-429-concurrency.json")), None);
    }

    proptest! {
        #[test]
        fn a_wait_is_between_half_of_it_and_its_limit(failures in 0_u32..100) {
            let wait = back_off(failures, Duration::from_mins(1));
            prop_assert!(wait >= Duration::from_millis(500) && wait <= Duration::from_mins(1));
        }
    }
}
