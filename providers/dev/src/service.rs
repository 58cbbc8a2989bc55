//! What the issuer does, apart from HTTP.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use scopegate_oidc::SigningAlgorithm;
use scopegate_provider::{Clock, Issuer};
use serde_json::{Map, Value, json};

use crate::{
    Fault, StartError, TokenFormat,
    authorize::challenge,
    client::{Client, ResourceServer, Shown},
    codes::{Authorization, Codes},
    dialect::{Document, Grant, Minting, Operation},
    form::Form,
    handles::Handles,
    keys::KeyRing,
    ledger::Ledger,
    refusal::Refusal,
    settings::Tenant,
};

/// The state that outlives a change of settings: a successor at the same address takes it over.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) revoked: Arc<Ledger>,
    pub(crate) handles: Arc<Handles>,
    pub(crate) codes: Arc<Codes>,
    pub(crate) resource_server: Arc<ResourceServer>,
}

impl Memory {
    fn new(algorithm: SigningAlgorithm) -> Result<Self, StartError> {
        let id = random::<24>().ok_or(StartError::Randomness)?;
        let secret = random::<24>().ok_or(StartError::Randomness)?;
        Ok(Self {
            keys: KeyRing::start(algorithm),
            revoked: Arc::default(),
            handles: Arc::default(),
            codes: Arc::default(),
            resource_server: Arc::new(ResourceServer { id: format!("resource-server-{id}"), secret }),
        })
    }
}

pub(crate) struct Service {
    pub(crate) tenant: Tenant,
    pub(crate) base: String,
    pub(crate) issuer: Issuer,
    pub(crate) memory: Memory,
    clock: Arc<dyn Clock>,
}

impl Service {
    pub(crate) fn new(
        tenant: Tenant,
        base: String,
        memory: Option<Memory>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let issuer = Issuer::parse(&tenant.dialect.issuer(&base))?;
        let algorithm = tenant.algorithm;
        let memory = match memory {
            None => Memory::new(algorithm)?,
            Some(memory) if memory.keys.algorithm() == algorithm => memory,
            Some(memory) => Memory { keys: KeyRing::start(algorithm), ..memory },
        };
        Ok(Self { tenant, base, issuer, memory, clock })
    }

    pub(crate) fn operation(&self, path: &str) -> Option<Operation> {
        self.tenant.dialect.operation(path)
    }

    pub(crate) fn metadata(&self, document: Document) -> Value {
        self.tenant.dialect.metadata(&self.tenant, &self.base, document)
    }

    pub(crate) async fn jwks(&self) -> Result<Value, Refusal> {
        let keys = self.memory.keys.keys().await.map_err(Refusal::NoKey)?;
        let dialect = &self.tenant.dialect;
        Ok(dialect.key_set(&self.base, keys.jwks(dialect.publishes_the_signing_key())))
    }

    /// Returns `true` if a client of this id may send a browser to the sign-in page.
    pub(crate) fn knows_client(&self, id: &str) -> bool {
        self.memory.resource_server.id == id || self.tenant.clients.find(id).is_some()
    }

    /// Answers a token request (RFC 6749, sections 4.1.3 and 4.4), which may ask for a `fault`.
    pub(crate) async fn token(&self, headers: &HeaderMap, form: &Form) -> Result<Value, Refusal> {
        let dialect = &self.tenant.dialect;
        let grant_type = form.required("grant_type")?;
        if grant_type == "authorization_code" {
            return self.redeem(headers, form).await;
        }
        let client = self.tenant.clients.authenticate(&Shown::by(headers, form)?)?;
        if grant_type != "client_credentials" {
            return Err(Refusal::UnsupportedGrant { found: grant_type.to_owned() });
        }
        let fault = form.value("fault").map(fault_named).transpose()?;
        let grant = dialect.grant(&self.tenant, client, form)?;
        let token = match &grant.audience {
            None => opaque(&self.issuer).ok_or(Refusal::NoRandomness)?,
            Some(_) => self.mint(&grant, None, fault).await?,
        };
        Ok(dialect.token_response(&token, &grant))
    }

