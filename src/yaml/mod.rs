//! YAML as a tree in which every value has its location, and types read from it. The configuration and the kinds of
//! providers use it; it knows nothing of either.

mod de;
mod diagnostic;
mod hints;
mod json;
mod location;
mod parse;
mod placeholder;
mod read;
mod secrecy;
mod tree;

pub use diagnostic::{Diagnostic, Problem, nearest, one_of};
pub use json::from_json;
pub use location::{Document, Location, Origin};
pub use parse::parse;
pub use placeholder::placeholder;
pub use read::read;
pub use secrecy::may_hold_secret;
pub use tree::{Entry, Node, Scalar, Step, Style, Value, path_text};
