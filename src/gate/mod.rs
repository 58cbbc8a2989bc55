//! What enforces: `authorize(target, credentials)` and its fronts.

mod bearer;
mod principal;

pub use bearer::{BearerError, bearer};
pub use principal::{Caller, Principal};
