//! The ways in which requests reach the gate: middleware, tower layer, forward-auth, reverse proxy, and the guard of
//! scopegate's own endpoints.

#[cfg(feature = "server")]
pub mod forward_auth;
pub(super) mod guard;
pub(super) mod middleware;
#[cfg(feature = "server")]
pub mod proxy;
#[cfg(feature = "tower")]
pub mod tower;
