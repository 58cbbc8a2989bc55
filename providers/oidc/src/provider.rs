//! The provider: a token in, a principal or the reason against it out.

mod capability;

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use scopegate_provider::{
    AuthnError, BearerToken, Clock, ConnectError, Context, Credentials, Freshness, Health, Issuer,
    KeyControl, Offload, Outage, OutageCause, Outline, Principal, Provider, Refused, Rejection, RequestToken,
    RevokeToken, Tell, Timestamp,
};
use tokio::sync::oneshot;
use url::Url;

use crate::{
    discovery::Discovery,
    introspection::Introspector,
    judge::RequiredMembers,
    jwt::{Form, Jwt},
    keys::{LiveIssuer, Plan},
    rules::TokenRules,
    settings::{Common, Endpoint, Settings, Validate},
    token_request::Requester,
    verify::{Admitted, Introspected, Signed},
};

/// When to try again if verification is overloaded.
const OVERLOADED: Duration = Duration::from_secs(1);

/// When to try again if an administrator has disabled the provider.
const DISABLED: Duration = Duration::from_mins(1);

/// A provider of the kind `oidc`, or of a kind that is a preset of it: verifies tokens with the keys of their issuer,
/// introspects them, or both, as its settings say.
pub struct OidcProvider {
    settings: Settings,
    rules: TokenRules,
    live: Vec<Arc<LiveIssuer>>,
    introspector: Option<Introspector>,
    requester: Requester,
    clock: Arc<dyn Clock>,
    offload: Arc<dyn Offload>,
    epoch: Arc<AtomicU64>,
    disabled: AtomicBool,
    distrusted: ArcSwap<HashSet<String>>,
}

impl OidcProvider {
    /// Makes the provider and starts what keeps its keys fresh; an issuer that cannot be reached is an outage and no
    /// error, and recovers by itself. To be called within a Tokio runtime. The tasks end when the provider is dropped.
    ///
    /// # Errors
    /// [`ConnectError`] for an issuer that is no URL.
    pub fn connect(settings: Settings, context: Context) -> Result<Arc<Self>, ConnectError> {
        let Context { name, clock, http, offload, .. } = context;
        let http = settings.http().map_or(http, |own| own);
        let rules = settings.rules(name);
        let epoch = Arc::new(AtomicU64::new(0));
        let start = |issuer: &Issuer| {
            let plan = plan(&settings, &rules, issuer)?;
            Ok(LiveIssuer::start(issuer.clone(), plan, http.clone(), clock.clone(), epoch.clone()))
        };
        let live = rules.issuers.iter().map(start).collect::<Result<_, ConnectError>>()?;
        let introspector = settings.introspects().then(|| {
            let client = settings.client().cloned();
            Introspector::new(client, &settings.introspection(), http.clone(), clock.clone())
        });
        let requester = Requester { http: http.clone(), clock: clock.clone() };
        let (disabled, distrusted) = (AtomicBool::new(false), ArcSwap::default());
        Ok(Arc::new(Self {
            settings,
            rules,
            live,
            introspector,
            requester,
            clock,
            offload,
            epoch,
            disabled,
            distrusted,
        }))
    }

    /// Verifies by signature, then asks the provider where the settings or the route want that too.
    async fn verify(
        &self,
        token: &BearerToken,
        jwt: Arc<Jwt>,
        freshness: Freshness,
    ) -> Result<Principal, Refused> {
        let asked_too =
            freshness == Freshness::Fresh || self.settings.validate() == Validate::JwtThenIntrospect;
        let until = if asked_too { self.answer_until() } else { Timestamp::MAX };
        let admitted = self.rules.admit(jwt)?;
        let live = self.live(admitted.issuer())?;
        let signed = self.check_signature(live, admitted).await?;
        let judged = self.rules.judge_signed(signed, self.clock.now(), until);
        let principal =
            judged.map_err(|(rejection, client)| Refused { client, ..Refused::from(rejection) })?;
        if asked_too && let Err(error) = self.introspect(live, token, freshness).await {
            return Err(Refused { error, client: principal.client().cloned() });
        }
        Ok(principal)
    }

