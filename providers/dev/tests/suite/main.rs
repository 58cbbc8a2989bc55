//! The embedded issuer over real HTTP.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed expectation fails the test")]

mod auth0;
mod faults;
mod harness;
mod life;
mod okta;
mod plugins;
mod sign_in;
mod standard;
