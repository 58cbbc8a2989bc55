//! What the tests start and ask.

mod client;
mod program;

pub(crate) use client::{Answer, Client};
pub(crate) use program::{Run, Server, run};
