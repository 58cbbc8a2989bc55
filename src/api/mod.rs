//! The HTTP interface of scopegate itself, a file per group of endpoints.

pub mod admin;
mod body;
mod docs;
mod etag;
mod form;
pub mod grpc_health;
pub mod health;
mod introspect;
mod items;
pub mod openapi;
mod revoke;
mod sample;
mod signals;
mod token;
mod tries;
pub mod well_known;
pub(crate) mod withdraw;

pub use self::{
    body::{bounded, bounded_administration},
    docs::{SWAGGER_UI_VERSION, docs},
    introspect::IntrospectEndpoint,
    items::ItemsApi,
    revoke::RevokeEndpoint,
    sample::SampleApi,
    signals::{BackchannelLogout, EventStreams, SeenSignals, SharedSignalsPush, SignalServices},
    token::TokenEndpoint,
    tries::Tries,
};
