//! The accept loop: limits, timeouts, drain, TLS.
//!
//! poem is the endpoint that is served, not the server: its own sets no header timeout, no limit on connections or
//! buffers, and spins when `accept` fails.
//!
//! ```
//! use poem::{endpoint::make_sync, Route};
//! use scopegate::server::{Bound, ListenerSettings, Shutdown};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let settings = ListenerSettings { listen: "127.0.0.1:0".parse()?, ..ListenerSettings::default() };
//! let bound = Bound::bind(&settings).await?;
//! println!("http://{}", bound.local_addr());
//!
//! let shutdown = Shutdown::new();
//! # shutdown.drain();
//! bound.serve(Route::new().at("/", make_sync(|_| "hello")), shutdown).await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accept;
mod connection;
mod descriptors;
mod drain;
mod framing;
mod listen;
mod settings;
mod socket;
mod tls;
mod vigil;

pub use accept::{BindError, Bound, Outcome};
pub use connection::Certified;
pub use descriptors::raise_descriptor_limit;
pub use drain::{Phase, Shutdown};
pub use listen::{Listen, ListenError};
pub use settings::{Limits, ListenerSettings};
pub use tls::{AuthorityError, TlsError, TlsSettings};

#[cfg(test)]
mod tests;
