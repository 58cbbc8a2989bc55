//! The kind `dev` for commands that ask an issuer which another process runs.

use std::sync::Arc;

use async_trait::async_trait;
use scopegate_oidc::OidcProvider;
use scopegate_provider::{
    AuthnFailure, ClientCredentials, ConnectError, Context, Credentials, Freshness, Issuer, Outline,
    Principal, Provider, RequestToken, Settings, TokenRequest, TokenRequestError, TokenResponse,
};
use serde::{Deserialize, Deserializer};

use crate::{Dev, kind::settings_elsewhere};

/// The settings of the kind `dev`, connected to the issuer where it already runs: none is started. Tokens are asked for
/// as the first client of the settings.
#[derive(Debug)]
pub struct Elsewhere(Dev);

impl<'de> Deserialize<'de> for Elsewhere {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Dev::deserialize(deserializer).map(Self)
    }
}

#[async_trait]
impl Settings for Elsewhere {
    const KIND: &'static str = Dev::KIND;

    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
        let (settings, client) = settings_elsewhere(self.0)?;
        let provider = OidcProvider::connect(settings, context)?;
        Ok(Arc::new(RunningElsewhere { provider, client }))
    }

    fn outline(&self) -> Outline {
        self.0.outline()
    }

    fn schema() -> serde_json::Value {
        Dev::schema()
    }
}

#[derive(Debug)]
struct RunningElsewhere {
    provider: Arc<OidcProvider>,
    client: Option<ClientCredentials>,
}

#[async_trait]
impl Provider for RunningElsewhere {
    fn issuers(&self) -> &[Issuer] {
        self.provider.issuers()
    }

    fn inner(&self) -> Option<&dyn Provider> {
        Some(&*self.provider)
    }

    async fn authenticate(
        &self,
        credentials: &Credentials,
        freshness: Freshness,
    ) -> Result<Principal, AuthnFailure> {
        self.provider.authenticate(credentials, freshness).await
    }

    fn request_token(&self) -> Option<&dyn RequestToken> {
        Some(self)
    }
}

#[async_trait]
impl RequestToken for RunningElsewhere {
    async fn request_token(&self, request: TokenRequest) -> Result<TokenResponse, TokenRequestError> {
        let client = request.client.or_else(|| self.client.clone());
        RequestToken::request_token(&*self.provider, TokenRequest { client, ..request }).await
    }
}