    async fn check_signature(&self, live: &LiveIssuer, admitted: Admitted) -> Result<Signed, AuthnError> {
        let trusted = |id: Option<&str>| match id {
            Some(id) if self.distrusted.load().contains(id) => Err(Rejection::KeyDistrusted),
            _ => Ok(()),
        };
        trusted(admitted.key_id())?;
        let keys = live.find(admitted.key_id(), admitted.algorithm()).await?;
        let overloaded = || Outage::new(OutageCause::Overloaded, OVERLOADED);
        let (answer, checked) = oneshot::channel();
        let job = move || -> Tell {
            // Who has gone away in the meantime wants no answer.
            if answer.is_closed() {
                return Box::new(|| {});
            }
            let signed = admitted.check_signature(&keys);
            Box::new(move || drop(answer.send(signed)))
        };
        self.offload.offload(Box::new(job)).map_err(|_| overloaded())?;
        let signed = checked.await.map_err(|_| overloaded())??;
        trusted(signed.key().id())?;
        Ok(signed)
    }

    async fn introspect(
        &self,
        live: &LiveIssuer,
        token: &BearerToken,
        freshness: Freshness,
    ) -> Result<Principal, AuthnError> {
        let introspector = self.introspector.as_ref().ok_or(Rejection::FreshnessUnavailable)?;
        let endpoint = self.endpoint(live, Kind::Introspection).await?.ok_or_else(|| {
            tracing::error!(issuer = %live.issuer, "discovery names no introspection endpoint; set `introspection_endpoint`");
            Outage::new(OutageCause::Introspection, DISABLED)
        })?;
        let cache_until = self.answer_until();
        let claims = match freshness {
            Freshness::Cached => introspector.ask(&live.issuer, &endpoint, token).await?,
            Freshness::Fresh => introspector.ask_anew(&endpoint, token).await?,
        };
        let claims = Arc::unwrap_or_clone(claims);
        let issuer = live.issuer.clone();
        let answer = Introspected { claims, issuer, required: RequiredMembers::ALL, cache_until };
        Ok(self.rules.judge_introspected(&answer, self.clock.now())?)
    }

    /// Introspects a JWT at the issuer that it names, which is believed no further than that.
    async fn introspect_jwt(
        &self,
        token: &BearerToken,
        jwt: &Jwt,
        freshness: Freshness,
    ) -> Result<Principal, AuthnError> {
        jwt.header()?;
        let issuer = jwt.unverified_issuer()?;
        let live = self.live.iter().find(|live| live.issuer.as_str() == issuer);
        let live = live.ok_or_else(|| Rejection::IssuerMismatch {
            expected: self.settings.issuer().as_str().into(),
            found: issuer.into(),
        })?;
        self.introspect(live, token, freshness).await
    }

    /// Introspects what only its issuer can read, at the first issuer.
    async fn introspect_opaque(
        &self,
        token: &BearerToken,
        freshness: Freshness,
        refused: Rejection,
    ) -> Result<Principal, AuthnError> {
        match self.live.first() {
            Some(live) if self.settings.takes_opaque_tokens() => {
                self.introspect(live, token, freshness).await
            }
            _ => Err(refused.into()),
        }
    }

    fn live(&self, issuer: &Issuer) -> Result<&Arc<LiveIssuer>, Rejection> {
        let live = self.live.iter().find(|live| live.issuer == *issuer);
        live.ok_or_else(|| Rejection::IssuerMismatch {
            expected: self.settings.issuer().as_str().into(),
            found: issuer.as_str().into(),
        })
    }

    /// Until when an answer to a question that is asked now may be used.
    fn answer_until(&self) -> Timestamp {
        self.clock.now() + self.settings.introspection().cache.get()
    }

    /// One of the provider's endpoints: the settings', or what discovery says.
    async fn endpoint(&self, live: &LiveIssuer, kind: Kind) -> Result<Option<Url>, Outage> {
        if let Some(url) = self.settings.endpoint(kind.setting()) {
            return Ok(Some(url));
        }
        let metadata = live.metadata().await.ok_or_else(|| live.outage(kind.cause()))?;
        let url = match kind {
            Kind::Token => &metadata.token_endpoint,
            Kind::Introspection => &metadata.introspection_endpoint,
            Kind::Revocation => &metadata.revocation_endpoint,
        };
        Ok(url.clone())
    }
}

