//! The HTTP interface of scopegate itself, a file per group of endpoints.

mod docs;
pub mod openapi;

pub use self::docs::{SWAGGER_UI_VERSION, docs};