    /// Exchanges a code for the tokens of the account that has signed in.
    async fn redeem(&self, headers: &HeaderMap, form: &Form) -> Result<Value, Refusal> {
        let client = match self.authenticate(headers, form)? {
            Some(client) => client.id.as_str(),
            None => &self.memory.resource_server.id,
        };
        let code = form.required("code")?;
        let redirect_uri = form.required("redirect_uri")?;
        let challenge = challenge(form.required("code_verifier")?);
        let authorization = self.memory.codes.take(code, self.now()).filter(|kept| {
            kept.client == client && kept.redirect_uri == redirect_uri && kept.challenge == challenge
        });
        let authorization = authorization.ok_or(Refusal::InvalidCode)?;
        let account = self.tenant.clients.find(authorization.account.as_str()).ok_or(Refusal::InvalidCode)?;
        let grant = Grant {
            client: account,
            audience: authorization.audience.clone(),
            scopes: authorization.scopes.clone(),
        };
        let token = match &grant.audience {
            None => opaque(&self.issuer).ok_or(Refusal::NoRandomness)?,
            Some(_) => self.mint(&grant, Some(client), None).await?,
        };
        let mut response = self.tenant.dialect.token_response(&token, &grant);
        let id_token = self.id_token(&authorization, account).await?;
        if let (Some(id_token), Some(members)) = (id_token, response.as_object_mut()) {
            members.insert("id_token".to_owned(), json!(id_token));
        }
        Ok(response)
    }

    /// Returns the ID token of a sign-in that has requested one (OpenID Connect Core 1.0, section 2).
    async fn id_token(
        &self,
        authorization: &Authorization,
        account: &Client,
    ) -> Result<Option<String>, Refusal> {
        let Some(request) = &authorization.id_token else { return Ok(None) };
        let keys = self.memory.keys.keys().await.map_err(Refusal::NoKey)?;
        let now = self.clock.now();
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), json!(self.issuer));
        claims.insert("sub".to_owned(), json!(account.id));
        claims.insert("aud".to_owned(), json!(authorization.client));
        claims.insert("iat".to_owned(), json!(now.seconds()));
        claims.insert("exp".to_owned(), json!((now + account.lifetime).seconds()));
        claims.insert("auth_time".to_owned(), json!(authorization.signed_in));
        if let Some(nonce) = &request.nonce {
            claims.insert("nonce".to_owned(), json!(nonce));
        }
        let signer = &keys.current;
        let header = json!({ "alg": signer.algorithm().as_str(), "typ": "JWT", "kid": signer.kid() });
        signer.sign_with_header(&header, &claims).map(Some).map_err(Refusal::NoKey)
    }

    /// Introspection (RFC 7662, section 2): any client may ask about any token of this issuer.
    pub(crate) async fn introspect(&self, headers: &HeaderMap, form: &Form) -> Result<Value, Refusal> {
        self.authenticate(headers, form)?;
        let Some(claims) = self.live_claims(form.required("token")?).await? else {
            return Ok(json!({ "active": false }));
        };
        let mut answer = self.tenant.dialect.introspection(claims);
        answer.insert("active".to_owned(), json!(true));
        answer.insert("token_type".to_owned(), json!("Bearer"));
        Ok(Value::Object(answer))
    }

    /// Revocation (RFC 7009, section 2). A token that is not alive is none to be revoked, and the answer is the same.
    pub(crate) async fn revoke(&self, headers: &HeaderMap, form: &Form) -> Result<(), Refusal> {
        let client = self.authenticate(headers, form)?;
        let Some(claims) = self.live_claims(form.required("token")?).await? else { return Ok(()) };
        if client.is_some_and(|client| !is_clients_own(client, &claims)) {
            let told = self.tenant.dialect.admits_foreign_revocations();
            return if told { Err(Refusal::AnotherClientsToken) } else { Ok(()) };
        }
        if let (Some(id), Some(expiry)) = (text(&claims, "jti"), number(&claims, "exp")) {
            self.memory.revoked.insert(id, expiry, self.now());
        }
        Ok(())
    }

    /// The caller: a client, or none for the resource server.
    fn authenticate(&self, headers: &HeaderMap, form: &Form) -> Result<Option<&Client>, Refusal> {
        let shown = Shown::by(headers, form)?;
        if self.memory.resource_server.is_shown_by(&shown) {
            return Ok(None);
        }
        self.tenant.clients.authenticate(&shown).map(Some)
    }

    /// Signs a token for the account of a grant; `requester` is the client that a person has signed in for.
    async fn mint(
        &self,
        grant: &Grant<'_>,
        requester: Option<&str>,
        fault: Option<Fault>,
    ) -> Result<String, Refusal> {
        let keys = self.memory.keys.keys().await.map_err(Refusal::NoKey)?;
        let dialect = &self.tenant.dialect;
        let now = self.clock.now();
        let minting = Minting {
            issuer: self.issuer.as_str(),
            client: grant.client,
            audience: grant.audience.as_deref().unwrap_or_default(),
            scopes: &grant.scopes,
            now,
            id: &random::<32>().ok_or(Refusal::NoRandomness)?,
        };
        let mut claims = dialect.claims(&minting);
        if let Some(requester) = requester {
            for (_, client) in claims.iter_mut().filter(|(name, _)| CLIENT_CLAIMS.contains(&name.as_str())) {
                *client = json!(requester);
            }
            claims.remove("gty");
        }
        add(&mut claims, &grant.client.claims);
        if grant.client.tokens == TokenFormat::Opaque && fault.is_none() {
            return self.handle(claims);
        }
        let header = dialect.header(&keys.current);
        let signed = match fault {
            None => keys.current.sign_with_header(&header, &claims),
            Some(fault) => {
                fault.spoil_claims(&mut claims, now);
                fault.sign(&keys.current, header, claims).await
            }
        };
        signed.map_err(Refusal::NoKey)
    }

    /// An opaque token for these claims.
    fn handle(&self, claims: Map<String, Value>) -> Result<String, Refusal> {
        let token = format!("at_{}", random::<32>().ok_or(Refusal::NoRandomness)?);
        self.memory.handles.insert(token.clone(), claims, self.now());
        Ok(token)
    }

    /// The claims of a token that is this issuer's, within its time and not revoked.
    async fn live_claims(&self, token: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        let keys = self.memory.keys.keys().await.map_err(Refusal::NoKey)?;
        let known = self.memory.handles.claims(token).or_else(|| signed_claims(token, &keys));
        let Some(claims) = known else { return Ok(None) };
        let now = self.now();
        let alive = text(&claims, "iss") == Some(self.issuer.as_str())
            && number(&claims, "exp").is_some_and(|expiry| now < expiry)
            && number(&claims, "nbf").is_none_or(|start| start <= now)
            && text(&claims, "jti").is_none_or(|id| !self.memory.revoked.contains(id));
        Ok(alive.then_some(claims))
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().seconds()
    }
}

