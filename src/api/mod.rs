//! The HTTP interface of scopegate itself, a file per group of endpoints.

mod docs;
mod etag;
mod form;
pub mod health;
mod items;
pub mod openapi;
mod sample;
mod token;

pub use self::{
    docs::{SWAGGER_UI_VERSION, docs},
    items::ItemsApi,
    sample::SampleApi,
    token::TokenEndpoint,
};
