//! The client that scopegate is to a provider, and its authentication.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use scopegate_provider::{ClientCredentials, ClientId, Clock, Secret};
use serde::Serialize;
use url::{Url, form_urlencoded};

use crate::settings::{ClientAuthenticationMethod, SettingsError};

/// The lifetime of an assertion: longer than any answer takes, far below the hour that Okta allows.
const ASSERTION_LIFETIME: Duration = Duration::from_mins(1);

/// A client of the provider.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) authentication: ClientAuthentication,
}

/// The way in which a client authenticates (OIDC Core 1.0, section 9).
#[derive(Debug, Clone)]
pub(crate) enum ClientAuthentication {
    /// In the `Authorization` header (RFC 6749, section 2.3.1).
    Basic(Secret),
    /// In the form.
    Post(Secret),
    /// By a JWT of its own (RFC 7523, section 2.2).
    PrivateKeyJwt(Arc<AssertionKey>),
    /// By its id alone.
    None,
}

/// A private key that signs assertions.
pub(crate) struct AssertionKey {
    header: Header,
    key: EncodingKey,
    /// The key as the settings hold it.
    pem: Secret,
}

/// The claims of an assertion (RFC 7523, section 3).
#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

/// The client could not prove who it is: its key did not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the private key did not sign the client's assertion")]
pub(crate) struct CannotSign;

/// A form for one of the provider's endpoints (`application/x-www-form-urlencoded`).
#[derive(Default)]
pub(crate) struct Form(String);

impl Form {
    /// With a field more.
    #[must_use]
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        Self(form_urlencoded::Serializer::for_suffix(self.0, 0).append_pair(name, value).finish())
    }
}

impl Client {
    /// The caller's own client, authenticated as the settings say.
    pub(crate) fn of_caller(caller: ClientCredentials, method: Option<ClientAuthenticationMethod>) -> Self {
        let authentication = match method {
            Some(ClientAuthenticationMethod::ClientSecretPost) => ClientAuthentication::Post(caller.secret),
            _ => ClientAuthentication::Basic(caller.secret),
        };
        Self { id: caller.id, authentication }
    }

    /// Returns `true` if it can request tokens for itself: a client that proves nothing cannot (RFC 6749, section 4.4).
    pub(crate) fn can_request_tokens(&self) -> bool {
        !matches!(self.authentication, ClientAuthentication::None)
    }

    /// The request that posts `form` to `endpoint` as this client.
    pub(crate) fn post(
        &self,
        endpoint: &Url,
        mut form: Form,
        clock: &dyn Clock,
    ) -> Result<Request<Bytes>, CannotSign> {
        let mut authorization = None;
        match &self.authentication {
            ClientAuthentication::Basic(secret) => authorization = basic(&self.id, secret),
            ClientAuthentication::Post(secret) => {
                form = form.with("client_id", self.id.as_str()).with("client_secret", secret.reveal());
            }
            ClientAuthentication::PrivateKeyJwt(key) => {
                form = form
                    .with("client_id", self.id.as_str())
                    .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                    .with("client_assertion", &key.assert(&self.id, endpoint, clock)?);
            }
            ClientAuthentication::None => {
                form = form.with("client_id", self.id.as_str());
            }
        }
        Ok(post(endpoint, form, authorization))
    }
}

/// The request that posts `form` to `endpoint`.
pub(crate) fn post(endpoint: &Url, form: Form, authorization: Option<HeaderValue>) -> Request<Bytes> {
    let mut request = Request::new(Bytes::from(form.0));
    *request.method_mut() = http::Method::POST;
    // Each `http(s)` URL is a URI; one that were not would be refused by the client as not absolute.
    *request.uri_mut() = endpoint.as_str().parse().unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(authorization) = authorization {
        headers.insert(header::AUTHORIZATION, authorization);
    }
    request
}

/// `Authorization: Basic`: id and secret form-encoded, then joined, then in base64 (RFC 6749, section 2.3.1).
fn basic(id: &ClientId, secret: &Secret) -> Option<HeaderValue> {
    let [id, secret] = [id.as_str(), secret.reveal()]
        .map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let pair = STANDARD.encode(format!("{id}:{secret}"));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl ClientAuthentication {
    /// By a JWT signed with this key in PEM; the key is tried out at once.
    pub(crate) fn private_key_jwt(pem: &Secret, kid: Option<&str>) -> Result<Self, SettingsError> {
        let bytes = pem.reveal().as_bytes();
        let readings = [
            (Algorithm::RS256, EncodingKey::from_rsa_pem(bytes)),
            (Algorithm::ES256, EncodingKey::from_ec_pem(bytes)),
            (Algorithm::ES384, EncodingKey::from_ec_pem(bytes)),
            (Algorithm::EdDSA, EncodingKey::from_ed_pem(bytes)),
        ];
        for (algorithm, key) in readings {
            let Ok(key) = key else { continue };
            let mut header = Header::new(algorithm);
            header.kid = kid.map(str::to_owned);
            if jsonwebtoken::encode(&header, &serde_json::json!({}), &key).is_ok() {
                let pem = pem.clone();
                return Ok(Self::PrivateKeyJwt(Arc::new(AssertionKey { header, key, pem })));
            }
        }
        Err(SettingsError::PrivateKey)
    }

    /// Returns the secret of the settings, if the client has one.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Basic(secret) | Self::Post(secret) => Some(secret),
            Self::PrivateKeyJwt(key) => Some(&key.pem),
            Self::None => None,
        }
    }
}

