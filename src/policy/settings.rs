//! Scopes and routes as they are written. What parses here is well-formed; [`Policy::compile`](super::Policy::compile)
//! says whether it makes sense.

mod cors;
mod document;
mod require;
mod shape;
mod token_source;

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use scopegate_provider::Scope;
use serde::{Deserialize, Serialize};

pub use self::{
    cors::{CorsHeader, CorsHeaderError, CorsOrigin, CorsOriginError, CorsSettings},
    document::{DocumentLong, DocumentSettings, Undeclared},
    require::{
        ActorSettings, ClaimForm, ClaimSchema, DetailSettings, OneOrMany, ProofRequirement, RequireLong,
        RequireSettings,
    },
    shape::Several,
    token_source::{TokenCookie, TokenHeader, TokenSource, TokenSourceError},
};
use super::Irregularity;

/// A scope under its name in `scopes:`: its description, or the long form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ScopeSettings {
    /// The description.
    Description(String),
    /// The long form.
    Long(ScopeLong),
}

/// The long form of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopeLong {
    /// Its description, for people.
    #[serde(default)]
    pub description: String,
    /// Patterns that it opens: the same as a route that requires it. Several scopes on one pattern: any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Narrower scopes that a holder of this one has as well, also through each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub implies: Vec<Scope>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSettings {
    /// The pattern, or patterns.
    #[serde(rename = "match")]
    pub matches: MatchSettings,
    /// The requirement of a caller. Either this or `allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<RequireSettings>,
    /// The callers that may pass whatever their token says. Either this or `require`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,
    /// Ask the provider about the token now, whatever is remembered of it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub fresh: bool,
    /// Irregularities of the path that are accepted. It is decided under every interpretation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<Irregularity>,
    /// Let what administrators store loosen this route.
    #[serde(default, skip_serializing_if = "is_false")]
    pub open_to_admin: bool,
    /// The upstream to which requests are proxied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The prefix that is taken off the path before it is proxied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// The identity that the upstream is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentitySettings>,
    /// Cross-origin requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<CorsSettings>,
    /// The places beside `Authorization` from which a token may come, instead of those for all routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_token: Option<Vec<TokenSource>>,
    /// The requests of the Model Context Protocol that this is about, by their `Mcp-Method` and `Mcp-Name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<McpSettings>,
    /// `shadow`: the route is decided, logged and counted, and the answer is as if it were not there.
    #[serde(default, skip_serializing_if = "Mode::is_enforce")]
    pub mode: Mode,
    /// The findings of `check` about this route that are intended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intended: Vec<FindingKind>,
}

/// The kinds of findings of the analysis, by which a route marks them as intended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// No caller can satisfy the rule.
    NeverPermits,
    /// Every caller that satisfies one alternative satisfies another.
    SubsumedAlternative,
    /// No configured provider can issue a scope.
    ScopeNotIssued,
    /// A route without a token inside of a tree that needs one.
    AnonymousInside,
    /// A wider pattern names a method that is 405 here.
    MethodNotAllowed,
}

impl FindingKind {
    /// Returns the name, as `intended` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverPermits => "never_permits",
            Self::SubsumedAlternative => "subsumed_alternative",
            Self::ScopeNotIssued => "scope_not_issued",
            Self::AnonymousInside => "anonymous_inside",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Requests of the Model Context Protocol. A name is more specific than a method alone, which is more specific than none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct McpSettings {
    /// The JSON-RPC method, such as `tools/call`.
    pub method: String,
    /// The tool, resource or prompt; left out: all of the method's requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The treatment of case in paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathCase {
    /// `/ADMIN` and `/admin` are different paths.
    #[default]
    Sensitive,
    /// A service may take `/ADMIN` for `/admin`: a request must be permitted by both.
    Insensitive,
}

/// The effect of a route's decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are enforced.
    #[default]
    Enforce,
    /// They are logged and counted without effect.
    Shadow,
}

impl Mode {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_enforce(&self) -> bool {
        *self == Self::Enforce
    }
}

/// `match`: a pattern such as `GET /items/**`, a list of them, or the long form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum MatchSettings {
    /// `METHOD[|METHOD] [host]/path`.
    One(String),
    /// Several of these.
    Many(Vec<String>),
    /// The long form.
    Long(MatchLong),
}

/// The long form of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchLong {
    /// The methods; left out: every method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The host, or `*.example.com`; left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path.
    pub path: String,
}

/// `allow`: who may pass whatever their token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Allow {
    /// Everybody; a token is not looked at.
    Anonymous,
    /// Everybody without a token; a token that is there must be good.
    Optional,
    /// Everybody with a good token.
    Authenticated,
    /// Nobody.
    Nobody,
}

/// The identity that upstreams are told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentitySettings {
    /// Header names, and the claims whose values they carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The treatment of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
}

/// The treatment of the token on the way to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forward {
    /// It goes on.
    #[default]
    Keep,
    /// It is taken off.
    Strip,
    /// It is replaced by a short-lived one of our own.
    Mint,
}

impl RouteSettings {
    /// A route of which nothing is said but where it is.
    pub fn new(matches: MatchSettings) -> Self {
        Self {
            matches,
            require: None,
            allow: None,
            fresh: false,
            accept: Vec::new(),
            open_to_admin: false,
            upstream: None,
            strip_prefix: None,
            identity: None,
            cors: None,
            accept_token: None,
            mcp: None,
            mode: Mode::Enforce,
            intended: Vec::new(),
        }
    }
}

impl IdentitySettings {
    /// Returns `true` if it says nothing, so that the settings for all routes hold.
    pub fn is_general(&self) -> bool {
        self.headers.is_empty() && self.forward.is_none()
    }
}

impl ScopeSettings {
    /// Returns the description.
    pub fn description(&self) -> &str {
        match self {
            Self::Description(text) => text,
            Self::Long(long) => &long.description,
        }
    }

    /// The patterns that it opens.
    pub fn routes(&self) -> &[String] {
        match self {
            Self::Description(_) => &[],
            Self::Long(long) => &long.routes,
        }
    }

    /// The scopes that it implies.
    pub fn implies(&self) -> &[Scope] {
        match self {
            Self::Description(_) => &[],
            Self::Long(long) => &long.implies,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
