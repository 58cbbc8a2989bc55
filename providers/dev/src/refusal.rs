//! Why the issuer refuses a request.

use scopegate_oidc::SignerError;

/// A request that is refused (RFC 6749, section 5.2). Each dialect has its own words and statuses for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The body is no form.
    NotAForm,
    /// The body is too long.
    TooLong,
    /// A parameter is missing.
    MissingParameter { name: &'static str },
    /// A parameter is there twice.
    RepeatedParameter { name: String },
    /// A fault that is not on the menu.
    UnknownFault { found: String },
    /// The client shows who it is twice, or as two clients.
    TwoAuthentications,
    /// The client does not show who it is.
    NoCredentials,
    /// No such client, or a wrong secret.
    WrongCredentials,
    /// A grant type other than client credentials.
    UnsupportedGrant { found: String },
    /// `scope` is no list of scopes.
    MalformedScope,
    /// No `scope`, and nothing that stands in for it.
    MissingScope,
    /// Scopes that no client may have.
    UnknownScope { scopes: String },
    /// Scopes that this client may not have.
    UngrantedScope { scopes: String },
    /// An API that tokens are not issued for.
    UnknownAudience { found: String },
    /// The token is another client's.
    AnotherClientsToken,
    /// There is no key to sign with.
    NoKey(SignerError),
    /// No random bytes could be had.
    NoRandomness,
}

impl Refusal {
    /// Returns the description of the refusal.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::NotAForm => "expected a body of type application/x-www-form-urlencoded".to_owned(),
            Self::TooLong => "the body is too long".to_owned(),
            Self::MissingParameter { name } => format!("the parameter {name} is missing"),
            Self::RepeatedParameter { name } => format!("the parameter {name} is there twice"),
            Self::UnknownFault { found } => {
                let menu: Vec<&str> = crate::Fault::ALL.iter().map(|fault| fault.as_str()).collect();
                format!("there is no fault {found}; there are: {}", menu.join(", "))
            }
            Self::TwoAuthentications => "the client authenticates in more than one way".to_owned(),
            Self::NoCredentials => "client authentication is missing".to_owned(),
            Self::WrongCredentials => "client authentication failed".to_owned(),
            Self::UnsupportedGrant { found } => {
                format!("expected the grant type client_credentials, found {found}")
            }
            Self::MalformedScope => "scope is not a list of scopes".to_owned(),
            Self::MissingScope => "the parameter scope is missing".to_owned(),
            Self::UnknownScope { scopes } => format!("no client may have: {scopes}"),
            Self::UngrantedScope { scopes } => format!("this client may not have: {scopes}"),
            Self::UnknownAudience { found } => format!("tokens are not issued for {found}"),
            Self::AnotherClientsToken => "the token was issued to another client".to_owned(),
            Self::NoKey(error) => error.to_string(),
            Self::NoRandomness => "no random bytes could be had".to_owned(),
        }
    }

    /// The error code (RFC 6749, section 5.2; RFC 8707, section 2, for the audience).
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotAForm
            | Self::TooLong
            | Self::MissingParameter { .. }
            | Self::RepeatedParameter { .. }
            | Self::UnknownFault { .. }
            | Self::TwoAuthentications => "invalid_request",
            Self::NoCredentials | Self::WrongCredentials => "invalid_client",
            Self::UnsupportedGrant { .. } => "unsupported_grant_type",
            Self::MalformedScope
            | Self::MissingScope
            | Self::UnknownScope { .. }
            | Self::UngrantedScope { .. } => "invalid_scope",
            Self::UnknownAudience { .. } => "invalid_target",
            Self::AnotherClientsToken => "unauthorized_client",
            Self::NoKey(_) | Self::NoRandomness => "server_error",
        }
    }

    /// The status that goes with it.
    pub(crate) fn status(&self) -> http::StatusCode {
        match self {
            Self::NoCredentials | Self::WrongCredentials => http::StatusCode::UNAUTHORIZED,
            Self::TooLong => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoKey(_) | Self::NoRandomness => http::StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotAForm
            | Self::MissingParameter { .. }
            | Self::RepeatedParameter { .. }
            | Self::UnknownFault { .. }
            | Self::TwoAuthentications
            | Self::UnsupportedGrant { .. }
            | Self::MalformedScope
            | Self::MissingScope
            | Self::UnknownScope { .. }
            | Self::UngrantedScope { .. }
            | Self::UnknownAudience { .. }
            | Self::AnotherClientsToken => http::StatusCode::BAD_REQUEST,
        }
    }
}
