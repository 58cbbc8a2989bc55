//! Nonces that need no memory: a period of time and its HMAC (RFC 9449, section 9).

use std::{fmt, time::Duration};

use aws_lc_rs::{
    constant_time, hmac,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate_provider::Timestamp;

/// The time for which a nonce is issued. It is accepted for as long again.
const PERIOD: Duration = Duration::from_mins(5);

/// The longest nonce that is looked at: eight bytes and an HMAC in base64url have 54 characters.
const LENGTH: usize = 54;

/// Issues nonces and recognizes them. Nodes with one key accept each other's.
pub struct Nonces(hmac::Key);

impl Nonces {
    /// Derives the key from a secret that all nodes share.
    pub fn shared(secret: &[u8]) -> Self {
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"scopegate DPoP nonce 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// Makes a key that only this process has; `None` if the system's random number generator fails.
    pub fn of_this_process() -> Option<Self> {
        let mut secret = [0; 32];
        SystemRandom::new().fill(&mut secret).ok()?;
        Some(Self::shared(&secret))
    }

    /// Returns the nonce of the current period.
    pub(super) fn issue(&self, now: Timestamp) -> Box<str> {
        self.of_period(period(now)).into()
    }

    /// Returns `true` for the nonces of the current and the last period.
    pub(super) fn accepts(&self, nonce: &str, now: Timestamp) -> bool {
        let current = period(now);
        nonce.len() == LENGTH
            && [current, current.saturating_sub(1)].into_iter().any(|period| {
                let expected = self.of_period(period);
                constant_time::verify_slices_are_equal(expected.as_bytes(), nonce.as_bytes()).is_ok()
            })
    }

    fn of_period(&self, period: u64) -> String {
        let period = period.to_be_bytes();
        let tag = hmac::sign(&self.0, &period);
        URL_SAFE_NO_PAD.encode([&period, tag.as_ref()].concat())
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces").finish_non_exhaustive()
    }
}

fn period(now: Timestamp) -> u64 {
    u64::try_from(now.seconds()).unwrap_or(0) / PERIOD.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_796_000_000);

    #[test]
    fn accepts_a_nonce_for_the_period_after_its_own() {
        let nonces = Nonces::shared(b"secret");
        let nonce = nonces.issue(NOW);
        assert_eq!(nonce.len(), LENGTH);
        assert!(nonces.accepts(&nonce, NOW) && nonces.accepts(&nonce, NOW + PERIOD));
        assert!(!nonces.accepts(&nonce, NOW + PERIOD * 2));
    }

    #[test]
    fn nodes_with_one_secret_accept_each_others_nonces() {
        let nonce = Nonces::shared(b"secret").issue(NOW);
        assert!(Nonces::shared(b"secret").accepts(&nonce, NOW));
        assert!(!Nonces::shared(b"other").accepts(&nonce, NOW));
        assert!(!Nonces::of_this_process().unwrap().accepts(&nonce, NOW));
    }

    #[test]
    fn rejects_a_nonce_that_was_changed() {
        let nonces = Nonces::shared(b"secret");
        let nonce = nonces.issue(NOW);
        for changed in
            [String::new(), nonce.to_uppercase(), format!("{nonce}A"), nonce.replace('_', "-") + "x"]
        {
            assert!(!nonces.accepts(&changed, NOW), "{changed}");
        }
    }
}
