//! Decision tests: a request, a caller, and the decision that is expected.

use std::{fmt, str::FromStr};

use http::Method;
use schemars::JsonSchema;
use scopegate_provider::{ClientId, Principal, ProviderName, Role, Scope, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use super::{
    CallerAt, Decision, Explanation, Policy, RawTarget, Reason, Scheme, Source, SupposedCaller, Target,
    TargetError,
    mcp::headers_for,
    settings::{McpSettings, Several},
};

/// A test of a decision. Without a caller, the request carries no token.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionTest {
    /// The method and the URL, or a path for any host, such as `GET /items/1`.
    pub request: TestRequest,
    /// The method and name of a request of the Model Context Protocol.
    #[serde(default)]
    pub mcp: Option<McpSettings>,
    /// The scopes of the caller: a short form of `caller`, as the next keys are.
    #[serde(default)]
    #[schemars(with = "Option<super::settings::OneOrMany<Scope>>")]
    pub scopes: Option<Several<Scope>>,
    /// The roles of the caller.
    #[serde(default)]
    #[schemars(with = "Option<super::settings::OneOrMany<Role>>")]
    pub roles: Option<Several<Role>>,
    /// The client of the caller.
    #[serde(default)]
    pub client: Option<ClientId>,
    /// The provider of the caller.
    #[serde(default)]
    pub provider: Option<ProviderName>,
    /// The claims of the caller's token.
    #[serde(default)]
    pub claims: Option<Map<String, Value>>,
    /// The caller, in the long form.
    #[serde(default)]
    pub caller: Option<SupposedCaller>,
    /// `permit`, or the reason of the denial, such as `insufficient_scope`.
    pub expect: Expectation,
}

/// The request of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRequest {
    method: Method,
    url: String,
}

/// The decision that a test expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Expectation(Reason);

/// The result of a test.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// `permit`, or the reason of the denial.
    pub found: &'static str,
    /// The explanation; `None` if the request is never acceptable.
    pub explanation: Option<Explanation>,
    /// The place of the route that decided.
    pub source: Option<Source>,
    /// The denial in words.
    pub message: Option<String>,
}

impl DecisionTest {
    /// Returns the problem of a test that no policy could pass for what it is meant for.
    pub fn problem(&self) -> Option<String> {
        if self.caller.is_some() && self.has_short_form() {
            return Some("expected the caller in `caller` or beside it, found both".to_owned());
        }
        let caller = self.supposed()?;
        caller.principal(Timestamp::from_seconds(0)).err().map(|error| error.to_string())
    }

    /// Returns `true` if `policy` decides otherwise than expected.
    pub fn fails_on(&self, policy: &Policy, now: Timestamp) -> bool {
        let Ok(target) = self.target() else { return false };
        let principal = self.principal(now);
        let found = policy.decide(&target, principal.as_ref().map(|caller| CallerAt::new(caller, now)));
        found_name(&found) != self.expect.as_str()
    }

    /// Runs the test.
    pub fn run(&self, policy: &Policy, now: Timestamp) -> TestResult {
        let target = match self.target() {
            Ok(target) => target,
            Err(error) => {
                let message = Some(error.to_string());
                return TestResult {
                    found: error.reason().as_str(),
                    explanation: None,
                    source: None,
                    message,
                };
            }
        };
        let principal = self.principal(now);
        let caller = principal.as_ref().map(|caller| CallerAt::new(caller, now));
        let decision = policy.decide(&target, caller);
        let (route, message) = match &decision {
            Decision::Permit { route } => (Some(*route), None),
            Decision::Deny(refused) => (refused.route, Some(refused.denial.to_string())),
        };
        TestResult {
            found: found_name(&decision),
            explanation: Some(policy.explain(&target, caller)),
            source: route.map(|route| route.source().clone()),
            message,
        }
    }

    /// Returns `true` if both are about the same request and caller, and expect different decisions.
    pub fn contradicts(&self, other: &Self) -> bool {
        self.expect != other.expect
            && self.mcp == other.mcp
            && self.supposed() == other.supposed()
            && match (self.target(), other.target()) {
                (Ok(ours), Ok(theirs)) => ours == theirs,
                (Err(_), Err(_)) => self.request == other.request,
                _ => false,
            }
    }

    /// Returns the target of the request.
    ///
    /// # Errors
    /// The request is never acceptable.
    pub fn target(&self) -> Result<Target, TargetError> {
        let target = self.request.target()?;
        Ok(match &self.mcp {
            Some(mcp) => target.with_mcp(&headers_for(&mcp.method, mcp.name.as_deref().unwrap_or_default())),
            None => target,
        })
    }

