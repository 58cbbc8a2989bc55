//! The table of scopegate's own endpoints on the listeners of callers and administrators. The router, the checks, the
//! explanation of a request, `/openapi.json` and the metrics read it.

use std::fmt;

use http::Method;
use scopegate_provider::ProviderName;

use super::{
    sections::{
        ProviderConfig,
        settings::{Dialect, SectionSettings},
    },
    values::BasePath,
};
use crate::{
    gate::definitions::patterns,
    policy::{
        PathPattern, Segment,
        settings::{Forward, IdentitySettings, RouteSettings},
    },
};

/// One of scopegate's own endpoints. It answers before the policy decides, unless its access says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct OwnEndpoint {
    /// The handler.
    pub handler: Handler,
    /// The path: below `server.base_path`, or at the root where it is a well-known one (RFC 8615).
    pub path: &'static str,
    /// The paths that it answers beside its own.
    pub reach: Reach,
    /// The methods that it answers; others get 405.
    pub methods: &'static [Method],
    /// The callers that it answers.
    pub access: Access,
    condition: fn(&Conditions) -> bool,
}

/// The handler of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// The metadata of the protected resource (RFC 9728).
    ResourceMetadata,
    /// The keys of minted tokens.
    Keys,
    /// The metadata of the issuer of minted tokens.
    IssuerMetadata,
    /// Token requests.
    Token,
    /// Token introspection.
    Introspect,
    /// Token revocation.
    Revoke,
    /// Forward-auth, in one dialect.
    ForwardAuth(Dialect),
    /// The problem page that nginx shows for a denial.
    NginxProblem,
    /// Administration.
    Admin,
    /// The OpenAPI document.
    OpenApi,
    /// The documentation page.
    Docs,
    /// Logout tokens of a provider.
    BackchannelLogout,
    /// Security events of a provider.
    SharedSignals,
    /// The sample API, behind the policy.
    Sample,
}

/// The paths that an endpoint answers beside its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// None.
    Exact,
    /// Every path below its own.
    Below,
}

/// The callers that an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Clients that present their credentials.
    Clients,
    /// Callers that `introspection` admits.
    Introspection,
    /// The holder of the token.
    Holder,
    /// Proxies of `server.trusted_proxies`.
    TrustedProxies,
    /// Callers that `admin` admits.
    Admin,
    /// The provider, whose signature is checked.
    Provider,
    /// Callers that the policy admits.
    Policy,
}

/// An endpoint that is served, at its full path.
#[derive(Debug, Clone)]
pub struct ServedEndpoint {
    /// The endpoint.
    pub endpoint: &'static OwnEndpoint,
    /// The full path.
    pub path: String,
    /// The provider that calls it.
    pub provider: Option<ProviderName>,
}

/// The signals that a provider sends.
#[derive(Debug, Clone)]
struct ProviderSignals {
    name: ProviderName,
    backchannel_logout: bool,
    shared_signals: bool,
}

/// The settings on which it depends which endpoints are served.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each one switches endpoints on by itself")]
pub(super) struct Conditions {
    base_path: BasePath,
    /// The treatment of the token where a route says nothing of it.
    forward: Option<Forward>,
    mints: bool,
    token_endpoint: bool,
    introspection: bool,
    docs: bool,
    sample_api: bool,
    /// Administrators use the main listener.
    admin: bool,
    dialects: Vec<Dialect>,
    signals: Vec<ProviderSignals>,
}

/// The part of a path that stands for the provider's name.
const NAME: &str = "{name}";

const READ: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const ALL: &[Method] = &[];

