//! Token minting, faulty issuers and the conformance suite that every provider kind passes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a failed expectation fails the test"
)]

mod cable;
mod clock;
mod conformance;
mod issuer;
mod mint;
mod postgres;
mod variants;

pub use cable::Cable;
pub use clock::{SteppedClock, TestClock};
pub use conformance::{Bench, Emulation, conforms};
pub use issuer::{Fault, Paths, Reply, Request, TestIssuer};
pub use mint::{MintKey, base64url, key_set};
pub use postgres::Postgres;
pub use variants::{BadVariant, bad_variants};
