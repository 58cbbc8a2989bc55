//! What the provider can do beyond judging tokens.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use scopegate_provider::{
    BearerToken, Health, HealthReport, IssuerHealth, KeyControl, KeyHealth, Outage, OutageCause,
    RequestToken, RevokeToken, TokenRequest, TokenRequestError, TokenResponse,
};

use super::{DISABLED, Kind, OidcProvider};
use crate::{client::Client, introspection::Introspector, jwk::PublicKey, jwt::Jwt, keys::LiveIssuer};

#[async_trait]
impl RequestToken for OidcProvider {
    async fn request_token(&self, request: TokenRequest) -> Result<TokenResponse, TokenRequestError> {
        let configured = || self.settings.client().filter(|client| client.can_request_tokens()).cloned();
        let client = match request.client {
            Some(caller) => Client::of_caller(caller, self.settings.client_authentication_method()),
            None => configured().ok_or(TokenRequestError::NoClient)?,
        };
        let endpoint = match self.live.first() {
            Some(live) => self.endpoint(live, Kind::Token).await?,
            None => None,
        };
        let endpoint = endpoint.ok_or_else(|| {
            tracing::error!(provider = %self.rules.provider, "discovery names no token endpoint; set `token_endpoint`");
            Outage::new(OutageCause::Provider, DISABLED)
        })?;
        let scopes = request.scopes.as_ref().or_else(|| self.settings.token_request_scope());
        self.requester.request_token(&client, &endpoint, scopes, self.settings.token_parameters()).await
    }
}

#[async_trait]
impl RevokeToken for OidcProvider {
    async fn revoke_token(&self, token: &BearerToken) -> Result<(), Outage> {
        let (Some(client), Some(live)) = (self.settings.client(), self.issuer_of(token)) else {
            return Ok(());
        };
        match self.endpoint(live, Kind::Revocation).await? {
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
            ready: !disabled && self.live.first().is_some_and(|live| live.ready()),
            disabled,
            issuers: self.live.iter().map(|live| self.issuer_health(live)).collect(),
            introspection_latency_ms: self.introspector.as_ref().and_then(Introspector::latency),
            introspections: self.introspector.as_ref().map(Introspector::health),
        }
    }

    async fn ready(&self) {
        if let Some(live) = self.live.first() {
            live.until_ready().await;
        }
    }
}

#[async_trait]
impl KeyControl for OidcProvider {
    async fn refresh(&self) -> Result<(), Outage> {
        for live in &self.live {
            live.refresh().await?;
        }
        Ok(())
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
    /// The issuer that a token names, or else the first.
    fn issuer_of(&self, token: &BearerToken) -> Option<&Arc<LiveIssuer>> {
        let named = Jwt::parse(token).ok().and_then(|jwt| {
            let issuer = jwt.unverified_issuer().ok()?;
            self.live.iter().find(|live| live.issuer.as_str() == issuer)
        });
        named.or(self.live.first())
    }

    fn issuer_health(&self, live: &LiveIssuer) -> IssuerHealth {
        let status = live.status.load();
        IssuerHealth {
            issuer: live.issuer.clone(),
            keys: live
                .with_keys(|set| set.keys().map(|key| self.key_health(key)).collect())
                .unwrap_or_default(),
            last_refresh: status.last_refresh,
            next_refresh: status.next_refresh,
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
