//! Listeners: the accept loop, limits, timeouts, drain, TLS.
//!
//! The endpoint is poem's, the server is not: poem's own sets no header timeout and no limit on connections or buffers,
//! and spins when `accept` fails.
//!
//! A request passes through these files: `accept` (the listener), `connections` (a place for it), `connection` (hyper),
//! `framing` (its bytes), `exchange` (limits at the door, the endpoint), `request_body`, `response_body`.
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
mod activity;
#[cfg(feature = "server")]
mod brief;
#[cfg(feature = "server")]
mod connection;
#[cfg(feature = "server")]
mod connections;
#[cfg(feature = "server")]
mod descriptors;
#[cfg(feature = "server")]
mod drain;
#[cfg(feature = "server")]
mod exchange;
#[cfg(feature = "server")]
mod framing;
mod listen;
#[cfg(feature = "server")]
mod listening;
mod media_type;
#[cfg(feature = "server")]
mod peer;
#[cfg(feature = "server")]
mod progress;
#[cfg(feature = "server")]
mod request_body;
#[cfg(feature = "server")]
mod response_body;
#[cfg(feature = "server")]
mod sending;
mod settings;
#[cfg(feature = "server")]
mod socket;
#[cfg(feature = "server")]
mod systemd;
#[cfg(feature = "server")]
mod timer;
#[cfg(feature = "server")]
mod tls;

#[cfg(feature = "server")]
pub use accept::{BindError, Bound, Outcome};
#[cfg(feature = "server")]
pub(crate) use brief::Brief;
#[cfg(feature = "server")]
pub use descriptors::raise_descriptor_limit;
#[cfg(feature = "server")]
pub use drain::{Phase, Shutdown};
#[cfg(feature = "server")]
#[doc(hidden)]
pub use framing::{Framing, Receiving};
#[cfg(feature = "server")]
pub(crate) use listen::reachable_address;
pub use listen::{Listen, ListenError};
#[cfg(feature = "server")]
pub(crate) use media_type::{is_grpc, is_stream};
#[cfg(feature = "server")]
pub use request_body::{RequestBodyError, RequestBodyHandle};
pub use settings::{ClientCertThumbprint, ClientCertVerified, Limits, ListenerSettings, TlsSettings};
#[cfg(feature = "server")]
pub use systemd::{InheritError, InheritedSocket, InheritedSockets, Notifier, Watchdog};
#[cfg(feature = "server")]
pub(crate) use timer::Timer;
#[cfg(feature = "server")]
pub use tls::{AuthorityError, TlsError};

#[cfg(test)]
mod tests;
