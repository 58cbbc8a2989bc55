//! The endpoints of the listeners.

use std::{collections::HashMap, sync::Arc};

use http::{Method, header};
use poem::{
    EndpointExt, IntoEndpoint, Request, Response, Route,
    endpoint::{BoxEndpoint, make_sync},
    get, post,
};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::Value;

use super::{
    PublicEndpoint, Shared,
    denials::Counted,
    fallback::{Fallback, Sample, error_response},
    own_routes::OwnRoutes,
    problem_bodies::{ProblemBodies, WithProblemBodies},
};
use crate::{
    api::{
        BackchannelLogout, IntrospectEndpoint, ItemsApi, RevokeEndpoint, SampleApi, SharedSignalsPush,
        SignalServices, TokenEndpoint,
        admin::{Admin, AdminGuard, Decisions, Overview, PolicyInForce, Session, Shadow, ui::OperatorPage},
        bounded, bounded_administration, docs,
        openapi::{DocumentedProvider, Facts, Site, overlay},
        well_known::{self, IssuerMetadata, Public, ResourceMetadata},
    },
    config::{
        Config, Dialect,
        own_endpoints::{Handler, Reach, ServedEndpoint},
    },
    gate::{
        GateEndpoint, Guard, IdentityError, PublicOrigin, TrustedProxies,
        forward_auth::{
            Caddy, CheckService, Envoy, ForwardAuth, Haproxy, Nginx, NginxProblem, Traefik,
            grpc::{Authorization, EnvoyGrpc},
        },
        identities::Identities,
        mint::{Mint, PreparedKeys, Terms},
        proxy::{ProxyEndpoint, ProxySettings},
    },
    policy::{Rule, Scheme},
    runtime::{Connection, Draft},
    telemetry::{Sender, Trace, TraceEndpoint},
    upstream::{UpstreamSettings, Upstreams},
};

/// Returns the origin at which callers reach this server, if that is certain.
pub(super) fn public_origin(public: &PublicEndpoint, config: &Config) -> PublicOrigin {
    let url = public.is_certain.then(|| public.public_url.as_str().into());
    PublicOrigin { url, at_callers_host: config.server.public_url.is_none() }
}

/// The endpoint behind scopegate's own ones on the main listener.
type Gated = GateEndpoint<ProxyEndpoint<Fallback>>;

/// The endpoints of the listeners, and what they were built with.
pub(super) struct Endpoints {
    /// A type of its own: a boxed endpoint would allocate for each request.
    pub(super) main: TraceEndpoint<WithProblemBodies<Counted<OwnRoutes<Gated>>>>,
    /// The endpoint of Envoy's gRPC checks.
    pub(super) authorization: BoxEndpoint<'static>,
    /// The endpoint of `admin.listen`, which answers 404 where administrators use the main listener.
    pub(super) administration: BoxEndpoint<'static>,
    /// Upstream connections, which the next generation takes over.
    pub(super) upstreams: Upstreams,
    /// The keys of minted tokens that this generation begins with; the ones in force stay where there are none.
    pub(super) keys: Option<PreparedKeys>,
}

/// Builds the endpoints of the listeners.
///
/// # Errors
/// The identity headers are invalid.
pub(super) fn endpoints(
    shared: &Shared,
    draft: Draft<'_>,
    upstreams: Upstreams,
) -> Result<Endpoints, IdentityError> {
    let identities = Identities::of_policy(&draft.config.identity, draft.gate.current().policy())?;
    let identities = identities.minting(mint(shared, draft));
    Ok(Assembly { shared, draft, upstreams, identities }.endpoints())
}

/// The parts that the endpoints of a generation are built from.
struct Assembly<'a> {
    shared: &'a Shared,
    draft: Draft<'a>,
    upstreams: Upstreams,
    identities: Identities,
}