/// The claims that name the client of a token.
const CLIENT_CLAIMS: [&str; 3] = ["client_id", "cid", "azp"];

fn fault_named(name: &str) -> Result<Fault, Refusal> {
    Fault::find(name).ok_or_else(|| Refusal::UnknownFault { found: name.to_owned() })
}

/// The client's own claims go over the issuer's; `null` takes one out.
fn add(claims: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in more {
        match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name.clone(), value.clone()),
        };
    }
}

fn signed_claims(token: &str, keys: &crate::keys::Keys) -> Option<Map<String, Value>> {
    let (input, signature) = token.rsplit_once('.')?;
    let (header, payload) = input.split_once('.')?;
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let signer = keys.find(header.get("kid")?.as_str()?)?;
    let ours = header.get("alg")?.as_str()? == signer.algorithm().as_str();
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !ours || !signer.is_signature_of(input.as_bytes(), &signature) {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn is_clients_own(client: &Client, claims: &Map<String, Value>) -> bool {
    CLIENT_CLAIMS.iter().any(|name| text(claims, name) == Some(client.id.as_str()))
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

fn number(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    claims.get(name)?.as_i64()
}

/// The token that Auth0 issues without an audience: five parts and `enc`, encrypted to Auth0 itself.
fn opaque(issuer: &Issuer) -> Option<String> {
    let header = json!({ "alg": "dir", "enc": "A256GCM", "iss": issuer });
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    Some(format!("{header}..{}.{}.{}", random::<12>()?, random::<96>()?, random::<16>()?))
}

/// Returns random bytes as text.
pub(crate) fn random<const BYTES: usize>() -> Option<String> {
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// The longest that a request waits for its body.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);
