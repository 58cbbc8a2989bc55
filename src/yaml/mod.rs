//! YAML as a tree in which everything has its place, and types read from it: the ground that the configuration and the
//! kinds of providers stand on. Nothing here knows what is configured.

mod de;
mod fault;
mod parse;
mod place;
mod read;
mod tree;

pub use fault::{Fault, Problem, nearest, one_of};
pub use parse::parse;
pub use place::{Document, Origin, Place};
pub use read::read;
pub use tree::{Entry, Node, Scalar, Step, Style, Value, path_text};
