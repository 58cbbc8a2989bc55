//! The endpoints of the listeners.

use std::{collections::HashMap, sync::Arc};

use http::{Method, header};
use poem::{
    EndpointExt, IntoEndpoint, Response, Route,
    endpoint::{BoxEndpoint, make_sync},
    get, post,
};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::Value;

use super::{
    Fixed, Reached,
    denials::Counted,
    front::Front,
    inner::{Inner, Sample, told},
    signing,
};
use crate::{
    api::{
        IntrospectEndpoint, ItemsApi, RevokeEndpoint, SampleApi, TokenEndpoint,
        admin::Admin,
        bounded, bounded_administration, docs,
        openapi::{DocumentedProvider, Facts, Site, overlay},
        well_known::{self, IssuerMetadata, ResourceMetadata},
    },
    authenticator::AuthenticatorError,
    config::{Config, Dialect},
    gate::{
        Gate, GateEndpoint, Guard, IdentityError, State,
        forward_auth::{
            Caddy, CheckService, Envoy, ForwardAuth, Haproxy, Nginx, NginxProblem, Traefik,
            grpc::{Authorization, EnvoyGrpc},
        },
        identities::Identities,
        mint::{Mint, Terms},
        proxy::{ProxyEndpoint, ProxySettings},
    },
    runtime::Connection,
    telemetry::{Trace, TraceEndpoint},
    upstream::{UpstreamSettings, Upstreams},
};

/// What the gate decides by, now.
pub(super) fn state(
    fixed: &Fixed,
    connections: &[Connection],
    config: &Config,
) -> Result<State, AuthenticatorError> {
    let resource_metadata = resource_metadata(&fixed.reached, config.server.base_path.as_str());
    fixed.runtime.state(connections, config, resource_metadata)
}

/// Where challenges point, if callers can be sent there.
fn resource_metadata(reached: &Reached, base: &str) -> Option<Box<str>> {
    let url = || format!("{}{base}{}", reached.public_url, well_known::RESOURCE_METADATA);
    reached.is_certain.then(|| url().into())
}

/// What endpoints are made of, besides what lasts through reloads.
#[derive(Clone, Copy)]
pub(super) struct Built<'a> {
    pub(super) gate: &'a Gate,
    pub(super) connections: &'a [Connection],
    pub(super) config: &'a Config,
    pub(super) upstreams: &'a Upstreams,
}

/// What stands behind scopegate's own endpoints on the main listener.
type Gated = GateEndpoint<ProxyEndpoint<Inner>>;

/// The endpoints of the listeners.
pub(super) struct Endpoints {
    /// A type of its own: a request does not pay for what a boxed endpoint would allocate.
    pub(super) main: TraceEndpoint<Counted<Front<Gated>>>,
    /// Where Envoy asks over gRPC.
    pub(super) authorization: BoxEndpoint<'static>,
    /// Of `admin.listen`; nothing, where administrators use the main listener or there are none.
    pub(super) administration: BoxEndpoint<'static>,
}

/// The endpoints of the listeners.
pub(super) fn endpoints(fixed: &Fixed, built: Built<'_>) -> Result<Endpoints, IdentityError> {
    let (config, base) = (built.config, built.config.server.base_path.as_str());
    let apart = config.admin.as_ref().is_some_and(|admin| admin.listen.is_some());
    let admin = Admin::new(built.gate.clone(), fixed.store.clone(), fixed.hand.clone());
    let guarded = config.rules.admin.as_ref().map(|rule| {
        let service = OpenApiService::new(admin.apis(), "scopegate", env!("CARGO_PKG_VERSION"));
        let service = service.into_endpoint().before(bounded_administration);
        let service = service.catch_all_error(|error| async move { told(&error) });
        mounted(base, service.with(Guard::new(built.gate.clone(), &format!("{base}/admin/**"), rule.clone())))
    });
    let trace = || Trace::new(config.server.request_id.0.clone(), fixed.metrics.clone());
    let (here, there) = if apart { (None, guarded) } else { (guarded, None) };
    let nothing = Front::new(Inner::new(None));
    let administration = match there {
        Some(there) => nothing.below(format!("{base}/admin"), there),
        None => nothing,
    };
    let document = config.docs.then(|| document(fixed, built, &admin));
    let identities = Identities::of_policy(&config.identity, built.gate.current().policy())?;
    let identities = identities.minting(mint(fixed, config));
    let main = main(fixed, built, &identities, document, here).with(fixed.denials.clone()).with(trace());
    let authorization = authorization(fixed, built, &identities, trace());
    Ok(Endpoints {
        main,
        authorization,
        administration: administration.with(fixed.denials.clone()).with(trace()).boxed(),
    })
}

