//! The gate as a reverse proxy: permitted requests are sent to the upstream of their route.

mod endpoint;
mod forwarded;
mod headers;
mod stream_guard;

pub(crate) use self::endpoint::{ProxyEndpoint, ProxySettings};
pub use self::stream_guard::{StreamEnd, StreamGuard};