/// All endpoints. One with a shorter path that reaches below never hides one that is listed.
const TABLE: &[OwnEndpoint] = &[
    row(Handler::ResourceMetadata, "/.well-known/oauth-protected-resource", READ, Access::Anyone, |_| true)
        .below(),
    row(Handler::Keys, "/.well-known/jwks.json", READ, Access::Anyone, |on| on.mints),
    row(Handler::IssuerMetadata, "/.well-known/openid-configuration", READ, Access::Anyone, |on| on.mints),
    row(Handler::IssuerMetadata, "/.well-known/oauth-authorization-server", READ, Access::Anyone, |on| {
        on.mints
    }),
    row(Handler::Token, "/token", POST, Access::Clients, |on| on.token_endpoint),
    row(Handler::Introspect, "/introspect", POST, Access::Introspection, |on| on.introspection),
    row(Handler::Revoke, "/revoke", POST, Access::Holder, |_| true),
    row(Handler::Admin, "/admin", ALL, Access::Admin, |on| on.admin).below(),
    row(Handler::OpenApi, "/openapi.json", READ, Access::Anyone, |on| on.docs),
    row(Handler::Docs, "/docs", READ, Access::Anyone, |on| on.docs).below(),
    forward_auth(Dialect::Nginx, "/auth/nginx", |on| on.dialects.contains(&Dialect::Nginx)),
    row(Handler::NginxProblem, "/auth/nginx/problem", ALL, Access::TrustedProxies, |on| {
        on.dialects.contains(&Dialect::Nginx)
    }),
    forward_auth(Dialect::Traefik, "/auth/traefik", |on| on.dialects.contains(&Dialect::Traefik)),
    forward_auth(Dialect::Caddy, "/auth/caddy", |on| on.dialects.contains(&Dialect::Caddy)),
    forward_auth(Dialect::Envoy, "/auth/envoy", |on| on.dialects.contains(&Dialect::Envoy)).below(),
    forward_auth(Dialect::Haproxy, "/auth/haproxy", |on| on.dialects.contains(&Dialect::Haproxy)),
    row(Handler::BackchannelLogout, "/providers/{name}/backchannel-logout", POST, Access::Provider, |on| {
        on.signals.iter().any(|signals| signals.backchannel_logout)
    }),
    row(Handler::SharedSignals, "/providers/{name}/shared-signals", POST, Access::Provider, |on| {
        on.signals.iter().any(|signals| signals.shared_signals)
    }),
    row(Handler::Sample, "/", READ, Access::Policy, |on| on.sample_api),
    row(Handler::Sample, "/api/public", READ, Access::Policy, |on| on.sample_api),
    row(Handler::Sample, "/api/private", READ, Access::Policy, |on| on.sample_api),
    row(Handler::Sample, "/items", ALL, Access::Policy, |on| on.sample_api).below(),
];

const fn row(
    handler: Handler,
    path: &'static str,
    methods: &'static [Method],
    access: Access,
    condition: fn(&Conditions) -> bool,
) -> OwnEndpoint {
    OwnEndpoint { handler, path, reach: Reach::Exact, methods, access, condition }
}

const fn forward_auth(
    dialect: Dialect,
    path: &'static str,
    condition: fn(&Conditions) -> bool,
) -> OwnEndpoint {
    row(Handler::ForwardAuth(dialect), path, ALL, Access::TrustedProxies, condition)
}

impl Conditions {
    pub(super) fn new(sections: &SectionSettings, providers: &[ProviderConfig]) -> Self {
        let signals = providers.iter().map(|provider| ProviderSignals {
            name: provider.name().clone(),
            backchannel_logout: provider.outline().backchannel_logout,
            shared_signals: provider.outline().shared_signals,
        });
        Self {
            base_path: sections.server.base_path.clone(),
            forward: sections.identity.forward,
            mints: false,
            token_endpoint: sections.token_endpoint,
            introspection: sections.introspection.is_some(),
            docs: sections.docs,
            sample_api: sections.sample_api,
            admin: sections.admin.as_ref().is_some_and(|admin| admin.listen.is_none()),
            dialects: sections.forward_auth.dialects.clone(),
            signals: signals.collect(),
        }
    }