fn main(
    fixed: &Fixed,
    built: Built<'_>,
    identities: &Identities,
    document: Option<Arc<str>>,
    admin: Option<Route>,
) -> Front<Gated> {
    let Built { gate, config, upstreams, .. } = built;
    let base = config.server.base_path.as_str();
    let at = |path: &str| format!("{base}{path}");
    let sample = config.sample_api.then(|| sample(fixed, base));
    let settings = ProxySettings {
        trusted_proxies: config.server.trusted_proxies.clone(),
        identities: identities.clone(),
        grace: config.streams.grace.get(),
        request_id: config.server.request_id.0.clone(),
    };
    let inner = Inner::new(sample);
    let proxy = ProxyEndpoint::new(gate.clone(), upstreams.clone(), fixed.clock.clone(), settings, inner);
    let mut front = Front::new(proxy.with(gate.clone()));
    front = forward_auth(front, &CheckService::new(gate.clone(), identities.clone()), config);
    if signing::mints(config, gate.current().policy()) {
        front = front.at(at(well_known::KEYS), get(well_known::Keys(fixed.signing.ring.clone())));
        let metadata = IssuerMetadata::new(&fixed.reached.public_url, base);
        for place in well_known::ISSUER_METADATA {
            front = front.at(at(place), get(metadata.clone()));
        }
    }
    front = front.below(at(well_known::RESOURCE_METADATA), get(metadata(fixed, gate, config)));
    if config.token_endpoint {
        front = front.at(at("/token"), post(TokenEndpoint::new(gate.clone())));
    }
    front = front.at(at("/revoke"), post(RevokeEndpoint::new(gate.clone(), fixed.store.clone())));
    if let Some(introspect) = introspection(gate, config) {
        front = front.at(at("/introspect"), post(introspect));
    }
    if let Some(admin) = admin {
        front = front.below(at("/admin"), admin);
    }
    if let Some(document) = document {
        front = front.at(at("/openapi.json"), get(make_sync(move |_| json(&document))));
        front = front.below(at("/docs"), mounted(base, docs()));
    }
    front
}

fn introspection(gate: &Gate, config: &Config) -> Option<IntrospectEndpoint> {
    let section = config.introspection.as_ref()?;
    let label = format!("POST {}/introspect", config.server.base_path.as_str());
    let guard =
        config.rules.introspection.as_ref().map(|rule| Guard::new(gate.clone(), &label, rule.clone()));
    let clients = section.clients.iter().map(|client| (client.id.clone(), client.secret.clone())).collect();
    Some(IntrospectEndpoint::new(gate.clone(), guard, clients))
}

fn metadata(fixed: &Fixed, gate: &Gate, config: &Config) -> ResourceMetadata {
    let (public_url, base) = (&fixed.reached.public_url, config.server.base_path.as_str());
    let documentation = config.docs.then(|| format!("{public_url}{base}/docs"));
    ResourceMetadata::new(gate.clone(), public_url, base, documentation)
}

/// What signs tokens for services behind.
fn mint(fixed: &Fixed, config: &Config) -> Arc<Mint> {
    let public_url = fixed.reached.public_url.as_str();
    let audience = |(name, upstream): &(String, UpstreamSettings)| {
        let audience = upstream.audience.clone().unwrap_or_else(|| upstream.url.to_string());
        (name.as_str().into(), audience.into())
    };
    let terms = Terms {
        issuer: public_url.into(),
        lifetime: config.mint.lifetime.get(),
        audience: config.mint.audience.as_deref().unwrap_or(public_url).into(),
        upstreams: config.upstreams.iter().map(audience).collect(),
    };
    Arc::new(Mint::new(fixed.signing.ring.clone(), terms, fixed.metrics.clone()))
}