/// An endpoint that is posted to.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Token,
    Introspection,
    Revocation,
}

impl Kind {
    fn setting(self) -> fn(&Common) -> Option<&Endpoint> {
        match self {
            Self::Token => |common| common.token_endpoint.as_ref(),
            Self::Introspection => |common| common.introspection_endpoint.as_ref(),
            Self::Revocation => |common| common.revocation_endpoint.as_ref(),
        }
    }

    fn cause(self) -> OutageCause {
        match self {
            Self::Introspection => OutageCause::Introspection,
            Self::Token | Self::Revocation => OutageCause::Provider,
        }
    }
}

fn plan(settings: &Settings, rules: &TokenRules, issuer: &Issuer) -> Result<Plan, ConnectError> {
    // Where the discovery document of a custom domain is, the setting for the first issuer does not say.
    let discovery_url =
        settings.endpoint(|common| common.discovery_url.as_ref()).filter(|_| issuer == settings.issuer());
    let discovery = Discovery::new(issuer.clone(), discovery_url)
        .map_err(|error| ConnectError::Setting { key: "issuer".to_owned(), problem: error.to_string() })?;
    let introspected = settings.validate() == Validate::Introspect;
    let told = settings.endpoint(Kind::Introspection.setting()).is_some();
    Ok(Plan {
        discovery,
        jwks_uri: settings.endpoint(|common| common.jwks_uri.as_ref()),
        keys_wanted: !introspected,
        metadata_wanted: introspected && !told,
        algorithms: rules.algorithms.clone(),
        jwks: settings.jwks().clone(),
        patience: settings.patience(),
    })
}

#[async_trait]
impl Provider for OidcProvider {
    fn issuers(&self) -> &[Issuer] {
        &self.rules.issuers
    }

    async fn authenticate(
        &self,
        credentials: &Credentials,
        freshness: Freshness,
    ) -> Result<Principal, AuthnError> {
        self.judge(credentials, freshness).await.map_err(|refused| refused.error)
    }

    async fn judge(&self, credentials: &Credentials, freshness: Freshness) -> Result<Principal, Refused> {
        if self.disabled.load(Ordering::SeqCst) {
            return Err(Outage::new(OutageCause::Disabled, DISABLED).into());
        }
        let token = &credentials.token;
        let asked = match (Form::of(credentials)?, self.settings.validate()) {
            (Form::Jwt(jwt), Validate::Jwt | Validate::JwtThenIntrospect) => {
                return self.verify(token, jwt, freshness).await;
            }
            (Form::Jwt(jwt), Validate::Introspect) => self.introspect_jwt(token, &jwt, freshness).await,
            (Form::Encrypted, _) => self.introspect_opaque(token, freshness, Rejection::Encrypted).await,
            (Form::Opaque, _) => self.introspect_opaque(token, freshness, Rejection::Opaque).await,
        };
        Ok(asked?)
    }

    fn takes_opaque_tokens(&self) -> bool {
        self.settings.takes_opaque_tokens()
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn max_token_lifetime(&self) -> Duration {
        self.rules.max_token_lifetime
    }

    fn request_token(&self) -> Option<&dyn RequestToken> {
        Some(self)
    }

    fn revoke_token(&self) -> Option<&dyn RevokeToken> {
        self.settings.client().is_some().then_some(self)
    }

    fn health(&self) -> Option<&dyn Health> {
        Some(self)
    }

    fn key_control(&self) -> Option<&dyn KeyControl> {
        Some(self)
    }
}

#[async_trait]
impl scopegate_provider::Settings for Settings {
    const KIND: &'static str = "oidc";

    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
        Ok(OidcProvider::connect(self, context)?)
    }

    fn outline(&self) -> Outline {
        Settings::outline(self)
    }

    fn schema() -> serde_json::Value {
        Settings::schema()
    }
}

impl fmt::Debug for OidcProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcProvider")
            .field("name", &self.rules.provider)
            .field("issuers", &self.rules.issuers)
            .finish_non_exhaustive()
    }
}