    /// Returns the caller; `None` for a request without a token.
    pub fn supposed(&self) -> Option<SupposedCaller> {
        if !self.has_short_form() {
            return self.caller.clone();
        }
        Some(SupposedCaller {
            provider: self.provider.clone(),
            client: self.client.clone(),
            scopes: self.scopes.clone().map(|several| several.0).unwrap_or_default(),
            roles: self.roles.clone().map(|several| several.0).unwrap_or_default(),
            claims: self.claims.clone().unwrap_or_default(),
            ..SupposedCaller::default()
        })
    }

    fn has_short_form(&self) -> bool {
        self.scopes.is_some()
            || self.roles.is_some()
            || self.client.is_some()
            || self.provider.is_some()
            || self.claims.is_some()
    }

    fn principal(&self, now: Timestamp) -> Option<Principal> {
        self.supposed().and_then(|caller| caller.principal(now).ok())
    }
}

fn found_name(decision: &Decision<'_>) -> &'static str {
    match decision {
        Decision::Permit { .. } => Expectation::PERMIT,
        Decision::Deny(refused) => refused.denial.reason().as_str(),
    }
}

impl TestRequest {
    /// Returns the target.
    ///
    /// # Errors
    /// The request is never acceptable.
    pub fn target(&self) -> Result<Target, TargetError> {
        Target::of_url(&self.method, &self.url)
    }
}

impl Target {
    /// Parses the target of a URL, or of a path for any host. The path is taken as it is written, with its
    /// irregularities.
    ///
    /// # Errors
    /// The target is never acceptable.
    pub fn of_url(method: &Method, url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = match url.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, Some(rest)),
            Some((_, rest)) => (Scheme::Http, Some(rest)),
            None => (Scheme::Http, None),
        };
        let (host, path) = match rest {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("localhost", url),
        };
        let path = if path.is_empty() { "/" } else { path };
        let path_and_query = path.as_bytes();
        Self::parse(RawTarget { method, scheme, authority: None, hosts: [host], path_and_query })
    }
}

impl FromStr for TestRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((method, url)) = text.split_once(' ')
            && let Ok(method) = method.parse()
            && (url.trim_start().starts_with('/') || url.contains("://"))
        {
            return Ok(Self { method, url: url.trim().to_owned() });
        }
        Err(format!("expected a method and a URL or path, such as `GET /items/1`, found `{text}`"))
    }
}

impl fmt::Display for TestRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)
    }
}

impl<'de> Deserialize<'de> for TestRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for TestRequest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TestRequest".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["GET /items/1", "POST https://api.example/items"] })
    }
}

impl Expectation {
    const PERMIT: &'static str = "permit";

    /// Returns `permit`, or the reason of the denial.
    pub fn as_str(self) -> &'static str {
        if self.0 == Reason::Permitted { Self::PERMIT } else { self.0.as_str() }
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == Self::PERMIT {
            return Ok(Self(Reason::Permitted));
        }
        let found = Reason::parse(text).filter(|reason| *reason != Reason::Permitted);
        found.map(Self).ok_or_else(|| {
            let names = Reason::ALL.iter().map(|reason| reason.as_str()).chain([Self::PERMIT]);
            let nearest = super::error::nearest(text, names);
            let nearest = nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            format!("expected `permit` or the reason of a denial such as `insufficient_scope`, found `{text}`{nearest}")
        })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Expectation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Expectation {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Expectation".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["permit", "insufficient_scope", "no_token"] })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::tests::policy;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn test(value: Value) -> DecisionTest {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_test_fails_where_the_policy_decides_otherwise() {
        let policy = policy("scopes: { items: '' }\nroutes:\n- { match: GET /items, require: items }");
        for (caller, expect, fails) in [
            (json!({ "scopes": ["items"] }), "permit", false),
            (json!({ "scopes": [] }), "insufficient_scope", false),
            (json!({ "caller": { "scopes": "items" } }), "permit", false),
            (json!({}), "no_token", false),
            (json!({}), "permit", true),
        ] {
            let mut value = json!({ "request": "GET /items", "expect": expect });
            value.as_object_mut().unwrap().extend(caller.as_object().unwrap().clone());
            let test = test(value);
            assert_eq!(test.fails_on(&policy, NOW), fails, "{test:?}");
            assert_eq!(test.run(&policy, NOW).found != expect, fails);
        }
    }

    #[test]
    fn an_unknown_reason_names_the_nearest_one() {
        let error = "insuficient_scope".parse::<Expectation>().unwrap_err();
        assert!(error.contains("did you mean `insufficient_scope`?"), "{error}");
    }

    #[test]
    fn tests_contradict_each_other_where_only_the_expectation_differs() {
        let permit = test(json!({ "request": "GET /a", "scopes": ["x"], "expect": "permit" }));
        let denial =
            test(json!({ "request": "GET /a", "caller": { "scopes": ["x"] }, "expect": "no_token" }));
        let other = test(json!({ "request": "GET /b", "scopes": ["x"], "expect": "no_token" }));
        assert!(permit.contradicts(&denial) && !permit.contradicts(&other) && !permit.contradicts(&permit));
    }
}
