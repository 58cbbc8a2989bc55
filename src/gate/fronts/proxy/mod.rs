//! The gate as a reverse proxy: permitted requests are sent to the upstream of their route.

mod endpoint;
mod forwarded;
mod headers;
mod stream_guard;
mod trailers;

pub(crate) use self::endpoint::{ProxyEndpoint, ProxySettings};
