//! The capabilities of the provider beyond authentication.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use scopegate_provider::{
    AuthnError, BearerToken, Health, HealthReport, IssuerHealth, KeyControl, KeyHealth, Outage, OutageCause,
    Rejection, RequestToken, RevokeToken, Secret, SignIn, SignInRequest, StatusListHealth, TokenRequest,
    TokenRequestError, TokenResponse,
};
use serde_json::Value;

use super::{DISABLED, Endpoint, OidcProvider};
use crate::{
    client::Client,
    introspection::{AnswerBody, Introspector},
    jwk::PublicKey,
    jwt::Jwt,
    remote_keys::RemoteKeySet,
};

#[async_trait]
impl RequestToken for OidcProvider {
    async fn request_token(&self, request: TokenRequest) -> Result<TokenResponse, TokenRequestError> {
        let client = if let Some(caller) = request.client {
            Client::of_caller(caller, self.settings.client_authentication_method())
        } else {
            let configured = self.settings.client().filter(|client| client.can_request_tokens());
            configured.cloned().ok_or(TokenRequestError::NoClient)?
        };
        let endpoint = match self.remotes.first() {
            Some(remote) => self.endpoint(remote, Endpoint::Token).await?,
            None => None,
        };
        let endpoint = endpoint.ok_or_else(|| {
            tracing::error!(provider = %self.rules.provider, "discovery names no token endpoint; set `token_endpoint`");
            Outage::new(OutageCause::Provider, DISABLED)
        })?;
        let scopes = request.scopes.as_ref().or_else(|| self.settings.token_request_scope());
        let resources = match request.resources.as_slice() {
            [] => self.settings.token_request_resource(),
            asked => asked,
        };
        let fixed = self.settings.token_parameters();
        let mut parameters: Vec<(&str, &str)> =
            fixed.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        parameters.extend(resources.iter().map(|resource| ("resource", resource.as_str())));
        self.requester.request_token(&client, &endpoint, scopes, &parameters).await
    }
}

#[async_trait]
impl SignIn for OidcProvider {
    async fn authorization_url(&self, request: SignInRequest<'_>) -> Result<String, Outage> {
        let (Some(client), Some(remote)) = (self.settings.client(), self.remotes.first()) else {
            return Err(Outage::new(OutageCause::Provider, DISABLED));
        };
        let Some(mut url) = self.endpoint(remote, Endpoint::Authorization).await? else {
            tracing::error!(provider = %self.rules.provider, "discovery names no authorization endpoint");
            return Err(Outage::new(OutageCause::Provider, DISABLED));
        };
        let mut scope = "openid".to_owned();
        if let Some(scopes) = request.scopes {
            scope = format!("{scope} {scopes}");
        }
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client.id.as_str())
            .append_pair("redirect_uri", request.redirect_uri)
            .append_pair("scope", &scope)
            .append_pair("state", request.state)
            .append_pair("nonce", request.nonce)
            .append_pair("code_challenge", request.challenge)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(self.settings.token_parameters());
        Ok(url.into())
    }

    async fn redeem(
        &self,
        code: &str,
        verifier: &Secret,
        redirect_uri: &str,
        nonce: &str,
    ) -> Result<TokenResponse, TokenRequestError> {
        let client = self.settings.client().ok_or(TokenRequestError::NoClient)?;
        let endpoint = match self.remotes.first() {
            Some(remote) => self.endpoint(remote, Endpoint::Token).await?,
            None => None,
        };
        let endpoint = endpoint.ok_or_else(|| Outage::new(OutageCause::Provider, DISABLED))?;
        let (response, id_token) =
            self.requester.redeem(client, &endpoint, code, verifier, redirect_uri).await?;
        if let Some(id_token) = id_token {
            self.check_id_token(&id_token, client.id.as_str(), nonce).await?;
        }
        Ok(response)
    }
}