    /// Returns `true` if tokens are minted: by every route, or by one of them.
    pub(super) fn mints<'a>(&self, mut routes: impl Iterator<Item = &'a IdentitySettings>) -> bool {
        self.forward == Some(Forward::Mint) || routes.any(|identity| identity.forward == Some(Forward::Mint))
    }

    /// Returns the endpoints that the main listener serves.
    pub(super) fn served(&self, mints: bool) -> Vec<ServedEndpoint> {
        let on = Self { mints, ..self.clone() };
        let mut served = Vec::new();
        for endpoint in TABLE.iter().filter(|endpoint| (endpoint.condition)(&on)) {
            let path = endpoint.full_path(on.base_path.as_str());
            // One path for each provider that sends such signals, and one for any other endpoint.
            let sends: fn(&ProviderSignals) -> bool = match endpoint.handler {
                Handler::BackchannelLogout => |signals| signals.backchannel_logout,
                Handler::SharedSignals => |signals| signals.shared_signals,
                _ => {
                    served.push(ServedEndpoint { endpoint, path, provider: None });
                    continue;
                }
            };
            served.extend(on.signals.iter().filter(|signals| sends(signals)).map(|signals| ServedEndpoint {
                endpoint,
                path: path.replace(NAME, signals.name.as_str()),
                provider: Some(signals.name.clone()),
            }));
        }
        served
    }

    /// Returns the path to which a provider's security events are pushed.
    pub(super) fn push_path(&self, provider: &str) -> Option<String> {
        let mut takers = self.signals.iter().filter(|signals| signals.shared_signals);
        takers.find(|signals| signals.name.as_str() == provider)?;
        let endpoint = TABLE.iter().find(|endpoint| endpoint.handler == Handler::SharedSignals)?;
        Some(endpoint.full_path(self.base_path.as_str()).replace(NAME, provider))
    }

    /// Returns the endpoint among those that are served that answers in place of a route, if there is one.
    pub(super) fn hiding<'e>(
        &self,
        served: &'e [ServedEndpoint],
        route: &RouteSettings,
    ) -> Option<&'e ServedEndpoint> {
        let patterns = patterns(&route.matches);
        let is_proxied = route.upstream.is_some();
        // A route to an upstream that is wide on purpose gives way to the base path; one that is written below it is a
        // mistake.
        served.iter().find(|endpoint| {
            patterns.iter().map(|pattern| &pattern.host_path.path).any(|path| {
                let meets =
                    is_proxied && is_below(path, self.base_path.as_str()) && endpoint.is_matched_by(path);
                endpoint.covers(path) || meets
            })
        })
    }
}

impl OwnEndpoint {
    const fn below(self) -> Self {
        Self { reach: Reach::Below, ..self }
    }

    /// Returns the path at which the endpoint is served.
    pub fn full_path(&self, base_path: &str) -> String {
        if self.path.starts_with("/.well-known/") {
            self.path.to_owned()
        } else {
            format!("{base_path}{}", self.path)
        }
    }
}

impl ServedEndpoint {
    /// Returns `true` if the endpoint answers requests for `path` before the policy decides.
    pub fn answers(&self, path: &str) -> bool {
        self.endpoint.access != Access::Policy
            && path.strip_prefix(self.path.as_str()).is_some_and(|rest| match self.endpoint.reach {
                Reach::Exact => rest.is_empty(),
                Reach::Below => rest.is_empty() || rest.starts_with('/'),
            })
    }

    /// Returns `true` if the endpoint answers every request that `pattern` matches, so that its route never decides.
    pub(super) fn covers(&self, pattern: &PathPattern) -> bool {
        if self.endpoint.access == Access::Policy {
            return false;
        }
        let mut segments = pattern.segments().iter();
        let within = words(&self.path)
            .all(|word| matches!(segments.next(), Some(Segment::Literal(text)) if **text == *word));
        let same = segments.next().is_none() && !pattern.takes_rest();
        within && (same || self.endpoint.reach == Reach::Below)
    }

    /// Returns `true` if `pattern` matches the endpoint's path.
    pub(super) fn is_matched_by(&self, pattern: &PathPattern) -> bool {
        let mut words = words(&self.path);
        let all = pattern.segments().iter().all(|segment| match (words.next(), segment) {
            (Some(word), Segment::Literal(text)) => **text == *word,
            (Some(_), Segment::Parameter(_)) => true,
            (None, _) => false,
        });
        all && (pattern.takes_rest() || words.next().is_none())
    }
}

/// Returns `true` if every path that `pattern` matches lies below `base`.
fn is_below(pattern: &PathPattern, base: &str) -> bool {
    let mut segments = pattern.segments().iter();
    words(base).all(|word| matches!(segments.next(), Some(Segment::Literal(text)) if **text == *word))
}

