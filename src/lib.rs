//! One auth server in front of any API, as a library: verifies bearer tokens of any OIDC provider, and admits a request
//! only if the rule of its route is satisfied.
//!
//! # Quick start
//!
//! A [`Gate`] is built from the same configuration as the server. Around an axum `Router`, the `Routes` of tonic or
//! another tower service:
//!
//! ```no_run
//! use axum::{Extension, Router, routing::get};
//! use scopegate::{Gate, Principal};
//!
//! async fn me(Extension(principal): Extension<Principal>) -> String {
//!     principal.scopes().to_string()
//! }
//!
//! # async fn build() -> Result<Router, scopegate::GateBuildError> {
//! let yaml = "
//!     providers: { okta: { domain: acme.okta.com, authorization_server: default, audience: 'api://default' } }
//!     scopes: { items: Read items }
//!     routes: [ { match: GET /me, require: items } ]
//! ";
//! let gate = Gate::builder().config_text(yaml).build().await?;
//! let app: Router = scopegate::tower::protect(gate, Router::new().route("/me", get(me)));
//! # Ok(app)
//! # }
//! ```
//!
//! A poem program adds the gate as a middleware: `Route::new().at("/me", me).with(gate)`. The folder `examples/` has whole
//! programs for axum, poem, poem-openapi and tonic, and one with a kind of provider of its own.
//!
//! # Features
//!
//! | feature | default | brings |
//! | --- | --- | --- |
//! | `tower` | yes | [`tower`]: the gate as a tower layer, for axum, tonic and others |
//! | `poem-openapi` | with `server` | routes from the operations of poem-openapi services ([`Operations`]) |
//! | `server` | yes | the program: listeners, proxy, forward-auth, SQLite and PostgreSQL, administration, commands |
//!
//! Without features the crate is the gate as a poem middleware, with a store in memory.
//!
//! # Modules
//!
//! Programs use the names at the root, [`config`] to load and check configurations, [`providers`] to add kinds of
//! providers, [`policy`] to decide and compare policies without a gate, and `app` with [`server`] to run a node inside
//! another program. A provider depends on the crate `scopegate-provider` alone. The [`manual`] has the rest: operations,
//! providers, proxies, threats. Modules that this page does not list belong to the program and may change at any time.
//!
//! A module uses those of the rows below it, never those of its own row or above:
//!
//! ```text
//! main → cli → app → api, runtime → config → gate, providers → upstream → server → authenticator, problem
//!      → policy, store → telemetry, yaml → reason → kinds of providers → oidc → sdk
//! ```

#![cfg_attr(
    not(feature = "server"),
    expect(dead_code, reason = "what the fronts share holds parts that only those of the server use")
)]

#[cfg(feature = "server")]
#[doc(hidden)]
pub mod api;
#[cfg(feature = "server")]
pub mod app;
#[doc(hidden)]
pub mod authenticator;
#[cfg(feature = "server")]
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod gate;
#[cfg(feature = "server")]
mod grpc;
pub mod manual;
pub mod policy;
#[doc(hidden)]
pub mod problem;
pub mod providers;
#[doc(hidden)]
pub mod reason;
#[doc(hidden)]
pub mod runtime;
pub mod server;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod testing;
#[doc(hidden)]
pub mod upstream;
#[doc(hidden)]
pub mod yaml;

pub use config::Operations;
#[cfg(feature = "tower")]
pub use gate::tower;
pub use gate::{Caller, Gate, Principal};
pub use runtime::{GateBuildError, GateBuilder};