impl Assembly<'_> {
    fn endpoints(self) -> Endpoints {
        let main =
            self.main().with(self.shared.denials.clone()).with(self.problem_bodies()).with(self.trace());
        let authorization = self.authorization();
        let administration = self.administration().with(self.shared.denials.clone());
        let administration = administration.with(self.problem_bodies()).with(self.trace()).boxed();
        Endpoints { main, authorization, administration, upstreams: self.upstreams, keys: None }
    }

    fn base(&self) -> &str {
        self.draft.config.server.base_path.as_str()
    }

    fn trace(&self) -> Trace {
        let Draft { runtime, config, .. } = self.draft;
        let trusted = config.server.trusted_proxies.clone();
        Trace::new(config.server.request_id.0.clone(), runtime.metrics.clone())
            .identifying(config.telemetry.log.identify)
            .believing(move |request| sender(&trusted, request))
            .locating(self.rule_places())
            .exporting(self.shared.spans.clone())
    }

    fn problem_bodies(&self) -> ProblemBodies {
        let config = self.draft.config;
        let docs = config.docs.then(|| format!("{}/docs", self.base()).into());
        ProblemBodies::new(config.server.request_id.0.clone(), docs)
    }

    /// Returns the places of the rules, by the labels of their routes.
    fn rule_places(&self) -> HashMap<Arc<str>, Box<str>> {
        let Draft { gate, config, .. } = self.draft;
        let state = gate.current();
        let routes = state.policy().routes().iter().map(|route| {
            let place = config.rules.place(route.source()).map(ToString::to_string);
            let place = place.unwrap_or_else(|| route.source().to_string());
            (route.label().clone(), place.into_boxed_str())
        });
        let own = [("admin", self.admin_label()), ("introspection", self.introspection_label())];
        let own = own.into_iter().filter_map(|(section, label)| {
            let place = config.rules.own_place(section)?.to_string();
            Some((label.into(), place.into_boxed_str()))
        });
        routes.chain(own).collect()
    }

    fn admin_label(&self) -> String {
        format!("{}/admin/**", self.base())
    }

    fn introspection_label(&self) -> String {
        format!("POST {}/introspect", self.base())
    }

    /// Builds the main listener's endpoint: the table's endpoints, and everything else through the gate.
    fn main(&self) -> OwnRoutes<Gated> {
        let Draft { gate, live, runtime, config, .. } = self.draft;
        let settings = ProxySettings {
            trusted_proxies: config.server.trusted_proxies.clone(),
            identities: self.identities.clone(),
            grace: config.streams.grace.get(),
            request_id: config.server.request_id.0.clone(),
        };
        let fallback = Fallback::new(config.sample_api.then(|| self.sample()));
        let proxy = ProxyEndpoint::new(
            live.clone(),
            self.upstreams.clone(),
            runtime.clock.clone(),
            settings,
            fallback,
        );
        let own = config.own_endpoints(gate.current().policy());
        own.iter().fold(OwnRoutes::new(proxy.with(gate.clone())), |routes, served| self.add(routes, served))
    }

    /// Builds the endpoint of `admin.listen`.
    fn administration(&self) -> OwnRoutes<Fallback> {
        let nothing = OwnRoutes::new(Fallback::new(None));
        match self.admin().filter(|_| self.draft.config.admin_listen().is_some()) {
            Some(admin) => nothing.below(format!("{}/admin", self.base()), admin),
            None => nothing,
        }
    }

    /// Adds an endpoint of the table.
    fn add(&self, routes: OwnRoutes<Gated>, served: &ServedEndpoint) -> OwnRoutes<Gated> {
        let Draft { gate, runtime, config, .. } = self.draft;
        let public_url = self.shared.public_endpoint.public_url.as_str();
        let endpoint = match served.endpoint.handler {
            Handler::ResourceMetadata => Public(self.metadata()).boxed(),
            Handler::Keys => Public(well_known::Keys(self.shared.signing.ring.clone())).boxed(),
            Handler::IssuerMetadata => Public(IssuerMetadata::new(public_url)).boxed(),
            Handler::Token => {
                let label = format!("POST {}", served.path);
                post(TokenEndpoint::new(gate.clone(), self.shared.tries(config), &label)).boxed()
            }
            Handler::Introspect => match self.introspection() {
                Some(introspect) => post(introspect).boxed(),
                None => return routes,
            },
            Handler::Revoke => post(RevokeEndpoint::new(gate.clone(), runtime.store.clone())).boxed(),
            Handler::BackchannelLogout => match self.signals(served) {
                Some(services) => post(BackchannelLogout(services)).boxed(),
                None => return routes,
            },
            Handler::SharedSignals => match self.signals(served) {
                Some(services) => post(SharedSignalsPush(services)).boxed(),
                None => return routes,
            },
            Handler::ForwardAuth(dialect) => self.forward_auth(dialect, &served.path),
            Handler::NginxProblem => {
                NginxProblem::new(config.server.trusted_proxies.clone()).map_to_response().boxed()
            }
            Handler::Admin => match self.admin() {
                Some(admin) => admin.map_to_response().boxed(),
                None => return routes,
            },
            Handler::OpenApi => {
                let document = self.document();
                get(make_sync(move |_| json(&document))).boxed()
            }
            Handler::Docs => mounted(self.base(), docs()).map_to_response().boxed(),
            // Behind the gate.
            Handler::Sample => return routes,
        };
        match served.endpoint.reach {
            Reach::Exact => routes.at(served.path.clone(), endpoint),
            Reach::Below => routes.below(served.path.clone(), endpoint),
        }
    }

    fn admin_api(&self) -> Admin {
        let Draft { live, runtime, .. } = self.draft;
        Admin::new(live.clone(), runtime.store.clone(), self.shared.admin_handle.clone())
    }

    fn admin(&self) -> Option<Route> {
        let rule = self.draft.config.rules.admin.as_ref()?;
        let service = OpenApiService::new(self.admin_api().apis(), "scopegate", env!("CARGO_PKG_VERSION"));
        let service = service.into_endpoint().before(bounded_administration);
        let service = service.catch_all_error(|error| async move { error_response(&error) });
        let label = self.admin_label();
        let read = self.draft.config.rules.admin_read.as_ref();
        let guard = AdminGuard::new(
            Guard::new(self.draft.gate.clone(), &label, rule.clone()),
            read.map(|rule| Guard::new(self.draft.gate.clone(), &label, rule.clone())),
        );
        // A feed outlives its generation, and ends when the live rule no longer admits its listener.
        let live = AdminGuard::new(
            Guard::new(self.draft.live.clone(), &label, rule.clone()),
            read.map(|rule| Guard::new(self.draft.live.clone(), &label, rule.clone())),
        );
        let page = self.operator_page(rule, guard.clone());
        let admin = Route::new()
            .at("/admin/overview", get(Overview(self.admin_api())))
            .at("/admin/decisions", get(Decisions::new(self.admin_api(), live)))
            .at("/admin/session", get(Session))
            .at("/admin/policy", get(PolicyInForce(self.admin_api())))
            .at("/admin/shadow", get(Shadow(self.admin_api())))
            .nest("/", service);
        let admin = admin.with(guard);
        let Some(page) = page else { return Some(mounted(self.base(), admin)) };
        let admin = Route::new()
            .at("/admin/ui", page.clone())
            .at("/admin/ui/*path", page.clone())
            .nest("/", page.with_session(admin));
        Some(mounted(self.base(), admin))
    }

    /// Builds the operator page, if it is configured.
    fn operator_page(&self, rule: &Rule, guard: AdminGuard) -> Option<OperatorPage> {
        let Draft { runtime, config, .. } = self.draft;
        config.admin.as_ref().filter(|admin| admin.ui)?;
        Some(OperatorPage {
            admin: format!("{}/admin", self.base()).into(),
            site: self.shared.public_endpoint.public_url.as_str().into(),
            gate: self.draft.live.clone(),
            scopes: rule.smallest_scopes(),
            guard,
            rule: rule.to_string().into(),
            read_rule: config.rules.admin_read.as_ref().map(|rule| rule.to_string().into()),
            key: self.shared.session_key(config)?,
            clock: runtime.clock.clone(),
        })
    }

    fn signals(&self, served: &ServedEndpoint) -> Option<SignalServices> {
        let Draft { gate, runtime, .. } = self.draft;
        Some(SignalServices {
            gate: gate.clone(),
            store: runtime.store.clone(),
            metrics: runtime.metrics.clone(),
            seen: self.shared.seen_signals.clone(),
            provider: served.provider.clone()?,
        })
    }

    fn introspection(&self) -> Option<IntrospectEndpoint> {
        let Draft { gate, config, .. } = self.draft;
        let section = config.introspection.as_ref()?;
        let label = self.introspection_label();
        let rule = config.rules.introspection.as_ref();
        let guard = rule.map(|rule| Guard::new(gate.clone(), &label, rule.clone()));
        let clients =
            section.clients.iter().map(|client| (client.id.clone(), client.secret.clone())).collect();
        Some(IntrospectEndpoint::new(gate.clone(), guard, clients, self.shared.tries(config), &label))
    }

    fn metadata(&self) -> ResourceMetadata {
        let public_url = &self.shared.public_endpoint.public_url;
        let documentation = self.draft.config.docs.then(|| format!("{public_url}{}/docs", self.base()));
        ResourceMetadata::new(self.draft.gate.clone(), public_url, documentation)
    }

    /// Builds the endpoint of a proxy's dialect.
    fn forward_auth(&self, dialect: Dialect, path: &str) -> BoxEndpoint<'static> {
        let trusted = self.draft.config.server.trusted_proxies.clone();
        let service = CheckService::new(self.draft.gate.clone(), self.identities.clone());
        match dialect {
            Dialect::Nginx => ForwardAuth::new(service, trusted, Nginx).map_to_response().boxed(),
            Dialect::Traefik => ForwardAuth::new(service, trusted, Traefik).map_to_response().boxed(),
            Dialect::Caddy => ForwardAuth::new(service, trusted, Caddy).map_to_response().boxed(),
            Dialect::Envoy => ForwardAuth::new(service, trusted, Envoy::at(path)).map_to_response().boxed(),
            Dialect::Haproxy => ForwardAuth::new(service, trusted, Haproxy).map_to_response().boxed(),
        }
    }

    /// Builds the endpoint of Envoy's gRPC checks: each is counted and logged as a request.
    fn authorization(&self) -> BoxEndpoint<'static> {
        let trusted = &self.draft.config.server.trusted_proxies;
        let service = CheckService::new(self.draft.gate.clone(), self.identities.clone());
        let decided = ForwardAuth::new(service, trusted.clone(), EnvoyGrpc);
        let decided =
            decided.with(self.shared.denials.clone()).with(self.problem_bodies()).with(self.trace());
        Authorization::new(decided, trusted.clone(), &self.identities).boxed()
    }

    fn operations(&self) -> OpenApiService<(SampleApi, ItemsApi), ()> {
        let items = ItemsApi::new(Arc::new(self.draft.runtime.store.clone()), self.base());
        OpenApiService::new((SampleApi, items), "scopegate", env!("CARGO_PKG_VERSION"))
    }

    fn sample(&self) -> Sample {
        let base = self.base();
        let operations = self.operations().into_endpoint().before(bounded);
        let whole = if base.is_empty() { operations.boxed() } else { mounted(base, operations).boxed() };
        let mut routes = HashMap::new();
        SampleApi.add_routes(&mut routes);
        let plain = routes
            .into_iter()
            .filter_map(|(path, mut methods)| Some((format!("{base}{path}"), methods.remove(&Method::GET)?)));
        Sample { plain: plain.collect(), whole }
    }

    /// Builds the document as it is served: the operations, overlaid with what the policy requires.
    fn document(&self) -> Arc<str> {
        let Draft { gate, connections, config, .. } = self.draft;
        let state = gate.current();
        let providers: Vec<_> = connections.iter().map(|connection| documented(connection, config)).collect();
        let own = if config.sample_api { self.operations().spec() } else { no_operations().spec() };
        let mut spec: Value = serde_json::from_str(&own).unwrap_or_default();
        let rule = config.rules.admin.as_ref();
        if rule.is_some() && config.admin.is_some() && config.admin_listen().is_none() {
            let more =
                OpenApiService::new(self.admin_api().apis(), "scopegate", env!("CARGO_PKG_VERSION")).spec();
            merge(&mut spec, serde_json::from_str(&more).unwrap_or_default());
        }
        let Ok(url) = self.shared.public_endpoint.public_url.parse() else { return "{}".into() };
        let site = Site::new(&url, self.base());
        let facts = Facts { policy: state.policy(), providers: &providers, site: &site, admin: rule };
        overlay(spec, facts).to_string().into()
    }
}