impl AssertionKey {
    fn assert(&self, id: &ClientId, endpoint: &Url, clock: &dyn Clock) -> Result<String, CannotSign> {
        let mut random = [0_u8; 16];
        rand::fill(&mut random).map_err(|_| CannotSign)?;
        let now = clock.now();
        let claims = Assertion {
            iss: id.as_str(),
            sub: id.as_str(),
            aud: endpoint.as_str(),
            jti: URL_SAFE_NO_PAD.encode(random),
            iat: now.seconds(),
            exp: (now + ASSERTION_LIFETIME).seconds(),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key).map_err(|_| CannotSign)
    }
}

impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionKey").field("algorithm", &self.header.alg).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{
            ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
        },
    };
    use scopegate_testkit::TestClock;
    use serde_json::{Value, json};

    use super::*;

    fn client(authentication: ClientAuthentication) -> Client {
        Client { id: ClientId::parse("my client").unwrap(), authentication }
    }

    fn posted(client: &Client) -> (Option<String>, Vec<(String, String)>) {
        let form = Form::default().with("token", "opaque");
        let endpoint = Url::parse("https://id.example/introspect").unwrap();
        let request = client.post(&endpoint, form, &TestClock::default()).unwrap();
        let authorization = request.headers().get(header::AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        (authorization, form_urlencoded::parse(request.body()).into_owned().collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn basic_encodes_id_and_secret_as_forms_do_before_it_joins_them() {
        let (authorization, form) = posted(&client(ClientAuthentication::Basic(Secret::new("a:b%"))));
        let expected = format!("Basic {}", STANDARD.encode("my+client:a%3Ab%25"));
        assert_eq!((authorization, form), (Some(expected), vec![pair("token", "opaque")]));
    }

    #[test]
    fn credentials_stand_in_header_or_form_never_in_both() {
        let (authorization, form) = posted(&client(ClientAuthentication::Post(Secret::new("s"))));
        let expected =
            vec![pair("token", "opaque"), pair("client_id", "my client"), pair("client_secret", "s")];
        assert_eq!((authorization, form), (None, expected));
    }

    fn pem(der: &[u8]) -> Secret {
        Secret::new(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der)
        ))
    }

    #[test]
    fn an_assertion_is_signed_as_its_key_can_and_says_whom_it_is_for() {
        let ec = |algorithm| EcdsaKeyPair::generate(algorithm).unwrap().to_pkcs8v1().unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let keys = [
            ("ES256", pem(ec(&ECDSA_P256_SHA256_FIXED_SIGNING).as_ref())),
            ("ES384", pem(ec(&ECDSA_P384_SHA384_FIXED_SIGNING).as_ref())),
            ("EdDSA", pem(ed.as_ref())),
            ("RS256", Secret::new(include_str!("../../testkit/data/rsa-2048-a.test-key.pem"))),
        ];
        for (algorithm, key) in keys {
            let client = client(ClientAuthentication::private_key_jwt(&key, Some("mine")).unwrap());
            let (authorization, form) = posted(&client);
            let assertion =
                form.iter().find(|(name, _)| name == "client_assertion").map(|(_, value)| value).unwrap();
            let mut parts = assertion.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
            let mut part = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
            let (header, claims): (Value, Value) = (part(), part());
            assert_eq!((&header["alg"], &header["kid"]), (&json!(algorithm), &json!("mine")));
            assert_eq!(claims["aud"], json!("https://id.example/introspect"));
            assert_eq!((&claims["iss"], &claims["sub"]), (&json!("my client"), &json!("my client")));
            assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
            assert_eq!(authorization, None);
        }
    }

    #[test]
    fn invariant_11_a_client_does_not_show_its_secret() {
        let shown = format!("{:?}", client(ClientAuthentication::Basic(Secret::new("hunter2"))));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn invariant_11_a_key_that_cannot_be_used_is_not_shown() {
        let error = ClientAuthentication::private_key_jwt(&Secret::new("hunter2"), None).unwrap_err();
        assert!(
            matches!(error, SettingsError::PrivateKey) && !format!("{error:?} {error}").contains("hunter2")
        );
    }
}
