//! The provider: turns a token into a principal, or into the reason against it.

mod capability;
mod signals;
mod status;

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
    AuthnError, AuthnFailure, BearerToken, Clock, ConnectError, Context, Credentials, Finished, Freshness,
    Health, Issuer, KeyControl, Offload, Outage, OutageCause, Outline, Principal, Provider, Rejection,
    RequestToken, RevokeToken, SignIn, Signals, Timestamp, VerifyProof,
};
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use url::Url;

use self::signals::{TokensSeen, Transmitter};
use crate::{
    discovery::Discovery,
    dpop::Dpop,
    introspection::{AnswerBody, Introspector},
    jwt::{Form, Jwt},
    key_set::Candidates,
    remote_keys::{Lookup, Plan, RemoteKeySet},
    rules::TokenRules,
    settings::{self, Common, IssuerSource, Settings, Validate},
    status_list::StatusLists,
    token_request::Requester,
    verify::{Admitted, Introspected, Signed},
};

/// The time until a new attempt if verification is overloaded.
const OVERLOADED: Duration = Duration::from_secs(1);

/// The time until a new attempt if an administrator has disabled the provider.
const DISABLED: Duration = Duration::from_mins(1);

/// A provider of the kind `oidc`, or of a kind that is a preset of it: verifies tokens with the keys of their issuer,
/// introspects them, or both, as its settings say.
pub struct OidcProvider {
    settings: Settings,
    rules: TokenRules,
    /// One for each place of metadata; an issuer may have several.
    remotes: Vec<Arc<RemoteKeySet>>,
    introspector: Option<Introspector>,
    dpop: Dpop,
    requester: Requester,
    transmitter: Option<Transmitter>,
    tokens_seen: TokensSeen,
    status_lists: StatusLists,
    clock: Arc<dyn Clock>,
    offload: Arc<dyn Offload>,
    epoch: Arc<AtomicU64>,
    disabled: AtomicBool,
    distrusted: ArcSwap<HashSet<String>>,
}

impl OidcProvider {
    /// Connects the provider and starts the tasks that keep its keys fresh. An issuer that cannot be reached is an outage
    /// and not an error, and recovers by itself. Must be called within a Tokio runtime. The tasks end when the provider is
    /// dropped.
    ///
    /// # Errors
    /// [`ConnectError`] for an issuer that is not a URL.
    pub fn connect(settings: Settings, context: Context) -> Result<Arc<Self>, ConnectError> {
        let Context { name, clock, http, offload, .. } = context;
        let http = settings.http().map_or(http, |own| own);
        let rules = settings.rules(name);
        let epoch = Arc::new(AtomicU64::new(0));
        let mut remotes = Vec::new();
        for source in settings.sources() {
            let plan = plan(&settings, &rules, source)?;
            let issuer = source.issuer.clone();
            remotes.push(RemoteKeySet::start(issuer, plan, http.clone(), clock.clone(), epoch.clone()));
        }
        let transmitter = Transmitter::start(&settings, &rules, http.clone(), clock.clone())?;
        let introspector = settings.introspects().then(|| {
            let client = settings.client().cloned();
            Introspector::new(client, &settings.introspection(), http.clone(), clock.clone())
        });
        let dpop = settings.dpop();
        Ok(Arc::new(Self {
            settings,
            dpop,
            rules,
            remotes,
            introspector,
            requester: Requester { http, clock: clock.clone() },
            transmitter,
            tokens_seen: TokensSeen::default(),
            status_lists: StatusLists::default(),
            clock,
            offload,
            epoch,
            disabled: AtomicBool::new(false),
            distrusted: ArcSwap::default(),
        }))
    }