/// The endpoints where proxies ask, one for each dialect that is configured.
fn forward_auth(mut front: Front<Gated>, service: &CheckService, config: &Config) -> Front<Gated> {
    let at = |path: &str| format!("{}{path}", config.server.base_path.as_str());
    let trusted = &config.server.trusted_proxies;
    for dialect in &config.forward_auth.dialects {
        let (service, trusted) = (service.clone(), trusted.clone());
        front = match dialect {
            Dialect::Nginx => front
                .at(at("/auth/nginx/problem"), NginxProblem::new(trusted.clone()))
                .at(at("/auth/nginx"), ForwardAuth::new(service, trusted, Nginx)),
            Dialect::Traefik => front.at(at("/auth/traefik"), ForwardAuth::new(service, trusted, Traefik)),
            Dialect::Caddy => front.at(at("/auth/caddy"), ForwardAuth::new(service, trusted, Caddy)),
            Dialect::Envoy => {
                let envoy = Envoy::at(&at("/auth/envoy"));
                front.below(at("/auth/envoy"), ForwardAuth::new(service, trusted, envoy))
            }
            Dialect::Haproxy => front.at(at("/auth/haproxy"), ForwardAuth::new(service, trusted, Haproxy)),
        };
    }
    front
}

/// Where Envoy asks over gRPC: each check is counted and logged as a request.
fn authorization(
    fixed: &Fixed,
    built: Built<'_>,
    identities: &Identities,
    trace: Trace,
) -> BoxEndpoint<'static> {
    let Built { gate, config, .. } = built;
    let trusted = &config.server.trusted_proxies;
    let service = CheckService::new(gate.clone(), identities.clone());
    let decided = ForwardAuth::new(service, trusted.clone(), EnvoyGrpc);
    let decided = decided.with(fixed.denials.clone()).with(trace);
    Authorization::new(decided, trusted.clone(), identities).boxed()
}

fn operations(fixed: &Fixed, base: &str) -> OpenApiService<(SampleApi, ItemsApi), ()> {
    let items = ItemsApi::new(Arc::new(fixed.store.clone()), base);
    OpenApiService::new((SampleApi, items), "scopegate", env!("CARGO_PKG_VERSION"))
}

fn sample(fixed: &Fixed, base: &str) -> Sample {
    let operations = operations(fixed, base).into_endpoint().before(bounded);
    let whole = if base.is_empty() { operations.boxed() } else { mounted(base, operations).boxed() };
    let mut routes = HashMap::new();
    SampleApi.add_routes(&mut routes);
    let get = |mut methods: HashMap<_, _>| methods.remove(&Method::GET);
    let plain =
        routes.into_iter().filter_map(|(path, methods)| Some((format!("{base}{path}"), get(methods)?)));
    Sample { plain: plain.collect(), whole }
}

/// poem's mounts are paths with a slash at the end of nothing.
fn mounted(base: &str, endpoint: impl IntoEndpoint<Endpoint: 'static>) -> Route {
    Route::new().nest(if base.is_empty() { "/" } else { base }, endpoint)
}

/// The document as it is served: what the operations say, overlaid with what the policy asks.
fn document(fixed: &Fixed, built: Built<'_>, admin: &Admin) -> Arc<str> {
    let Built { gate, connections, config, .. } = built;
    let state = gate.current();
    let documented = |connection: &Connection| DocumentedProvider {
        name: connection.name().clone(),
        gives_tokens: config.token_endpoint && connection.connected.provider().request_token().is_some(),
    };
    let providers: Vec<_> = connections.iter().map(documented).collect();
    let base = config.server.base_path.as_str();
    let own = if config.sample_api { operations(fixed, base).spec() } else { nothing().spec() };
    let mut spec: Value = serde_json::from_str(&own).unwrap_or_default();
    let rule = config.rules.admin.as_ref();
    if rule.is_some() && config.admin.as_ref().is_some_and(|admin| admin.listen.is_none()) {
        let more = OpenApiService::new(admin.apis(), "scopegate", env!("CARGO_PKG_VERSION")).spec();
        merge(&mut spec, serde_json::from_str(&more).unwrap_or_default());
    }
    let Ok(url) = fixed.reached.public_url.parse() else { return "{}".into() };
    let (policy, site) = (&**state.policy(), Site::new(&url, base));
    let facts = Facts { policy, providers: &providers, site: &site, admin: rule };
    overlay(spec, facts).to_string().into()
}

/// Adds a document's operations and schemas to another.
fn merge(document: &mut Value, more: Value) {
    match (document, more) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, value) in theirs {
                merge(ours.entry(name).or_insert(Value::Null), value);
            }
        }
        (ours @ Value::Null, theirs) => *ours = theirs,
        _ => {}
    }
}

fn nothing() -> OpenApiService<(), ()> {
    OpenApiService::new((), "scopegate", env!("CARGO_PKG_VERSION"))
}

fn json(document: &Arc<str>) -> Response {
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-cache")
        .body(document.to_string())
}
