//! The provider against issuers on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation fails the test")]

mod provider {
    mod harness;
    mod keys;
    mod verification;
}
