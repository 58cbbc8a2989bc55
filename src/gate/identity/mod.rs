//! The caller's identity as upstreams receive it: headers, and tokens minted for them.

pub(super) mod headers;
pub(crate) mod identities;
pub mod mint;
