//! Verification from outside: tokens in, principals or rejections out.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed expectation fails the test"
)]

mod desk;
mod differential;
mod fixtures;
mod good;
mod hostile;
mod introspection;
mod properties;
mod real_world;
