//! The reasons for which the issuer refuses a request.

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
    /// The client authenticates twice, or as two clients.
    TwoAuthentications,
    /// The client does not authenticate.
    NoCredentials,
    /// No such client, or a wrong secret.
    WrongCredentials,
    /// A grant type other than client credentials and authorization code.
    UnsupportedGrant { found: String },
    /// A response type other than `code`.
    UnsupportedResponseType { found: String },
    /// The code challenge is not made by S256.
    ChallengeMethod,
    /// The client does not want the person to see a page.
    LoginRequired,
    /// A client that the settings do not name.
    UnknownClient { found: String },
    /// A redirect URI of another machine.
    RedirectUri { found: String },
    /// The account has none of the requested scopes.
    AccessDenied { account: String, scopes: String },
    /// The authorization code is not good for this request.
    InvalidCode,
    /// Too many codes wait to be redeemed.
    Busy,
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
    /// The system's random number generator failed.
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
                format!("expected the grant type client_credentials or authorization_code, found {found}")
            }
            Self::UnsupportedResponseType { found } => {
                format!("expected the response type code, found {found}")
            }
            Self::ChallengeMethod => "expected code_challenge_method=S256".to_owned(),
            Self::LoginRequired => "the person has to sign in, which prompt=none does not permit".to_owned(),
            Self::UnknownClient { found } => format!("there is no client {found}"),
            Self::RedirectUri { found } => {
                format!(
                    "expected a redirect_uri of this machine, such as http://127.0.0.1:8000/callback, found {found}"
                )
            }
            Self::AccessDenied { account, scopes } => format!("{account} has none of: {scopes}"),
            Self::InvalidCode => {
                "the code is unknown, used, expired, or not for this client, redirect_uri and code_verifier"
                    .to_owned()
            }
            Self::Busy => "too many sign-ins wait to be completed; try again in a minute".to_owned(),
            Self::MalformedScope => "scope is not a list of scopes".to_owned(),
            Self::MissingScope => "the parameter scope is missing".to_owned(),
            Self::UnknownScope { scopes } => format!("no client may have: {scopes}"),
            Self::UngrantedScope { scopes } => format!("this client may not have: {scopes}"),
            Self::UnknownAudience { found } => format!("tokens are not issued for {found}"),
            Self::AnotherClientsToken => "the token was issued to another client".to_owned(),
            Self::NoKey(error) => error.to_string(),
            Self::NoRandomness => "the system's random number generator failed".to_owned(),
        }
    }

    /// Returns the error code (RFC 6749, section 5.2; RFC 8707, section 2, for the audience).
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NotAForm
            | Self::TooLong
            | Self::MissingParameter { .. }
            | Self::RepeatedParameter { .. }
            | Self::UnknownFault { .. }
            | Self::TwoAuthentications
            | Self::ChallengeMethod
            | Self::UnknownClient { .. }
            | Self::RedirectUri { .. } => "invalid_request",
            Self::UnsupportedResponseType { .. } => "unsupported_response_type",
            Self::LoginRequired => "login_required",
            Self::AccessDenied { .. } => "access_denied",
            Self::InvalidCode => "invalid_grant",
            Self::Busy => "temporarily_unavailable",
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

    /// Returns the status that goes with it.
    pub(crate) fn status(&self) -> http::StatusCode {
        match self {
            Self::NoCredentials | Self::WrongCredentials => http::StatusCode::UNAUTHORIZED,
            Self::TooLong => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::NoKey(_) | Self::NoRandomness => http::StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotAForm
            | Self::MissingParameter { .. }
            | Self::RepeatedParameter { .. }
            | Self::UnknownFault { .. }
            | Self::TwoAuthentications
            | Self::UnsupportedGrant { .. }
            | Self::UnsupportedResponseType { .. }
            | Self::ChallengeMethod
            | Self::LoginRequired
            | Self::UnknownClient { .. }
            | Self::RedirectUri { .. }
            | Self::AccessDenied { .. }
            | Self::InvalidCode
            | Self::MalformedScope
            | Self::MissingScope
            | Self::UnknownScope { .. }
            | Self::UngrantedScope { .. }
            | Self::UnknownAudience { .. }
            | Self::AnotherClientsToken => http::StatusCode::BAD_REQUEST,
        }
    }
}