    /// Verifies by signature, then asks the provider where the settings or the route require that too.
    async fn verify(
        &self,
        credentials: &Credentials,
        jwt: Arc<Jwt>,
        freshness: Freshness,
    ) -> Result<Principal, AuthnFailure> {
        let introspects =
            freshness == Freshness::Fresh || self.settings.validate() == Validate::JwtThenIntrospect;
        let until = if introspects { self.answer_until() } else { Timestamp::MAX };
        let signed = self.check_signature(self.rules.admit(jwt)?).await?;
        let issuer = signed.issuer().clone();
        let now = self.clock.now();
        let principal = self
            .rules
            .validate_with(signed, now, until, credentials.proof)
            .map_err(|(rejection, client)| AuthnFailure { client, ..AuthnFailure::from(rejection) })?;
        if introspects && let Err(error) = self.introspect(&issuer, credentials, freshness).await {
            return Err(AuthnFailure { error, client: principal.client().cloned() });
        }
        self.check_status(principal).await
    }

    /// Checks the signature of a token on the workers, with the keys of its issuer.
    async fn check_signature(&self, admitted: Admitted) -> Result<Signed, AuthnError> {
        let remotes = self.remotes_of(admitted.issuer())?;
        self.check_signature_by(admitted, &remotes).await
    }

    /// Checks the signature of a token on the workers, with the keys of these key sets.
    async fn check_signature_by(
        &self,
        admitted: Admitted,
        remotes: &[&Arc<RemoteKeySet>],
    ) -> Result<Signed, AuthnError> {
        self.check_trust(admitted.key_id())?;
        let keys = self.find_keys(&admitted, remotes).await?;
        let overloaded = Outage::new(OutageCause::Overloaded, OVERLOADED);
        let (answer, checked) = oneshot::channel();
        let job = move || {
            // A caller that has gone away needs no answer.
            if answer.is_closed() {
                return Finished::new(true, || {});
            }
            let signed = admitted.check_signature(&keys);
            Finished::new(signed.is_ok(), move || drop(answer.send(signed)))
        };
        self.offload.offload(Box::new(job)).map_err(|_| overloaded.clone())?;
        let signed = checked.await.map_err(|_| overloaded)??;
        self.check_trust(signed.key().id())?;
        Ok(signed)
    }

    /// Checks that an administrator does not distrust the key.
    fn check_trust(&self, id: Option<&str>) -> Result<(), Rejection> {
        match id {
            Some(id) if self.distrusted.load().contains(id) => Err(Rejection::KeyDistrusted),
            _ => Ok(()),
        }
    }

    /// Finds the keys that may have signed a token, in all of these key sets. A key set that does not hold the key
    /// and one that cannot be asked make an outage: the key may be in the latter.
    async fn find_keys(
        &self,
        admitted: &Admitted,
        remotes: &[&Arc<RemoteKeySet>],
    ) -> Result<Candidates, AuthnError> {
        let lookup = Lookup {
            reference: admitted.key_reference(),
            algorithm: admitted.algorithm(),
            tenant: self.rules.tenant_of(admitted.issuer().as_str()),
            issued_at: admitted.unverified_issue(),
        };
        let mut found: Option<Candidates> = None;
        let mut failure: Option<AuthnError> = None;
        for remote in remotes {
            match (remote.find(lookup).await, &failure) {
                (Ok(keys), _) => {
                    found = Some(match found.take() {
                        Some(others) => others.join(keys),
                        None => keys,
                    });
                }
                (Err(error), None | Some(AuthnError::Rejected(_))) => failure = Some(error),
                (Err(_), Some(AuthnError::Unavailable(_))) => {}
            }
        }
        found.ok_or_else(|| failure.unwrap_or_else(|| Rejection::UnknownKey.into()))
    }

