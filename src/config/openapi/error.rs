//! Why an OpenAPI document is no policy.

use scopegate_provider::{HttpError, ScopeError};

/// Why the policy cannot be taken from an OpenAPI document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The URL of the document is none.
    #[error("expected a file, or an `https` URL without user name, query and fragment")]
    Url,
    /// The document cannot be fetched.
    #[error("cannot fetch the document: {0}")]
    Http(HttpError),
    /// The server answers otherwise.
    #[error("cannot fetch the document: expected the status 200, found {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The system gives no thread, or no certificates, to fetch it with.
    #[error("cannot fetch the document: {detail}")]
    Client {
        /// What the system said.
        detail: String,
    },
    /// It is not UTF-8.
    #[error("expected an OpenAPI document as JSON or YAML in UTF-8, found another encoding")]
    NotUtf8,
    /// Another version of OpenAPI, or no OpenAPI at all.
    #[error("expected `openapi: 3.0.x` or `3.1.x`, found {found}")]
    Version {
        /// What was found.
        found: String,
    },
    /// Something of another type than OpenAPI has there.
    #[error("expected {expected} here")]
    Shape {
        /// What was expected.
        expected: &'static str,
    },
    /// A reference that leads out of the document, or nowhere.
    #[error(
        "expected a reference to something in this document, such as `#/components/pathItems/items`, found `{found}`"
    )]
    Reference {
        /// The reference.
        found: String,
    },
    /// A path that is none.
    #[error("expected a path that begins with `/`, without `*`, query and fragment, found `{found}`")]
    Path {
        /// What was found.
        found: String,
    },
    /// A template that is not a whole segment.
    #[error(
        "`{found}`: a template must be a whole segment, as in `/items/{{id}}`; write the operations of this path in \
         `leave_out`, and a route for them"
    )]
    Template {
        /// The segment.
        found: String,
    },
    /// A server whose path cannot be told.
    #[error("the path of the server `{found}` cannot be told; write `base_path` beside the document")]
    Server {
        /// The server's URL.
        found: String,
    },
    /// A base path that is none.
    #[error("expected a path of literal segments such as `/orders`, or `/`, found `{found}`")]
    BasePath {
        /// What was found.
        found: String,
    },
    /// A security scheme that the document does not define.
    #[error("the document has no security scheme `{found}` under `components.securitySchemes`")]
    UnknownScheme {
        /// The scheme.
        found: String,
    },
    /// Security schemes of which none is of bearer tokens.
    #[error(
        "nobody could call this: of its security schemes none is `oauth2`, `openIdConnect` or `http` with `bearer`, and \
         tokens are all that is checked; write it in `leave_out`, and a route for it"
    )]
    NoToken,
    /// A token of two providers at once.
    #[error("nobody could call this: no token is of all the providers that its security schemes mean")]
    NoProvider,
    /// Not a scope.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// An operation that is not there.
    #[error("there is no operation `{found}`{}; write `METHOD /path` as the document does", meant(nearest.as_deref()))]
    NoSuchOperation {
        /// What was found.
        found: String,
        /// The operation that is written most alike.
        nearest: Option<String>,
    },
    /// An operation that is said to be public and is not.
    #[error("`{operation}` asks for a token, so it is not public")]
    NotPublic {
        /// The operation.
        operation: String,
    },
    /// Scopes that a caller without any token would pass by.
    #[error("this names scopes and lets callers in without a token; leave out the fallback or the scopes")]
    ScopesAndFallback,
    /// An operation that nothing decides.
    #[error(
        "`{operation}` has no rule: it declares no security and no route decides it, so it would be refused; {hint}"
    )]
    NoRule {
        /// The operation.
        operation: String,
        /// What to write instead.
        hint: &'static str,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}
