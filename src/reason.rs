//! The reasons for which scopegate refuses a request or cannot serve it: one stable vocabulary for responses, logs,
//! metrics, audit and explanations.
//!
//! [`Rejection`] and [`OutageCause`] come from the provider SDK and name their reasons themselves; each of those names is
//! one of these reasons, which a test checks. The page [reasons](crate::manual::reasons) is generated from this list.

use std::fmt;

use http::StatusCode;
use scopegate_provider::{AuthnError, Outage, OutageCause, Rejection};
use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($($variant:ident = $name:literal, $status:ident, $title:literal, $advice:literal;)*) => {
        /// The reason of a refusal or failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $(
                #[doc = concat!($title, ". ", $advice)]
                $variant,
            )*
        }

        impl Reason {
            /// Every reason, by name.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name, which never changes.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Finds the reason of this name.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// Returns the status of a response that has no other reason to differ.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// Returns a short summary, without a full stop.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// Returns a sentence on what to do.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

reasons! {
    AbsoluteForm = "absolute_form", BAD_REQUEST, "The request target is a whole URL",
        "Send the path alone, and the host in `Host`.";
    ActorNotAllowed = "actor_not_allowed", FORBIDDEN, "The rule does not allow the actor of the token",
        "Compare the token's outermost `act` with the `actor` of the rule.";
    AlgorithmNotAllowed = "algorithm_not_allowed", UNAUTHORIZED, "The token is signed with an algorithm that is not allowed",
        "Add the algorithm to the provider's `algorithms` if the provider really signs with it.";
    AmbiguousKey = "ambiguous_key", UNAUTHORIZED, "Several keys of the issuer could have signed the token",
        "Have the provider name the key (`kid`) in its tokens, or publish one key only.";
    AsteriskForm = "asterisk_form", BAD_REQUEST, "The request target is `*`",
        "Send a path.";
    AudienceMismatch = "audience_mismatch", UNAUTHORIZED, "The token is meant for another audience",
        "Request a token for the `audience` of the provider's settings, or correct that setting.";
    AudienceNotAllowed = "audience_not_allowed", UNAUTHORIZED, "The token is not meant for this route",
        "Request a token for the audience that the rule of the route names.";
    Backslash = "backslash", BAD_REQUEST, "The path contains a backslash",
        "Send a path without backslashes.";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body of the request is too long",
        "Send a shorter body.";
    ClaimMismatch = "claim_mismatch", FORBIDDEN, "A claim of the token does not have the required value",
        "Compare the claims of the token with the `claims` of the rule: `scopegate explain` shows both.";
    ClientNotAllowed = "client_not_allowed", UNAUTHORIZED, "The provider's settings do not allow the client of the token",
        "Add the client to the provider's `allowed_clients`.";
    ClientNotAllowedByRule = "client_not_allowed_by_rule", FORBIDDEN, "The rule does not allow the client of the token",
        "Add the client to the `clients` of the rule.";
    Connect = "connect", BAD_REQUEST, "The method is CONNECT",
        "Use another method: scopegate is no forward proxy.";
    ControlCharacter = "control_character", BAD_REQUEST, "The request target contains a control character",
        "Send a target without control characters.";
    CriticalHeader = "critical_header", UNAUTHORIZED, "The token requires an extension that is not supported (`crit`)",
        "Have the provider issue tokens without `crit`.";
    CrossSite = "cross_site", FORBIDDEN, "The request comes from another site",
        "Use the page of this server.";
    DeclaredInFile = "declared_in_file", CONFLICT, "The configuration file declares this",
        "Change the file instead.";
    DetailsMissing = "details_missing", FORBIDDEN, "The token lacks authorization details",
        "Request a token with the authorization details that the `details` of the rule name.";
    DotSegment = "dot_segment", BAD_REQUEST, "The path contains a `.` or `..` segment",
        "Resolve the path before sending it.";
    DuplicateMember = "duplicate_member", UNAUTHORIZED, "A member occurs twice in the token",
        "Report it to the provider: such a token can be read in two ways.";
    EncryptedToken = "encrypted_token", UNAUTHORIZED, "The token is encrypted",
        "Request a token for the audience of this API; providers encrypt tokens for their own endpoints.";
    Exists = "exists", CONFLICT, "It exists already",
        "Change or delete what exists.";
    Expired = "expired", UNAUTHORIZED, "The token has expired",
        "Get a new token; if it is new, compare the clocks.";
    ForwardedHeaders = "forwarded_headers", BAD_REQUEST, "The forwarded headers of a trusted proxy contradict each other",
        "Have the proxy set each `X-Forwarded-…` header once, in place of what the client sent.";
    Fragment = "fragment", BAD_REQUEST, "The request target contains `#`",
        "Remove the fragment; encode a literal `#` as `%23` where the route accepts that.";
    FreshnessUnavailable = "freshness_unavailable", FORBIDDEN, "The route requires a fresh answer of the provider",
        "Give the provider an introspection endpoint, or remove `fresh` from the route.";
    GroupsOmitted = "groups_omitted", FORBIDDEN, "The provider left the caller's groups out of the token",
        "Assign roles, or let the provider send only the groups that are assigned to the application.";
    HiddenRoute = "hidden_route", UNPROCESSABLE_ENTITY, "One of scopegate's own endpoints answers in place of the route",
        "Choose another path, or move scopegate's endpoints with `server.base_path`.";
    IdToken = "id_token", UNAUTHORIZED, "The token is an ID token",
        "Send the access token instead.";
    Inactive = "inactive", UNAUTHORIZED, "The provider says that the token is not active",
        "Get a new token.";
    IncompleteBody = "incomplete_body", BAD_REQUEST, "The body of the request is incomplete",
        "Send the whole body.";
    IncompleteMetadata = "incomplete_metadata", FORBIDDEN, "The proxy does not describe the request completely",
        "Compare the proxy's configuration with the one in the manual.";
    InsufficientScope = "insufficient_scope", FORBIDDEN, "The token lacks a scope",
        "Request a token with the scopes of `WWW-Authenticate`, and allow the client to have them.";
    InsufficientUserAuthentication = "insufficient_user_authentication", UNAUTHORIZED,
        "The user has to sign in again, or by stronger means",
        "Repeat the sign-in with the `acr_values` and the `max_age` of `WWW-Authenticate`.";
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, "Something failed here",
        "Look into the log for the request id.";
    IntrospectionUnavailable = "introspection_unavailable", SERVICE_UNAVAILABLE, "The provider's introspection endpoint does not answer",
        "Try again later; the log has the provider's answer.";
    InvalidClient = "invalid_client", UNAUTHORIZED, "The provider refuses the client or its secret",
        "Compare the client's id and secret with the provider's.";
    InvalidFilter = "invalid_filter", UNPROCESSABLE_ENTITY, "The filter is not valid",
        "Correct what the description names.";
    InvalidHost = "invalid_host", BAD_REQUEST, "The host is not valid",
        "Send a host name or an address in `Host`.";
    InvalidLimit = "invalid_limit", UNPROCESSABLE_ENTITY, "The limit is out of range",
        "Send a limit within the range that the description names.";
    InvalidLine = "invalid_line", UNPROCESSABLE_ENTITY, "A line of the import is not valid",
        "Correct the line that the description names.";
    InvalidMoment = "invalid_moment", UNPROCESSABLE_ENTITY, "A moment is not valid",
        "Write it as RFC 3339 does, such as 2026-11-21T12:00:00Z.";
    InvalidName = "invalid_name", UNPROCESSABLE_ENTITY, "The name is not valid",
        "Send a name that the description allows.";
    InvalidPolicy = "invalid_policy", UNPROCESSABLE_ENTITY, "The policy would not be valid",
        "Correct what the description names.";
    InvalidQuestion = "invalid_question", UNPROCESSABLE_ENTITY, "The request to explain is not valid",
        "Correct what the description names.";
    InvalidRevocation = "invalid_revocation", UNPROCESSABLE_ENTITY, "The revocation is not valid",
        "Send a token, or a provider and one of the identifiers that the description names.";
    InvalidRoute = "invalid_route", UNPROCESSABLE_ENTITY, "The route is not valid",
        "Correct what the description names.";
    InvalidScope = "invalid_scope", UNPROCESSABLE_ENTITY, "The name of the scope is not valid",
        "Use the characters that RFC 6749, section 3.3, allows.";
    InvalidToken = "invalid_token", UNPROCESSABLE_ENTITY, "The text is not a token",
        "Send the token alone, without `Bearer`.";
    InvalidClientCertificate = "invalid_client_certificate", UNAUTHORIZED, "The client certificate that a proxy forwards cannot be read",
        "Let the proxy set the header of `proof.certificate_header` once, in its format, in place of what the client sent.";
    InvalidDpopProof = "invalid_dpop_proof", UNAUTHORIZED, "The DPoP proof is missing or not accepted",
        "Make a new proof for each request, with its method, its URL, the time and the hash of the token.";
    IrregularPath = "irregular_path", BAD_REQUEST, "The path can be read in several ways",
        "Send a regular path, or let the route `accept` the irregularity that the description names.";
    IssuedInFuture = "issued_in_future", UNAUTHORIZED, "The token was issued in the future",
        "Compare the clocks of the provider and of this host.";
    IssuerMismatch = "issuer_mismatch", UNAUTHORIZED, "The issuer of the token is not the provider's",
        "Compare the token's `iss` with the provider's `issuer`, byte for byte.";
    KeyDistrusted = "key_distrusted", UNAUTHORIZED, "An administrator distrusts the key of the token",
        "Get a new token, signed with another key.";
    KeysStale = "keys_stale", SERVICE_UNAVAILABLE, "The provider's keys are too old",
        "Try again later; check that scopegate reaches the provider.";
    KeysUnavailable = "keys_unavailable", SERVICE_UNAVAILABLE, "The provider's keys could not be fetched yet",
        "Try again later; check that scopegate reaches the provider.";
    LifetimeTooLong = "lifetime_too_long", UNAUTHORIZED, "The token lives longer than `max_token_lifetime` allows",
        "Have the provider issue shorter tokens, or raise the setting.";
    LoosensFile = "loosens_file", CONFLICT, "It would permit what the configuration file forbids",
        "Change the file, or set `open_to_admin` on the route that the description names.";
    MalformedAuthorization = "malformed_authorization", BAD_REQUEST, "The `Authorization` header is malformed",
        "Send `Authorization: Bearer TOKEN`, with one space.";
    MalformedBody = "malformed_body", BAD_REQUEST, "The body of the request is malformed",
        "Send a body that is framed as HTTP requires.";
    MalformedCredential = "malformed_credential", BAD_REQUEST, "The token in a header or cookie is malformed",
        "Put the token alone into the header or cookie that the route accepts (`accept_token`).";
    MalformedForm = "malformed_form", BAD_REQUEST, "The form is malformed",
        "Send the parameters as application/x-www-form-urlencoded, each once.";
    MalformedIfMatch = "malformed_if_match", BAD_REQUEST, "`If-Match` is malformed",
        "Send one entity tag of this resource, or `*`.";
    MalformedIfNoneMatch = "malformed_if_none_match", BAD_REQUEST, "`If-None-Match` is malformed",
        "Send `*`, or leave it out.";
    MalformedRequest = "malformed_request", BAD_REQUEST, "The request is malformed",
        "Correct what the description names.";
    MalformedSubprotocol = "malformed_subprotocol", BAD_REQUEST, "The token in `Sec-WebSocket-Protocol` is malformed",
        "Encode the token as base64url without padding.";
    MalformedToken = "malformed_token", UNAUTHORIZED, "The token is malformed",
        "Send the access token as the provider issued it.";
    McpHeaders = "mcp_headers", BAD_REQUEST, "The headers of an MCP request are missing, repeated, malformed or of an old revision",
        "Send `MCP-Protocol-Version`, `Mcp-Method` and, where the method has a name, `Mcp-Name`, each once.";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "No route of this path has the method",
        "Use a method of `Allow`, or add a route for this one.";
    MintUnavailable = "mint_unavailable", SERVICE_UNAVAILABLE, "No token can be minted for the service behind",
        "Try again later; the log has the cause.";
    MisplacedGate = "misplaced_gate", INTERNAL_SERVER_ERROR, "The handler would see another path than was decided on",
        "Place the gate before what rewrites the path, or give the layer the original URI.";
    MissingClaim = "missing_claim", UNAUTHORIZED, "The token lacks a required claim",
        "Have the provider add the claim that the description names.";
    NoAnswer = "no_answer", SERVICE_UNAVAILABLE, "The proxy got no answer about the request",
        "Try again; look whether the proxy reaches scopegate.";
    NoClient = "no_client", UNAUTHORIZED, "The client could not be authenticated",
        "Send the id and secret of a client of `introspection.clients`, or a token that may introspect.";
    NoHost = "no_host", BAD_REQUEST, "The request names no host",
        "Send `Host`.";
    NoRoute = "no_route", NOT_FOUND, "No route matches",
        "Add a route for the path, or correct the path.";
    NoStore = "no_store", SERVICE_UNAVAILABLE, "No store is configured",
        "Configure `store`.";
    NoSuchResource = "no_such_resource", NOT_FOUND, "No protected resource has this URL",
        "Ask for the metadata of a resource that needs a token.";
    NoToken = "no_token", UNAUTHORIZED, "The request has no token",
        "Send `Authorization: Bearer TOKEN`.";
    NoUpstream = "no_upstream", INTERNAL_SERVER_ERROR, "The route names an upstream that does not exist",
        "Reload the configuration; report it if that does not help.";
    Nobody = "nobody", FORBIDDEN, "The route admits no caller",
        "Change `allow: nobody` if callers should reach the route.";
    NonAscii = "non_ascii", BAD_REQUEST, "The request target contains characters beyond ASCII",
        "Percent-encode them.";
    NotFound = "not_found", NOT_FOUND, "It does not exist",
        "Check the id or name.";
    NotNormal = "not_normal", BAD_REQUEST, "The path is not in its normal form",
        "Send the path without needless percent-encoding.";
    NotOriginForm = "not_origin_form", BAD_REQUEST, "The request target does not begin with `/`",
        "Send a path.";
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "The route cannot be served yet",
        "Try again; report it if it stays.";
    NotSupported = "not_supported", UNPROCESSABLE_ENTITY, "The provider does not support this",
        "Use a provider that verifies tokens by keys.";
    NotUtf8 = "not_utf8", BAD_REQUEST, "The path is not UTF-8",
        "Encode the path as UTF-8.";
    NotYetValid = "not_yet_valid", UNAUTHORIZED, "The token is not valid yet",
        "Wait, or compare the clocks of the provider and of this host.";
    NothingHere = "nothing_here", NOT_FOUND, "The request is permitted, but nothing is served at this path",
        "Give the route an `upstream`, or correct the path.";
    Nul = "nul", BAD_REQUEST, "The path contains a NUL byte",
        "Send a path without NUL bytes.";
    OpaqueToken = "opaque_token", UNAUTHORIZED, "The token is not a JWT, and no provider takes opaque tokens",
        "Send a JWT, or configure one provider with `validate: introspect` and `opaque_tokens: true`.";
    OriginNotAllowed = "origin_not_allowed", FORBIDDEN, "Pages of this origin may not call the route",
        "Add the origin to `cors.origins`.";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too many tokens wait for verification",
        "Try again later.";
    PercentEncoding = "percent_encoding", BAD_REQUEST, "The path contains `%` without two hexadecimal digits",
        "Encode a literal `%` as `%25`.";
    Permitted = "permitted", OK, "The request is permitted",
        "Nothing needs to be done.";
    PolicyMoved = "policy_moved", CONFLICT, "The policy was changed meanwhile",
        "Read it again and repeat the change.";
    PolicyStale = "policy_stale", SERVICE_UNAVAILABLE, "The policy of this node may be too old",
        "Check that the node reaches the store.";
    ProofKeyMismatch = "proof_key_mismatch", UNAUTHORIZED, "The token is bound to another key than the proof's",
        "Make the proof with the key that the token was issued for.";
    ProofRequired = "proof_required", UNAUTHORIZED, "The route requires a token that is bound to a key or certificate",
        "Request a token with a DPoP proof or over mutual TLS, as the `proof` of the rule says.";
    ProviderDisabled = "provider_disabled", SERVICE_UNAVAILABLE, "An administrator has disabled the provider",
        "Enable the provider again when it is safe.";
    ProviderNotAllowed = "provider_not_allowed", FORBIDDEN, "The rule does not allow the provider of the token",
        "Use a token of a provider that the rule names, or add this one to its `providers`.";
    ProviderUnavailable = "provider_unavailable", SERVICE_UNAVAILABLE, "The provider does not answer",
        "Try again later; the log has the provider's answer.";
    Refused = "refused", FORBIDDEN, "The request was refused",
        "Look into the log of scopegate for the reason.";
    RequiredClaim = "required_claim", UNAUTHORIZED, "A claim does not have the value that the provider's settings require",
        "Compare the token with the provider's `required_claims`.";
    Revoked = "revoked", UNAUTHORIZED, "The token has been revoked",
        "Get a new token, or lift the revocation.";
    RevocationsStale = "revocations_stale", SERVICE_UNAVAILABLE, "The revocations of this node may be too old",
        "Check that the node reaches the store.";
    RoleMissing = "role_missing", FORBIDDEN, "The caller has none of the required roles",
        "Give the caller a role of the rule, or check the provider's `role_claims`.";
    SenderConstrained = "sender_constrained", UNAUTHORIZED, "The token is bound to a key whose proof is missing",
        "Send the proof of possession with the token.";
    SeveralHosts = "several_hosts", BAD_REQUEST, "The request names several hosts",
        "Send one `Host`.";
    SeveralTokens = "several_tokens", BAD_REQUEST, "The request has several tokens",
        "Send one token, in one place.";
    SignatureInvalid = "signature_invalid", UNAUTHORIZED, "The signature of the token is not valid",
        "Send the token unchanged.";
    SignInRefused = "sign_in_refused", FORBIDDEN, "The sign-in did not succeed",
        "Start the sign-in again, or paste a token.";
    SlowBody = "slow_body", REQUEST_TIMEOUT, "The body of the request did not arrive in time",
        "Send the body faster, or raise the limit of the listener.";
    Space = "space", BAD_REQUEST, "The request target contains a space",
        "Encode it as `%20`.";
    StaleVersion = "stale_version", PRECONDITION_FAILED, "It was changed meanwhile",
        "Read it again and repeat the change.";
    StatusListUnavailable = "status_list_unavailable", SERVICE_UNAVAILABLE, "The status list that the token refers to cannot be had",
        "Try again later; the log says what is wrong with the list.";
    StoreCorrupt = "store_corrupt", INTERNAL_SERVER_ERROR, "The store holds an entry that cannot be read",
        "Look into the log for the entry.";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "The store does not answer",
        "Try again later; the log has the cause.";
    TokenEnded = "token_ended", UNAUTHORIZED, "The token ended during the exchange",
        "Get a new token.";
    TokenNotBound = "token_not_bound", UNAUTHORIZED, "The token was sent with the scheme DPoP and is not bound to a key",
        "Send the token with `Bearer`, or request one that is bound to the key.";
    TokenTooLong = "token_too_long", UNAUTHORIZED, "The token is too long",
        "Have the provider issue shorter tokens, or raise `server.limits.token`.";
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "The import is too large",
        "Split it.";
    TooLong = "too_long", UNPROCESSABLE_ENTITY, "A text is longer than the store allows",
        "Shorten what the description names.";
    TooManyListeners = "too_many_listeners", SERVICE_UNAVAILABLE, "Too many listeners follow this node",
        "Close another listener, or follow another node.";
    TooManyInterpretations = "too_many_readings", BAD_REQUEST, "The path can be read in too many ways",
        "Send a path with fewer irregularities.";
    TooManyTries = "too_many_tries", TOO_MANY_REQUESTS, "Too many tries have failed",
        "Wait for as long as `Retry-After` says, then try again with the right credentials.";
    TooManyHeaderFields = "too_many_header_fields", REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The request has too many header fields", "Send fewer, or raise `server.limits.header_fields`.";
    TooMuchInFlight = "too_much_in_flight", TOO_MANY_REQUESTS, "The peer has too many requests in flight",
        "Finish requests before sending more.";
    TypeNotAllowed = "type_not_allowed", UNAUTHORIZED, "The type of the token is not accepted",
        "Send the access token; add its `typ` to the provider's settings if it is one.";
    UndeclaredScope = "undeclared_scope", CONFLICT, "The scope is not declared",
        "Declare the scope first.";
    UnknownIssuer = "unknown_issuer", UNAUTHORIZED, "No configured provider has the issuer of the token",
        "Configure the provider, or correct its `issuer`.";
    UnknownKey = "unknown_key", UNAUTHORIZED, "The issuer has no key with the `kid` of the token",
        "Get a new token.";
    UnknownMember = "unknown_member", UNPROCESSABLE_ENTITY, "The body has a member that is not known",
        "Correct or remove the member that the description names.";
    UnknownRequest = "unknown_request", NOT_FOUND, "No remembered decision has this request id",
        "Look into the log: nodes remember only the latest decisions.";
    UnknownProvider = "unknown_provider", NOT_FOUND, "No provider has this name",
        "Use the name of a configured provider.";
    UntrustedProxy = "untrusted_proxy", FORBIDDEN, "The peer is not a trusted proxy",
        "Add the proxy's address to `server.trusted_proxies`.";
    UpstreamBroken = "upstream_broken", BAD_GATEWAY, "The upstream gave no valid answer",
        "Look into the log for the upstream and the cause.";
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, "The upstream did not answer in time",
        "Look at the upstream, or raise its `timeout`.";
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY, "The upstream cannot be reached",
        "Look at the upstream and its `url`.";
    UpstreamUnsendable = "upstream_unsendable", INTERNAL_SERVER_ERROR, "The request cannot be sent to the upstream",
        "Report it with the request id.";
    UseDpopNonce = "use_dpop_nonce", UNAUTHORIZED, "The DPoP proof needs a nonce of this server",
        "Make a new proof with the nonce of the header `DPoP-Nonce`.";
    UserInfo = "user_info", BAD_REQUEST, "The host contains user information",
        "Remove what stands before `@`.";
    UserRequired = "user_required", FORBIDDEN, "The route requires the sign-in of a person",
        "Use a token that a person signed in for: a client's own token has no sign-in to repeat.";
    WithoutGate = "without_gate", INTERNAL_SERVER_ERROR, "A handler needs the caller, but no gate stands before it",
        "Put the gate before the handler.";
    WrongClaimType = "wrong_claim_type", UNAUTHORIZED, "A claim has the wrong JSON type",
        "Have the provider issue the claim as its definition says.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<&Rejection> for Reason {
    /// Returns the reason of a rejection. A variant of a newer SDK, which is unknown here, is an invalid token all the same.
    fn from(rejection: &Rejection) -> Self {
        Self::parse(rejection.reason()).unwrap_or(Self::MalformedToken)
    }
}

impl From<OutageCause> for Reason {
    /// Returns the reason of an outage. A variant of a newer SDK, which is unknown here, is the provider's failure.
    fn from(cause: OutageCause) -> Self {
        Self::parse(cause.reason()).unwrap_or(Self::ProviderUnavailable)
    }
}

impl From<&Outage> for Reason {
    fn from(outage: &Outage) -> Self {
        outage.cause.into()
    }
}

impl From<&AuthnError> for Reason {
    fn from(error: &AuthnError) -> Self {
        match error {
            AuthnError::Rejected(rejection) => rejection.into(),
            AuthnError::Unavailable(outage) => outage.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fmt::Write};

    use super::*;

    const PAGE: &str = include_str!("manual/reasons.md");
    const SDK: &str = include_str!("../providers/sdk/src/error.rs");

    /// The page of the manual.
    fn page() -> String {
        let mut page = String::from(
            "# Reasons\n\nThe `reason` of a response is one of these names. Logs, metrics, the audit and explanations use the \
             same ones.\nThe list is generated from `src/reason.rs`; `SCOPEGATE_WRITE_MANUAL=1 cargo test -p scopegate --lib \
             reason::` writes it.\n\n| reason | status | meaning | what to do |\n| --- | ---: | --- | --- |\n",
        );
        for reason in Reason::ALL {
            let status = reason.status().as_u16();
            writeln!(page, "| `{reason}` | {status} | {} | {} |", reason.title(), reason.advice()).unwrap();
        }
        page
    }

    /// The manual says the same as the code.
    #[test]
    fn the_page_of_the_manual_lists_these_reasons() {
        if std::env::var_os("SCOPEGATE_WRITE_MANUAL").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/reasons.md"), page()).unwrap();
            return;
        }
        assert!(PAGE == page(), "run `SCOPEGATE_WRITE_MANUAL=1 cargo test -p scopegate --lib reason::`");
    }

    #[test]
    fn every_name_is_unique_and_in_snake_case() {
        let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        for (reason, name) in Reason::ALL.iter().zip(&names) {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}"
            );
            assert_eq!(Reason::parse(name), Some(*reason));
        }
    }

    #[test]
    fn every_title_is_unique_and_every_advice_is_a_sentence() {
        let titles: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.title()).collect();
        assert_eq!(titles.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(!reason.title().ends_with('.'), "{reason}");
            assert!(reason.advice().ends_with('.'), "{reason}");
        }
    }

    #[test]
    fn every_reason_that_the_provider_sdk_names_is_one_of_these() {
        let names: Vec<&str> = SDK
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \"")?.1.strip_suffix("\","))
            .collect();
        assert!(names.len() > 30, "{names:?}");
        let unknown: Vec<&&str> = names.iter().filter(|name| Reason::parse(name).is_none()).collect();
        assert!(unknown.is_empty(), "add these to the list above: {unknown:?}");
    }
}
