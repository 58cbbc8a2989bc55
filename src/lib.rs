//! scopegate: one auth server in front of any API.
//!
//! A row uses the rows below it, never its own row or above:
//!
//! ```text
//! main → cli → app → api, runtime → config → gate, providers → upstream, authenticator, problem → policy,
//!      store → reason → auth0, okta, dev → oidc → sdk
//! ```

#![cfg_attr(
    not(feature = "server"),
    expect(dead_code, reason = "what the fronts share holds parts that only those of the server use")
)]

#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod app;
pub mod authenticator;
#[cfg(feature = "server")]
pub mod cli;
pub mod config;
pub mod gate;
#[cfg(feature = "server")]
mod grpc;
pub mod manual;
pub mod policy;
pub mod problem;
pub mod providers;
pub mod reason;
pub mod runtime;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod testing;
pub mod upstream;
pub mod yaml;

pub use config::Operations;
#[cfg(feature = "tower")]
pub use gate::tower;
pub use gate::{Caller, Gate, Principal};
pub use runtime::{GateBuildError, GateBuilder};