#[async_trait]
impl RevokeToken for OidcProvider {
    async fn revoke_token(&self, token: &BearerToken) -> Result<(), Outage> {
        let (Some(client), Some(remote)) = (self.settings.client(), self.issuer_of(token)) else {
            return Ok(());
        };
        match self.endpoint(remote, Endpoint::Revocation).await? {
            Some(endpoint) => self.requester.revoke(client, &endpoint, token).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Health for OidcProvider {
    fn report(&self) -> HealthReport {
        let disabled = self.disabled.load(Ordering::SeqCst);
        HealthReport {
            ready: !disabled && self.remotes.first().is_some_and(|remote| remote.ready()),
            disabled,
            issuers: self.remotes.iter().map(|remote| self.issuer_health(remote)).collect(),
            introspection_latency_ms: self.introspector.as_ref().and_then(Introspector::latency),
            introspections: self.introspector.as_ref().map(Introspector::health),
        }
    }

    fn status_lists(&self) -> Option<StatusListHealth> {
        self.settings.status_list().map(|_| self.status_lists.health())
    }

    async fn ready(&self) {
        if let Some(remote) = self.remotes.first() {
            remote.until_ready().await;
        }
    }

    async fn probe(&self) -> Option<Result<(), String>> {
        let introspector = self.introspector.as_ref()?;
        let remote = self.remotes.first()?;
        let endpoint = match self.endpoint(remote, Endpoint::Introspection).await {
            Ok(Some(endpoint)) => endpoint,
            Ok(None) => {
                let problem = "discovery names no introspection endpoint; set `introspection_endpoint`";
                return Some(Err(problem.to_owned()));
            }
            Err(outage) => return Some(Err(outage.to_string())),
        };
        let (token, is_own) = self.token_for_probe().await?;
        let answer = match introspector.probe(&endpoint, &token).await {
            Err(problem) => return Some(Err(format!("introspection at `{endpoint}`: {problem}"))),
            Ok(answer) => answer,
        };
        let active = match &answer {
            AnswerBody::Plain(members) => members.get("active") == Some(&Value::Bool(true)),
            AnswerBody::Signed(_) => true,
        };
        Some(if active || !is_own {
            Ok(())
        } else {
            Err(format!(
                "introspection at `{endpoint}`: the provider calls its own new token inactive; it may not introspect its JWTs, or only for a client that is in their audience"
            ))
        })
    }
}

#[async_trait]
impl KeyControl for OidcProvider {
    async fn refresh(&self) -> Result<(), Outage> {
        let mut result = Ok(());
        for (index, remote) in self.remotes.iter().enumerate() {
            // An issuer that has never answered, such as that of a token version not in use, is no failure.
            let counts = index == 0 || remote.ready();
            let refreshed = remote.refresh().await;
            result = result.and(if counts { refreshed } else { Ok(()) });
        }
        result
    }

    fn distrust(&self, kids: &[String]) {
        let before = self.distrusted.swap(Arc::new(kids.iter().cloned().collect()));
        if kids.iter().any(|kid| !before.contains(kid)) {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn set_disabled(&self, disabled: bool) {
        let before = self.disabled.swap(disabled, Ordering::SeqCst);
        if disabled && !before {
            self.epoch.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl OidcProvider {
    async fn check_id_token(
        &self,
        token: &Secret,
        client: &str,
        nonce: &str,
    ) -> Result<(), TokenRequestError> {
        let token = BearerToken::parse(token.reveal())
            .map_err(|_| Rejection::Malformed { detail: "expected an ID token as a JWT" });
        let admitted = token
            .and_then(|token| Jwt::parse(&token))
            .and_then(|jwt| self.rules.admit_id_token(jwt))
            .map_err(TokenRequestError::IdToken)?;
        let signed = self.check_signature(admitted).await.map_err(|error| match error {
            AuthnError::Rejected(rejection) => TokenRequestError::IdToken(rejection),
            AuthnError::Unavailable(outage) => TokenRequestError::Unavailable(outage),
        })?;
        let checked = self.rules.validate_id_token(&signed, client, nonce, self.clock.now());
        checked.map_err(TokenRequestError::IdToken)
    }

    /// Returns a token to introspect in a probe: a new one of the provider, and `true`, if the settings hold a client that
    /// gets one, or else a text that no provider has issued.
    async fn token_for_probe(&self) -> Option<(BearerToken, bool)> {
        match self.request_token(TokenRequest::default()).await {
            Ok(response) => Some((response.access_token, true)),
            Err(_) => Some((BearerToken::parse("scopegate-check").ok()?, false)),
        }
    }

    /// Returns the issuer that a token names, or else the first.
    fn issuer_of(&self, token: &BearerToken) -> Option<&Arc<RemoteKeySet>> {
        let named = Jwt::parse(token).ok().and_then(|jwt| {
            let issuer = jwt.unverified_issuer().ok()?;
            self.remotes.iter().find(|remote| remote.serves(issuer))
        });
        named.or(self.remotes.first())
    }

    fn issuer_health(&self, remote: &RemoteKeySet) -> IssuerHealth {
        let status = remote.status.load();
        IssuerHealth {
            issuer: remote.issuer.clone(),
            keys: remote
                .with_keys(|set| set.keys().map(|key| self.key_health(key)).collect())
                .unwrap_or_default(),
            last_refresh: status.last_refresh,
            next_refresh: status.next_refresh,
            stale_at: remote.stale_at(),
            refreshes: status.refreshes,
            failed_refreshes: status.failed_refreshes,
            last_error: status.last_error.clone(),
        }
    }

    fn key_health(&self, key: &PublicKey) -> KeyHealth {
        KeyHealth {
            id: key.id().map(str::to_owned),
            algorithms: key.algorithms().map(|algorithm| algorithm.to_string()).collect(),
            distrusted: key.id().is_some_and(|id| self.distrusted.load().contains(id)),
        }
    }
}
