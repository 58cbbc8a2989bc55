//! A provider plugin of one's own inside the server: API keys that stand in the configuration.
//!
//! ```sh
//! cargo run --example custom_provider
//! ```
//!
//! It serves on a free loopback port, calls itself with a key and without, prints what came back, and ends.

use std::{
    error::Error,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use schemars::JsonSchema;
use scopegate::{
    app::{App, PublicEndpoint},
    config::{ConfigSource, Loader},
    providers::Kinds,
    server::{Bound, ListenerSettings, Shutdown},
};
use scopegate_provider::{
    AuthnFailure, Claims, ClientId, Clock, ConnectError, Context, Credentials, Freshness, Issuer, Outline,
    Principal, Provider, ProviderName, Rejection, Scope, Secret, Settings, Verified,
};
use serde::{Deserialize, Deserializer, de};

const CONFIGURATION: &str = r#"
server: { listen: 127.0.0.1:0 }
operations: { listen: 127.0.0.1:0 }
sample_api: true
store: { url: "memory:" }
providers:
  partners:
    kind: api_keys
    keys:
      - { key: k3y-of-acme, client: acme, scopes: [items] }
      - { key: k3y-of-nobody, client: nobody }
scopes: { items: Read items }
routes:
  - { match: GET /items/**, require: items }
"#;

/// The time for which a key that was found stays valid, here and in caches.
const LIFETIME: Duration = Duration::from_mins(1);

/// The settings: what stands under the provider's name, without `kind` and `required`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApiKeys {
    /// The keys, one at least.
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(with = "Vec<ApiKey>")]
    keys: Vec<ApiKey>,
}

/// A key, whose it is, and what it opens.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApiKey {
    key: Secret,
    client: ClientId,
    #[serde(default)]
    scopes: Vec<Scope>,
}

/// Settings that parse must be usable, so that `scopegate check` reports errors before anything starts.
fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ApiKey>, D::Error> {
    let keys = Vec::<ApiKey>::deserialize(deserializer)?;
    if keys.is_empty() { Err(de::Error::custom("expected at least one key, found none")) } else { Ok(keys) }
}

/// The provider that the settings make.
#[derive(Debug)]
struct ApiKeyProvider {
    name: ProviderName,
    issuers: [Issuer; 1],
    keys: Vec<ApiKey>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Settings for ApiKeys {
    const KIND: &'static str = "api_keys";

    async fn connect(self, context: Context) -> Result<Arc<dyn Provider>, ConnectError> {
        Ok(Arc::new(ApiKeyProvider {
            name: context.name,
            issuers: [issuer()?],
            keys: self.keys,
            clock: context.clock,
        }))
    }

    fn outline(&self) -> Outline {
        let mut outline = Outline::default();
        outline.issuers.extend(issuer());
        outline.opaque_tokens = true;
        // The keys are at hand, so that `fresh: true` costs nothing.
        outline.introspects = true;
        outline
    }

    fn schema() -> serde_json::Value {
        schemars::schema_for!(ApiKeys).to_value()
    }
}

/// API keys name no issuer; principals need one all the same.
fn issuer() -> Result<Issuer, scopegate_provider::NameError> {
    Issuer::parse("urn:example:api-keys")
}

#[async_trait]
impl Provider for ApiKeyProvider {
    fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Returns `true`: tokens that are not JWTs are sent to this provider, and to no other.
    fn takes_opaque_tokens(&self) -> bool {
        true
    }

    async fn authenticate(&self, credentials: &Credentials, _: Freshness) -> Result<Principal, AuthnFailure> {
        let given = credentials.token.as_bytes();
        // How long it takes must not tell how much of a key was right.
        let is_given =
            |known: &&ApiKey| verify_slices_are_equal(known.key.reveal().as_bytes(), given).is_ok();
        let known = self.keys.iter().find(is_given).ok_or(Rejection::Inactive)?;
        let [issuer] = &self.issuers;
        let until = self.clock.now() + LIFETIME;
        Ok(Principal::assert_verified(Verified {
            provider: self.name.clone(),
            issuer: issuer.clone(),
            subject: None,
            client: Some(known.client.clone()),
            audience: Arc::default(),
            scopes: known.scopes.iter().cloned().collect(),
            roles: Box::default(),
            token_id: None,
            session: None,
            // A key was issued nobody knows when: every revocation of its client holds for it.
            issued_at: None,
            expires_at: until,
            leeway: Duration::ZERO,
            cache_until: until,
            claims: Claims::from_json(*b"{}"),
        }))
    }
}

/// Serves, calls itself, and writes what came back to `out`.
pub(crate) async fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let source = ConfigSource::Text { name: "example.yaml".to_owned(), text: CONFIGURATION.to_owned() };
    let kinds = Kinds::builtin().with::<ApiKeys>();
    let config = Loader::new().kinds(kinds).without_environment().load(&source)?;

    let listener = ListenerSettings { listen: config.server.listen.clone(), ..ListenerSettings::default() };
    let bound = Bound::bind(&listener).await?;
    let url = format!("http://{}", bound.local_addr());
    let shutdown = Shutdown::new();
    let reached = PublicEndpoint { public_url: url.clone(), is_certain: true };
    let app = App::build(config, reached, shutdown.clone()).await?;
    let serving = tokio::spawn(bound.serve(app.endpoint(), shutdown.clone()));

    for key in ["k3y-of-acme", "k3y-of-nobody", "another"] {
        writeln!(out, "with {key}: {}", items(&url, Some(key)).await?)?;
    }
    writeln!(out, "without a key: {}", items(&url, None).await?)?;

    shutdown.drain();
    serving.await?;
    Ok(())
}

/// `GET /items`: the status and the body.
async fn items(url: &str, key: Option<&str>) -> Result<String, reqwest::Error> {
    let mut request = reqwest::Client::builder().no_proxy().build()?.get(format!("{url}/items"));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await?;
    Ok(format!("{} {}", answer.status().as_u16(), answer.text().await?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run(&mut io::stdout()).await
}
