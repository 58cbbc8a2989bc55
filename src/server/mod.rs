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

#[cfg(feature = "server")]
mod accept;
#[cfg(feature = "server")]
mod alarm;
#[cfg(feature = "server")]
mod connection;
#[cfg(feature = "server")]
mod descriptors;
#[cfg(feature = "server")]
mod drain;
#[cfg(feature = "server")]
mod framing;
mod listen;
mod settings;
#[cfg(feature = "server")]
mod socket;
#[cfg(feature = "server")]
mod tls;
#[cfg(feature = "server")]
mod vigil;

#[cfg(feature = "server")]
pub use accept::{BindError, Bound, Outcome};
#[cfg(feature = "server")]
pub(crate) use alarm::Alarm;
#[cfg(feature = "server")]
pub use descriptors::raise_descriptor_limit;
#[cfg(feature = "server")]
pub use drain::{Phase, Shutdown};
pub use listen::{Listen, ListenError};
pub use settings::{Certified, Limits, ListenerSettings, TlsSettings};
#[cfg(feature = "server")]
pub use tls::{AuthorityError, TlsError};

#[cfg(test)]
mod tests;
