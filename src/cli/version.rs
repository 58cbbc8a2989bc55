//! The version, commit and features of this program.

#[cfg(feature = "tower")]
macro_rules! features {
    () => {
        "server, poem-openapi, tower"
    };
}

#[cfg(not(feature = "tower"))]
macro_rules! features {
    () => {
        "server, poem-openapi"
    };
}

/// The text of `scopegate --version`.
pub(super) const LONG: &str =
    concat!(env!("CARGO_PKG_VERSION"), "\ncommit   ", env!("SCOPEGATE_COMMIT"), "\nfeatures ", features!(),);