/// Returns the sender of a request, as far as its headers are believed.
fn sender(trusted: &TrustedProxies, request: &Request) -> Sender {
    let is_trusted = trusted.trusts_sender(request);
    let origin = trusted.origin(request.remote_addr(), Scheme::Http, request.headers());
    let caller = origin.ok().and_then(|origin| origin.client).filter(|_| is_trusted);
    Sender { is_trusted, caller }
}

fn documented(connection: &Connection, config: &Config) -> DocumentedProvider {
    DocumentedProvider {
        name: connection.name().clone(),
        gives_tokens: config.token_endpoint && connection.connected.provider().request_token().is_some(),
    }
}

/// Builds the signer of tokens for services.
fn mint(shared: &Shared, draft: Draft<'_>) -> Arc<Mint> {
    let config = draft.config;
    let public_url = shared.public_endpoint.public_url.as_str();
    let terms = Terms {
        issuer: public_url.into(),
        lifetime: config.mint.lifetime.get(),
        audience: config.mint.audience.as_deref().unwrap_or(public_url).into(),
        upstreams: config.upstreams.iter().map(|(name, upstream)| audience(name, upstream)).collect(),
    };
    Arc::new(Mint::new(shared.signing.ring.clone(), terms, draft.runtime.metrics.clone()))
}

/// Returns the audience of tokens for an upstream, beside its name.
fn audience(name: &str, upstream: &UpstreamSettings) -> (Box<str>, Arc<str>) {
    let audience = upstream.audience.clone().unwrap_or_else(|| upstream.url.to_string());
    (name.into(), audience.into())
}

/// Mounts an endpoint at the base path. poem's mounts are paths, with a slash for the empty one.
fn mounted(base: &str, endpoint: impl IntoEndpoint<Endpoint: 'static>) -> Route {
    Route::new().nest(if base.is_empty() { "/" } else { base }, endpoint)
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

fn no_operations() -> OpenApiService<(), ()> {
    OpenApiService::new((), "scopegate", env!("CARGO_PKG_VERSION"))
}

fn json(document: &Arc<str>) -> Response {
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-cache")
        .body(document.to_string())
}