fn words(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|word| !word.is_empty())
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anyone => "anyone",
            Self::Clients => "clients that present their credentials",
            Self::Introspection => "callers that `introspection` admits",
            Self::Holder => "the holder of the token",
            Self::TrustedProxies => "proxies of `server.trusted_proxies`",
            Self::Admin => "callers that `admin` admits",
            Self::Provider => "the provider, whose signature is checked",
            Self::Policy => "callers that the policy admits",
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::{Config, ConfigSource, Loader},
        policy::Policy,
    };

    fn load(text: &str) -> Result<Config, String> {
        let source = ConfigSource::Text { name: "scopegate.yaml".to_owned(), text: text.to_owned() };
        Loader::new().without_environment().load(&source).map_err(|errors| errors.to_string())
    }

    fn answers(text: &str, path: &str) -> Option<&'static str> {
        let config = load(text).unwrap();
        let policy =
            Policy::compile(&config.rules.definition).map_err(|errors| format!("{errors:?}")).unwrap();
        config.own_endpoint_at(&policy.policy, path).map(|served| served.endpoint.path)
    }

    const DEV: &str = "providers: { dev: { kind: dev, audience: a, clients: [ { id: c, secret: s } ] } }\nstore: { url: 'memory:' }\n";

    /// C5: scopegate's own endpoint answers before the route.
    #[test]
    fn a_route_that_an_own_endpoint_answers_is_an_error() {
        for (settings, route) in [
            ("docs: true", "GET /docs"),
            ("docs: true", "/docs/**"),
            ("token_endpoint: true", "POST /token"),
            ("server: { base_path: /.gate }", "/.gate/revoke"),
            ("server: { base_path: /.gate }", "/.well-known/oauth-protected-resource/**"),
            ("", "GET /revoke"),
        ] {
            let text = format!("{DEV}{settings}\nroutes: [ {{ match: '{route}', allow: nobody }} ]");
            let errors = load(&text).err().unwrap_or_default();
            assert!(errors.contains("scopegate's own `"), "{route}: {errors}");
        }
    }

    /// C5: what an own endpoint answers only in part still decides about the rest.
    #[test]
    fn a_route_that_an_own_endpoint_answers_in_part_is_none() {
        for (settings, route) in [
            ("docs: true", "/**"),
            ("docs: true", "/{page}"),
            ("docs: false", "GET /docs"),
            ("sample_api: true", "GET /items"),
            ("server: { base_path: /.gate }", "GET /revoke"),
        ] {
            let text = format!("{DEV}{settings}\nroutes: [ {{ match: '{route}', allow: nobody }} ]");
            assert_eq!(load(&text).err(), None, "{route}");
        }
    }

    #[test]
    fn a_provider_that_sends_signals_has_endpoints_of_its_own() {
        let keycloak = "providers: { kc: { kind: oidc, issuer: 'https://id.example', audience: a, client_id: c, \
                        backchannel_logout: true } }\nstore: { url: 'memory:' }\nserver: { base_path: /.gate }";
        let logout = "/providers/{name}/backchannel-logout";
        assert_eq!(answers(keycloak, "/.gate/providers/kc/backchannel-logout"), Some(logout));
        for other in ["/.gate/providers/kc/shared-signals", "/.gate/providers/x/backchannel-logout"] {
            assert_eq!(answers(keycloak, other), None, "{other}");
        }
    }

    #[test]
    fn an_endpoint_answers_its_path_and_those_below_where_it_reaches_them() {
        let text = format!("{DEV}docs: true\nserver: {{ base_path: /.gate }}");
        assert_eq!(answers(&text, "/.gate/docs/x"), Some("/docs"));
        assert_eq!(answers(&text, "/.gate/docsx"), None);
        assert_eq!(answers(&text, "/docs"), None);
        assert_eq!(answers(&text, "/.gate/revoke/x"), None);
        assert_eq!(
            answers(&text, "/.well-known/oauth-protected-resource/items"),
            Some("/.well-known/oauth-protected-resource")
        );
    }
}
