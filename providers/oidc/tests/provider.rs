//! The provider against issuers on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation fails the test"
)]

mod provider {
    mod discovery;
    mod harness;
    mod introspection;
    mod keys;
    mod requests;
    mod secrecy;
    mod status_list;
    mod verification;
}
