//! The ways in which requests reach the gate: middleware, tower layer, forward-auth, reverse proxy, and the guard of
//! scopegate's own endpoints.

pub(super) mod extract;
#[cfg(feature = "server")]
pub mod forward_auth;
pub(super) mod guard;
mod handler;
pub(super) mod middleware;
#[cfg(feature = "server")]
pub mod proxy;
mod target;
#[cfg(feature = "tower")]
pub mod tower;
