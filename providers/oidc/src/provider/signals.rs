//! Signals of the provider: logout tokens and security events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use scopegate_provider::{
    BearerToken, Clock, ConnectError, EventStream, HttpClient, Issuer, NoEffect, Outage, OutageCause,
    PollAnswer, PolledEvents, Principal, RequestToken, ScopeSet, Secret, Signal, SignalEffect, SignalError,
    SignalSupport, SignalTarget, Signals, Span, StreamError, StreamReport, TokenRequest,
};

use super::{DISABLED, OidcProvider};
use crate::{
    client::Client,
    discovery::Discovery,
    event_stream::{StateKey, StreamClient, poll_interval},
    jwt::Jwt,
    remote_keys::{KeySource, Plan, RemoteKeySet},
    rules::TokenRules,
    security_event::Receiver,
    settings::{Settings, SharedSignals},
};

/// The transmitter of security events.
#[derive(Debug)]
pub(super) struct Transmitter {
    settings: SharedSignals,
    issuer: Issuer,
    keys: Arc<RemoteKeySet>,
    client: StreamClient,
}

/// The properties of the tokens that were verified so far.
#[derive(Debug, Default)]
pub(super) struct TokensSeen {
    any: AtomicBool,
    with_session: AtomicBool,
}

impl TokensSeen {
    /// Notes the properties of a token.
    pub(super) fn note(&self, principal: &Principal) {
        for (flag, holds) in [(&self.any, true), (&self.with_session, principal.session().is_some())] {
            // Most tokens are like those before, and a load keeps the cache line shared.
            if holds && !flag.load(Ordering::Relaxed) {
                flag.store(true, Ordering::Relaxed);
            }
        }
    }

    fn name_session(&self) -> bool {
        self.with_session.load(Ordering::Relaxed)
    }

    /// Returns `true` if tokens were seen and none named its session.
    fn lack_session(&self) -> bool {
        self.any.load(Ordering::Relaxed) && !self.name_session()
    }
}

impl Transmitter {
    /// Starts to fetch the transmitter's keys, if the settings name one.
    pub(super) fn start(
        settings: &Settings,
        rules: &TokenRules,
        http: Arc<dyn HttpClient>,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, ConnectError> {
        let Some(signals) = settings.shared_signals() else { return Ok(None) };
        let Some(issuer) = signals.issuer.clone() else { return Ok(None) };
        let metadata = Discovery::of_transmitter(issuer.clone()).ok();
        let keys = match &signals.jwks_uri {
            Some(endpoint) => KeySource::Url(endpoint.0.clone()),
            None => KeySource::Discovery,
        };
        if metadata.is_none() && signals.jwks_uri.is_none() {
            return Err(ConnectError::Setting {
                key: "shared_signals.issuer".to_owned(),
                problem: "expected a URL, or `shared_signals.jwks_uri`".to_owned(),
            });
        }
        let plan = Plan {
            pattern: None,
            discovery: metadata.filter(|_| signals.jwks_uri.is_none()),
            keys,
            needs_metadata: false,
            algorithms: rules.algorithms.clone(),
            key_by: rules.key_by.clone(),
            jwks: settings.jwks().clone(),
            fetch_timeout: settings.fetch_timeout(),
        };
        // A key that the transmitter withdraws says nothing about access tokens.
        let keys =
            RemoteKeySet::start(issuer.clone(), plan, http.clone(), clock, Arc::new(AtomicU64::new(0)));
        let managed = signals.stream.as_ref().and_then(|stream| stream.token.as_ref());
        let secret = managed.or(signals.authorization.as_ref());
        let secret = secret.or_else(|| settings.client().and_then(|client| client.authentication.secret()));
        let client = StreamClient {
            provider: rules.provider.clone(),
            issuer: issuer.clone(),
            settings: signals.clone(),
            discovery: Discovery::of_transmitter(issuer.clone()).ok(),
            http,
            state_key: secret.map(StateKey::derived),
        };
        Ok(Some(Self { settings: signals.clone(), issuer, keys, client }))
    }
}

#[async_trait]
impl Signals for OidcProvider {
    fn takes_logout_tokens(&self) -> bool {
        self.settings.takes_logout_tokens()
    }

    async fn logout(&self, token: &BearerToken) -> Result<Signal, SignalError> {
        let client = self.settings.client().filter(|_| self.settings.takes_logout_tokens());
        let client = client.ok_or_else(|| Outage::new(OutageCause::Provider, DISABLED))?;
        let admitted = self.rules.admit_logout(Jwt::parse(token)?)?;
        let signed = self.check_signature(admitted).await?;
        let mut signal = self.rules.validate_logout(&signed, client.id.as_str(), self.clock.now())?;
        if self.tokens_seen.lack_session() && names_sessions_only(&signal) {
            signal.doubt = Some(NoEffect::NoSessionInTokens);
        }
        Ok(signal)
    }

    fn takes_security_events(&self) -> bool {
        self.transmitter.is_some()
    }

