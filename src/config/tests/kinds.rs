//! Kinds of providers for these tests: settings of the real shape, never connected.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use scopegate_provider::{
    Audience, ConnectError, Context, Issuer, Outline, Provider, Secret, Settings, Span,
};
use serde::Deserialize;

use crate::providers::Kinds;

macro_rules! kind {
    ($name:ident, $kind:literal) => {
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $name {
            issuer: Option<Issuer>,
            domain: Option<String>,
            audience: Audience,
            client_id: Option<String>,
            client_secret: Option<Secret>,
            leeway: Option<Span>,
            opaque_tokens: Option<bool>,
            #[serde(default)]
            algorithms: Vec<String>,
        }

        #[async_trait]
        impl Settings for $name {
            const KIND: &'static str = $kind;

            async fn connect(self, _: Context) -> Result<Arc<dyn Provider>, ConnectError> {
                Err(ConnectError::Setting {
                    key: self.client_id.unwrap_or_default(),
                    problem: format!(
                        "{:?} {:?} {:?} {:?}",
                        self.domain, self.client_secret, self.leeway, self.algorithms
                    ),
                })
            }

            fn outline(&self) -> Outline {
                let mut outline = Outline::default();
                outline.issuers = self.issuer.iter().cloned().collect();
                outline.audiences = vec![self.audience.clone()];
                outline.opaque_tokens = self.opaque_tokens.unwrap_or_default();
                outline
            }

            fn schema() -> serde_json::Value {
                schemars::schema_for!($name).to_value()
            }
        }
    };
}

kind!(Okta, "okta");
kind!(Oidc, "oidc");

pub(super) fn all() -> Kinds {
    Kinds::none().with::<Okta>().with::<Oidc>()
}

/// What `connect` says of the provider `name`: its text settings.
pub(super) fn told(config: super::Config, name: &str) -> String {
    let provider = config.providers.into_iter().find(|provider| provider.name().as_str() == name).unwrap();
    let context = Context::new(
        provider.name().clone(),
        Arc::new(scopegate_provider::SystemClock::new()),
        Arc::new(NoHttp),
        Arc::new(scopegate_provider::Inline),
    );
    let connecting = provider.into_settings().connect(context);
    futures_util::FutureExt::now_or_never(connecting).unwrap().unwrap_err().to_string()
}

#[derive(Debug)]
struct NoHttp;

#[async_trait]
impl scopegate_provider::HttpClient for NoHttp {
    async fn send(
        &self,
        _: http::Request<bytes::Bytes>,
    ) -> Result<http::Response<bytes::Bytes>, scopegate_provider::HttpError> {
        unreachable!("these kinds never connect")
    }
}