    /// Introspects a token at the endpoint of an issuer.
    async fn introspect(
        &self,
        issuer: &Issuer,
        credentials: &Credentials,
        freshness: Freshness,
    ) -> Result<Principal, AuthnError> {
        let introspector = self.introspector.as_ref().ok_or(Rejection::FreshnessUnavailable)?;
        let remote = self.remotes_of(issuer)?.first().copied().ok_or(Rejection::FreshnessUnavailable)?;
        let endpoint = self.endpoint(remote, Endpoint::Introspection).await?.ok_or_else(|| {
            tracing::error!(%issuer, "discovery names no introspection endpoint; set `introspection_endpoint`");
            Outage::new(OutageCause::Introspection, DISABLED)
        })?;
        let cache_until = self.answer_until();
        let token = &credentials.token;
        let answer = match freshness {
            Freshness::Cached => introspector.ask(issuer, &endpoint, token).await?,
            Freshness::Fresh => introspector.ask_anew(&endpoint, token).await?,
        };
        let claims = match &*answer {
            AnswerBody::Plain(members) => members.clone(),
            AnswerBody::Signed(jwt) => self.verify_answer(issuer, jwt).await?,
        };
        let required = self.settings.introspection().required_members();
        let issuer = issuer.clone();
        let answer = Introspected { claims, issuer, required, cache_until, proof: credentials.proof };
        Ok(self.rules.validate_introspection(&answer, self.clock.now())?)
    }

    /// Verifies a signed introspection answer (RFC 9701, section 5): type, signature, issuer, and that it is meant for our
    /// client. An answer that does not hold is the provider's fault and says nothing about the token.
    async fn verify_answer(
        &self,
        issuer: &Issuer,
        answer: &BearerToken,
    ) -> Result<Map<String, Value>, AuthnError> {
        let client = self.settings.client().map_or("", |client| client.id.as_str());
        let verified = async {
            let admitted = self.rules.admit_answer(Jwt::parse(answer)?, issuer)?;
            Ok(self.check_signature(admitted).await?.into_answer(client)?)
        };
        verified.await.map_err(|error: AuthnError| match error {
            AuthnError::Rejected(rejection) => {
                tracing::warn!(%issuer, %rejection, "the signed introspection answer does not hold");
                Outage::new(OutageCause::Introspection, OVERLOADED).into()
            }
            outage @ AuthnError::Unavailable(_) => outage,
        })
    }

    /// Introspects a JWT at the issuer that it names. The name selects the endpoint and does nothing else.
    async fn introspect_jwt(
        &self,
        credentials: &Credentials,
        jwt: &Jwt,
        freshness: Freshness,
    ) -> Result<Principal, AuthnError> {
        jwt.header()?;
        let issuer = self.rules.expected_issuer(jwt.unverified_issuer()?)?;
        self.introspect(&issuer, credentials, freshness).await
    }

    /// Introspects an opaque token at the first issuer.
    async fn introspect_opaque(
        &self,
        credentials: &Credentials,
        freshness: Freshness,
        refused: Rejection,
    ) -> Result<Principal, AuthnError> {
        match self.rules.issuers.first() {
            Some(issuer) if self.settings.takes_opaque_tokens() => {
                self.introspect(issuer, credentials, freshness).await
            }
            _ => Err(refused.into()),
        }
    }

    /// Returns the key sets of an issuer.
    fn remotes_of(&self, issuer: &Issuer) -> Result<Vec<&Arc<RemoteKeySet>>, Rejection> {
        let remotes: Vec<_> = self.remotes.iter().filter(|remote| remote.serves(issuer.as_str())).collect();
        if remotes.is_empty() {
            let expected = self.settings.issuer().into();
            return Err(Rejection::IssuerMismatch { expected, found: issuer.as_str().into() });
        }
        Ok(remotes)
    }

    /// Returns the end of the time for which an answer of this moment may be used.
    fn answer_until(&self) -> Timestamp {
        self.clock.now() + self.settings.introspection().cache.get()
    }

    /// Returns one of the provider's endpoints: from the settings, or from the metadata.
    async fn endpoint(&self, remote: &RemoteKeySet, endpoint: Endpoint) -> Result<Option<Url>, Outage> {
        if let Some(url) = self.settings.endpoint(endpoint.setting()) {
            return Ok(Some(url));
        }
        let metadata = remote.metadata().await.ok_or_else(|| remote.outage(endpoint.cause()))?;
        let url = match endpoint {
            Endpoint::Authorization => &metadata.authorization_endpoint,
            Endpoint::Token => &metadata.token_endpoint,
            Endpoint::Introspection => &metadata.introspection_endpoint,
            Endpoint::Revocation => &metadata.revocation_endpoint,
        };
        Ok(url.clone())
    }
}

