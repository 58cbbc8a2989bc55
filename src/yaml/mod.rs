//! YAML as a tree in which everything has its location, and types read from it: the ground that the configuration and the
//! kinds of providers stand on. Nothing here knows what is configured.

mod de;
mod diagnostic;
mod location;
mod parse;
mod read;
mod tree;

pub use diagnostic::{Diagnostic, Problem, nearest, one_of};
pub use location::{Document, Location, Origin};
pub use parse::parse;
pub use read::read;
pub use tree::{Entry, Node, Scalar, Step, Style, Value, path_text};
