//! Errors of OpenAPI documents.

use scopegate_provider::{ByteSize, HttpError, ScopeError};

/// An OpenAPI document from which no routes can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Not the URL of a document.
    #[error("expected a file, or an `https` URL without user name, query and fragment")]
    Url,
    /// The document cannot be fetched.
    #[error("cannot fetch the document: {0}")]
    Http(HttpError),
    /// The server answers with another status than 200.
    #[error("cannot fetch the document: expected the status 200, found {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The system gives no thread, or no certificates, to fetch it with.
    #[error("cannot fetch the document: {detail}")]
    Client {
        /// The system's message.
        detail: String,
    },
    /// It is not UTF-8.
    #[error("expected an OpenAPI document as JSON or YAML in UTF-8, found another encoding")]
    NotUtf8,
    /// Another version of OpenAPI, or no OpenAPI at all.
    #[error("expected `openapi: 3.0.x` or `3.1.x`, found {found}")]
    Version {
        /// The text that was found.
        found: String,
    },
    /// Something of another type than OpenAPI has there.
    #[error("expected {expected} here")]
    Shape {
        /// The expected value.
        expected: &'static str,
    },
    /// A reference whose fragment is not a JSON Pointer.
    #[error(
        "expected a reference such as `#/components/pathItems/items` or `items.yaml#/get`, found `{found}`"
    )]
    Reference {
        /// The reference.
        found: String,
    },
    /// A reference to something that is not there.
    #[error("the reference `{found}` leads nowhere: there is no `{missing}`")]
    ReferenceLeadsNowhere {
        /// The reference.
        found: String,
        /// The part of its pointer that is missing.
        missing: String,
    },
    /// A reference that leads back to itself.
    #[error("the reference `{found}` leads back to itself")]
    ReferenceCycle {
        /// The reference.
        found: String,
    },
    /// A reference to something other than a file beside the document.
    #[error(
        "a reference to `{found}` is not followed: only files with a relative path are, from a document that is a file \
         itself; bundle the document into one file"
    )]
    ReferenceOutside {
        /// The document that it names.
        found: String,
    },
    /// A reference to a file that cannot be read.
    #[error("cannot read `{path}`, to which this refers: {detail}")]
    ReferenceFile {
        /// The file.
        path: String,
        /// The system's or the parser's message.
        detail: String,
    },
    /// A key beside `$ref` that would be lost.
    #[error("expected either `$ref` or `{key}`, found both; OpenAPI does not say which of them holds")]
    BesideReference {
        /// The key.
        key: String,
    },
    /// A key that looks like one that a rule is made of.
    #[error("unknown key `{found}`{}; below it nothing is read", meant(nearest.as_deref()))]
    UnknownKey {
        /// The key.
        found: String,
        /// The known key that is written most alike.
        nearest: Option<String>,
    },
    /// A scheme that stands for the tokens of no provider.
    #[error("an empty list stands for no token: name at least one provider")]
    EmptyScheme,
    /// The document is longer than is read.
    #[error("the document is longer than {limit}; write a larger `max_size` beside it, such as `{advice}`")]
    TooLarge {
        /// The limit.
        limit: ByteSize,
        /// A larger limit.
        advice: ByteSize,
    },
    /// A path that no request can have.
    #[error(
        "expected a path that begins with `/`, without `*`, `?` and `#`, found `{found}`; a query takes no part in a \
         decision: write the operations of this path in `leave_out`, and a route for the path without it"
    )]
    Path {
        /// The text that was found.
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
    /// A server whose path depends on a variable or on the document's own URL.
    #[error("the path of the server `{found}` is not known; write `base_path` beside the document")]
    Server {
        /// The server's URL.
        found: String,
    },
    /// Not a base path.
    #[error("expected a path of literal segments such as `/orders`, or `/`, found `{found}`")]
    BasePath {
        /// The text that was found.
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
        "no supported security scheme: only tokens are checked, those of `oauth2`, `openIdConnect` and `http` with `bearer`; \
         name the providers whose tokens take the place of another scheme in `schemes`, or write the operation in \
         `leave_out`, and a route for it"
    )]
    NoToken,
    /// A token of two providers at once.
    #[error(
        "no caller could satisfy this: no token is of all the providers that its security schemes stand for"
    )]
    NoProvider,
    /// Not a scope.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// An operation that is not there.
    #[error(
        "there is no operation `{found}`{}; write `METHOD /path` as the document does, or a pattern such as `/internal/**`",
        meant(nearest.as_deref())
    )]
    NoSuchOperation {
        /// The text that was found.
        found: String,
        /// The operation that is written most alike.
        nearest: Option<String>,
    },
    /// An operation that is said to be public and is not.
    #[error("`{operation}` is not public: it requires a token, or `leave_out` names it")]
    NotPublic {
        /// The operation.
        operation: String,
    },
    /// Scopes that a caller without any token would pass by.
    #[error("this names scopes and lets callers in without a token; leave out the fallback or the scopes")]
    ScopesAndFallback,
    /// An operation that nothing decides.
    #[error(
        "`{operation}` has no rule: it declares no security and no route decides it, so its requests are denied; {hint}"
    )]
    NoRule {
        /// The operation.
        operation: String,
        /// The advice.
        hint: &'static str,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}