/// An endpoint of the provider.
#[derive(Debug, Clone, Copy)]
enum Endpoint {
    Authorization,
    Token,
    Introspection,
    Revocation,
}

impl Endpoint {
    fn setting(self) -> fn(&Common) -> Option<&settings::Endpoint> {
        match self {
            Self::Authorization => |_| None,
            Self::Token => |common| common.token_endpoint.as_ref(),
            Self::Introspection => |common| common.introspection_endpoint.as_ref(),
            Self::Revocation => |common| common.revocation_endpoint.as_ref(),
        }
    }

    fn cause(self) -> OutageCause {
        match self {
            Self::Introspection => OutageCause::Introspection,
            Self::Authorization | Self::Token | Self::Revocation => OutageCause::Provider,
        }
    }
}

fn plan(settings: &Settings, rules: &TokenRules, source: &IssuerSource) -> Result<Plan, ConnectError> {
    let mut discovery = None;
    if settings.reaches_metadata(source) {
        let found = Discovery::new(source.issuer.clone(), source.discovery_url.clone());
        discovery = Some(found.map_err(|error| ConnectError::Setting {
            key: "issuer".to_owned(),
            problem: error.to_string(),
        })?);
    }
    let is_introspected = settings.validate() == Validate::Introspect;
    let has_endpoint = settings.endpoint(Endpoint::Introspection.setting()).is_some();
    Ok(Plan {
        pattern: source.pattern.clone(),
        discovery,
        keys: settings.key_source(),
        needs_metadata: is_introspected && !has_endpoint,
        algorithms: rules.algorithms.clone(),
        key_by: rules.key_by.clone(),
        jwks: settings.jwks().clone(),
        fetch_timeout: settings.fetch_timeout(),
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
    ) -> Result<Principal, AuthnFailure> {
        if self.disabled.load(Ordering::SeqCst) {
            return Err(Outage::new(OutageCause::Disabled, DISABLED).into());
        }
        let introspected = match (Form::of(credentials)?, self.settings.validate()) {
            (Form::Jwt(jwt), Validate::Jwt | Validate::JwtThenIntrospect) => {
                let principal = self.verify(credentials, jwt, freshness).await?;
                self.tokens_seen.note(&principal);
                return Ok(principal);
            }
            (Form::Jwt(jwt), Validate::Introspect) => self.introspect_jwt(credentials, &jwt, freshness).await,
            (Form::Encrypted, _) => {
                self.introspect_opaque(credentials, freshness, Rejection::Encrypted).await
            }
            (Form::Opaque, _) => self.introspect_opaque(credentials, freshness, Rejection::Opaque).await,
        };
        let principal = introspected?;
        self.tokens_seen.note(&principal);
        Ok(principal)
    }

    fn serves(&self, issuer: &str) -> bool {
        self.rules.expected_issuer(issuer).is_ok()
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

    fn leeway(&self) -> Duration {
        self.rules.leeway
    }

    fn request_token(&self) -> Option<&dyn RequestToken> {
        Some(self)
    }

    fn revoke_token(&self) -> Option<&dyn RevokeToken> {
        self.settings.client().is_some().then_some(self)
    }

    fn sign_in(&self) -> Option<&dyn SignIn> {
        self.settings.client().is_some().then_some(self)
    }

    fn health(&self) -> Option<&dyn Health> {
        Some(self)
    }

    fn verify_proof(&self) -> Option<&dyn VerifyProof> {
        Some(&self.dpop)
    }

    fn key_control(&self) -> Option<&dyn KeyControl> {
        Some(self)
    }

    fn signals(&self) -> Option<&dyn Signals> {
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

    fn schema() -> Value {
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
