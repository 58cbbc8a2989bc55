//! What a gate decides by, and the endpoint of the main listener.

use std::sync::Arc;

use http::header;
use poem::{
    EndpointExt, Response, Route,
    endpoint::{BoxEndpoint, make_sync},
    get, post,
};
use poem_openapi::OpenApiService;

use super::{Fixed, connect::Connection, front::Front, inner::Inner, policy};
use crate::{
    api::{
        ItemsApi, SampleApi, TokenEndpoint, docs,
        openapi::{DocumentedProvider, Facts, Site, overlay},
    },
    authenticator::{Authenticator, AuthenticatorError},
    config::Config,
    gate::{
        Gate, GateSettings, IdentityError, State,
        proxy::{Onward, OnwardSettings, Proxy},
    },
    policy::Policy,
    telemetry::Trace,
};

/// What the gate decides by, now.
pub(super) fn state(
    fixed: &Fixed,
    connections: &[Connection],
    config: &Config,
) -> Result<State, AuthenticatorError> {
    let connected = connections.iter().map(|connection| connection.connected.clone()).collect();
    let (tokens, store) = (fixed.tokens.clone(), Arc::new(fixed.store.clone()));
    let authenticator = Authenticator::new(connected, tokens, store, fixed.clock.clone())?;
    let policy = policy::compile(&config.rules.definition, &config.rules.policy, &fixed.store.policy());
    let settings = GateSettings { token_limit: config.server.limits.token.get(), ..GateSettings::default() };
    Ok(State::new(policy, authenticator, settings))
}

/// The endpoint of the main listener.
pub(super) fn endpoint(
    fixed: &Fixed,
    gate: &Gate,
    connections: &[Connection],
    config: &Config,
    proxy: &Proxy,
    public_url: &str,
) -> Result<BoxEndpoint<'static>, IdentityError> {
    let base = config.server.base_path.as_str();
    let at = |path: &str| format!("{base}{path}");
    let sample = config.sample_api.then(|| sample(fixed, base));
    let settings = OnwardSettings {
        trusted_proxies: config.server.trusted_proxies.clone(),
        identity: config.identity.clone(),
        grace: config.streams.grace.get(),
    };
    let inner = Inner::new(sample);
    let onward = Onward::new(gate.clone(), proxy.clone(), fixed.clock.clone(), settings, inner)?;
    let mut front = Front::new(onward.with(gate.clone()));
    if config.token_endpoint {
        front = front.at(at("/token"), post(TokenEndpoint::new(gate.clone())));
    }
    if config.docs {
        let document = document(fixed, &gate.current().policy().clone(), connections, config, public_url);
        front = front.at(at("/openapi.json"), get(make_sync(move |_| json(&document))));
        front = front.below(at("/docs"), mounted(base, docs()));
    }
    Ok(front.with(Trace::new(config.server.request_id.0.clone())).boxed())
}

fn operations(fixed: &Fixed, base: &str) -> OpenApiService<(SampleApi, ItemsApi), ()> {
    let items = ItemsApi::new(Arc::new(fixed.store.clone()), base);
    OpenApiService::new((SampleApi, items), "scopegate", env!("CARGO_PKG_VERSION"))
}

fn sample(fixed: &Fixed, base: &str) -> Route {
    mounted(base, operations(fixed, base))
}

/// poem's mounts are paths with a slash at the end of nothing.
fn mounted(base: &str, endpoint: impl poem::IntoEndpoint<Endpoint: 'static>) -> Route {
    Route::new().nest(if base.is_empty() { "/" } else { base }, endpoint)
}

/// The document as it is served: what the operations say, overlaid with what the policy asks.
fn document(
    fixed: &Fixed,
    policy: &Policy,
    connections: &[Connection],
    config: &Config,
    public_url: &str,
) -> Arc<str> {
    let documented = |connection: &Connection| DocumentedProvider {
        name: connection.name().clone(),
        gives_tokens: config.token_endpoint && connection.connected.provider().request_token().is_some(),
    };
    let providers: Vec<_> = connections.iter().map(documented).collect();
    let base = config.server.base_path.as_str();
    let spec = if config.sample_api { operations(fixed, base).spec() } else { nothing().spec() };
    let spec = serde_json::from_str(&spec).unwrap_or_default();
    let Ok(url) = public_url.parse() else { return "{}".into() };
    let facts = Facts { policy, providers: &providers, site: &Site::new(&url, base) };
    overlay(spec, facts).to_string().into()
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