    fn admits_push(&self, authorization: Option<&[u8]>) -> bool {
        let expected = self.transmitter.as_ref().and_then(|from| from.settings.authorization.as_ref());
        match (expected, authorization) {
            (None, _) => true,
            (Some(expected), Some(found)) => {
                verify_slices_are_equal(expected.reveal().as_bytes(), found).is_ok()
            }
            (Some(_), None) => false,
        }
    }

    async fn security_event(&self, token: &BearerToken) -> Result<Signal, SignalError> {
        let Some(transmitter) = &self.transmitter else {
            return Err(Outage::new(OutageCause::Provider, DISABLED).into());
        };
        let metadata = transmitter.keys.metadata.load_full();
        let receiver = Receiver {
            rules: &self.rules,
            settings: &transmitter.settings,
            issuer: &transmitter.issuer,
            critical: metadata.as_ref().map_or(&[], |metadata| &metadata.critical_subject_members),
            tokens_name_session: self.tokens_seen.name_session(),
        };
        let admitted = receiver.admit(Jwt::parse(token)?)?;
        let signed = self.check_signature_by(admitted, &[&transmitter.keys]).await?;
        let now = self.clock.now();
        let mut signal = receiver.validate(&signed, now)?;
        if let SignalEffect::Verification { state: Some(state) } = &signal.effect
            && transmitter.settings.stream.is_some()
            && !transmitter.client.knows_state(state, now)
        {
            return Err(SignalError::InvalidState);
        }
        if self.tokens_seen.lack_session() && names_sessions_only(&signal) {
            signal.doubt = Some(NoEffect::NoSessionInTokens);
        }
        Ok(signal)
    }

    fn silent_after(&self) -> Option<Duration> {
        self.transmitter.as_ref()?.settings.silent_after.map(Span::get)
    }

    fn stream(&self) -> Option<&dyn EventStream> {
        self.transmitter.is_some().then_some(self)
    }

    async fn support(&self) -> Result<SignalSupport, Outage> {
        let metadata = match self.remotes.first() {
            Some(remote) => remote.metadata().await,
            None => None,
        };
        let mut transmitter_problem = None;
        if let Some(transmitter) = &self.transmitter
            && transmitter.keys.refresh().await.is_err()
        {
            transmitter_problem.clone_from(&transmitter.keys.status.load().last_error);
        }
        Ok(SignalSupport {
            backchannel_logout: metadata.as_ref().and_then(|metadata| metadata.backchannel_logout),
            backchannel_logout_session: metadata.and_then(|metadata| metadata.backchannel_logout_session),
            session_claim: self.rules.session_claim.clone(),
            transmitter_problem,
        })
    }
}

#[async_trait]
impl EventStream for OidcProvider {
    fn poll_every(&self) -> Option<Duration> {
        poll_interval(&self.transmitter.as_ref()?.settings)
    }

    async fn poll(&self, answer: &PollAnswer) -> Result<PolledEvents, StreamError> {
        self.stream_client()?.poll(answer).await
    }

    fn verify_every(&self) -> Option<Duration> {
        self.transmitter.as_ref()?.settings.stream.as_ref()?.verify_every.map(Span::get)
    }

    fn is_managed(&self) -> bool {
        self.transmitter.as_ref().is_some_and(|from| from.settings.stream.is_some())
    }

    async fn verify(&self, endpoint: Option<&str>) -> Result<(), StreamError> {
        let token = self.stream_token().await?;
        self.stream_client()?.verify(endpoint, token.as_ref(), self.clock.now()).await
    }

    async fn register(&self, endpoint: Option<&str>) -> Result<StreamReport, StreamError> {
        let token = self.stream_token().await?;
        self.stream_client()?.register(endpoint, token.as_ref()).await
    }

    async fn status(&self, endpoint: Option<&str>) -> Result<StreamReport, StreamError> {
        let token = self.stream_token().await?;
        self.stream_client()?.status(endpoint, token.as_ref()).await
    }
}

impl OidcProvider {
    fn stream_client(&self) -> Result<&StreamClient, StreamError> {
        let transmitter = self.transmitter.as_ref();
        transmitter.map(|from| &from.client).ok_or(StreamError::NotConfigured("shared_signals"))
    }

    /// Returns the token of the stream's management: that of the settings, or a new one for the client of the settings.
    async fn stream_token(&self) -> Result<Option<Secret>, StreamError> {
        let settings = self.transmitter.as_ref().and_then(|from| from.settings.stream.as_ref());
        if let Some(token) = settings.and_then(|stream| stream.token.clone()) {
            return Ok(Some(token));
        }
        if !self.settings.client().is_some_and(Client::can_request_tokens) {
            return Ok(None);
        }
        let scopes = ScopeSet::parse("ssf.read ssf.manage").ok();
        let request = TokenRequest { scopes, ..TokenRequest::default() };
        let granted = self.request_token(request).await.map_err(StreamError::Token)?;
        Ok(Some(Secret::new(granted.access_token.reveal())))
    }
}

/// Returns `true` if a signal withdraws sessions and nothing else.
fn names_sessions_only(signal: &Signal) -> bool {
    match &signal.effect {
        SignalEffect::Withdraw(withdrawals) => {
            withdrawals.iter().all(|withdrawal| matches!(withdrawal.target, SignalTarget::Session(_)))
        }
        _ => false,
    }
}
