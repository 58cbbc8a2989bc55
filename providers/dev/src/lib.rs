//! The embedded issuer: a real OpenID provider on a loopback listener of its own, for development and for tests of other
//! software.
//!
//! It is reached by discovery like any other provider. Clients get tokens with the client-credentials grant; people sign in
//! at its own page with the authorization-code grant and PKCE, with the id and secret of one of the clients. Keys are made
//! at start and live in memory only. It can take on the shape of Auth0, Okta, Entra ID, Keycloak or Cognito ([`Emulate`]), rotate its keys, and issue
//! broken tokens on request ([`Fault`]).
//!
//! ```
//! use std::sync::Arc;
//!
//! use scopegate_dev::{ClientSettings, IssuerSettings, LoopbackAddress};
//! use scopegate_provider::{Audience, ClientId, Scope, Secret, SystemClock};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let client = ClientSettings::new(ClientId::parse("demo")?, Secret::new("demo-secret"), [Scope::parse("items")?]);
//! let mut settings = IssuerSettings::new([Audience::parse("https://api.example")?], vec![client]);
//! settings.listen = LoopbackAddress::ANY_PORT;
//! let issuer = settings.start(Arc::new(SystemClock::new())).await?;
//! assert_eq!(issuer.token_url(), format!("{}/token", issuer.url()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it serves
//! | | as itself | `emulate: auth0` | `emulate: okta` |
//! | --- | --- | --- | --- |
//! | issuer | `http://127.0.0.1:9400` | `http://127.0.0.1:9400/` | `http://127.0.0.1:9400/oauth2/default` |
//! | metadata | `/.well-known/openid-configuration`, `…/oauth-authorization-server` | the same | below the issuer; also RFC 8414's inserted form |
//! | keys | `/.well-known/jwks.json` | `/.well-known/jwks.json` | `…/v1/keys` |
//! | sign-in | `/authorize` | `/authorize` | `…/v1/authorize` |
//! | token | `/token` | `/oauth/token` | `…/v1/token` |
//! | introspection | `/introspect` | none | `…/v1/introspect` |
//! | revocation | `/revoke` | `/oauth/revoke` | `…/v1/revoke` |
//! | signs with | ES256, RS256, `EdDSA` | RS256 | RS256 |
//!
//! And for development only, in every shape: `GET /dev` says what there is, `POST /dev/rotate` lets the next key sign,
//! `POST /dev/forget` withdraws the keys that signed earlier. A page in a browser can use neither.
//!
//! # Broken tokens
//! The token endpoint takes a parameter `fault`: the token is then good but for that one thing, and a resource server that
//! accepts it has a hole.
//!
//! ```sh
//! curl -u demo:demo-secret -d grant_type=client_credentials -d fault=expired http://127.0.0.1:9400/token
//! ```

mod address;
mod authorize;
mod client;
mod codes;
mod dialect;
mod elsewhere;
mod endpoint;
mod fault;
mod form;
mod handles;
mod keys;
mod kind;
mod ledger;
mod listening;
mod refusal;
mod running;
mod service;
mod settings;

pub use address::LoopbackAddress;
pub use elsewhere::Elsewhere;
pub use fault::Fault;
pub use kind::Dev;
pub use running::{Running, StartError};
pub use settings::{ClientSettings, Emulate, IssuerSettings, SettingsError, TokenDialect, TokenFormat};
