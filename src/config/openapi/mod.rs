//! Routes from OpenAPI documents (`policy_from`) and from poem-openapi's services: one for each operation, which requires
//! what the operation's `security` names.
//!
//! The entries of `security` are alternatives; the schemes in one entry are required together. `security: []`, or an
//! empty entry alone, needs no token; an empty entry beside others makes the token optional. An operation for which
//! neither it nor the document declares security gets the route that `undeclared` says; without it, no route, and so its
//! requests are denied unless another route permits them.

mod access;
mod document;
mod fetch;
mod item;
mod operation;
mod paths;
mod references;
mod selection;
mod service;

pub use self::service::Operations;
pub(super) use self::{
    item::import,
    operation::{Imported, LeftOut, Operation},
};
