//! The clients of the issuer, and how they show who they are.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use scopegate_provider::{ClientId, ScopeSet};
use serde_json::{Map, Value};

use crate::{ClientSettings, TokenFormat, form::Form, refusal::Refusal};

/// The clients that may request tokens.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) scopes: ScopeSet,
    pub(crate) claims: Map<String, Value>,
    pub(crate) lifetime: Duration,
    pub(crate) tokens: TokenFormat,
    secret: digest::Digest,
}

impl Client {
    pub(crate) fn new(settings: &ClientSettings, lifetime: Duration) -> Self {
        Self {
            id: settings.id.clone(),
            scopes: settings.scopes.iter().cloned().collect(),
            claims: settings.claims.clone(),
            lifetime,
            tokens: settings.tokens,
            secret: hash(settings.secret.reveal()),
        }
    }
}

pub(crate) struct Clients {
    by_id: HashMap<ClientId, Client>,
    /// The hash that the secret of an unknown client is compared with, so that it takes as long as a wrong one.
    nobody: digest::Digest,
}

impl Clients {
    pub(crate) fn new(by_id: HashMap<ClientId, Client>) -> Self {
        Self { by_id, nobody: hash("") }
    }

    /// The client that shows these credentials.
    pub(crate) fn authenticate(&self, shown: &Shown) -> Result<&Client, Refusal> {
        let found = self.by_id.get(shown.id.as_str());
        let expected = found.map_or(&self.nobody, |client| &client.secret);
        let equal = is_secret(&shown.secret, expected);
        found.filter(|_| equal).ok_or(Refusal::WrongCredentials)
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Client> {
        self.by_id.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_id.values()
    }
}

/// The API that the issuer's tokens are for, where it runs in the same process: it may ask about every token and revoke
/// every one, and gets none. Its credentials are made at start.
pub(crate) struct ResourceServer {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl ResourceServer {
    pub(crate) fn is_shown_by(&self, shown: &Shown) -> bool {
        shown.id == self.id && is_secret(&shown.secret, &hash(&self.secret))
    }
}

/// The credentials that a request shows, by Basic or in the form (RFC 6749, section 2.3.1).
pub(crate) struct Shown {
    id: String,
    secret: String,
}

impl Shown {
    /// Takes an id and a secret as they were entered.
    pub(crate) fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: secret.to_owned() }
    }

    pub(crate) fn by(headers: &HeaderMap, form: &Form) -> Result<Self, Refusal> {
        let in_form = (form.value("client_id"), form.value("client_secret"));
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let header = authorizations.next();
        if authorizations.next().is_some() || (header.is_some() && in_form.1.is_some()) {
            return Err(Refusal::TwoAuthentications);
        }
        if let Some(header) = header {
            let shown = header.to_str().ok().and_then(basic).ok_or(Refusal::NoCredentials)?;
            let other = in_form.0.is_some_and(|in_form| in_form != shown.id);
            return if other { Err(Refusal::TwoAuthentications) } else { Ok(shown) };
        }
        match in_form {
            (Some(id), Some(secret)) => Ok(Self { id: id.to_owned(), secret: secret.to_owned() }),
            _ => Err(Refusal::NoCredentials),
        }
    }
}

/// Compares digests, which are of one length whatever the secrets' are.
fn is_secret(shown: &str, expected: &digest::Digest) -> bool {
    verify_slices_are_equal(expected.as_ref(), hash(shown).as_ref()).is_ok()
}

fn hash(secret: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, secret.as_bytes())
}

/// Both parts are form-encoded before they are joined (RFC 6749, section 2.3.1 and appendix B).
fn basic(header: &str) -> Option<Shown> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some(Shown { id: form_decoded(id)?, secret: form_decoded(secret)? })
}

fn form_decoded(text: &str) -> Option<String> {
    // `&` and `=` would split it into pairs; encoded properly neither can be there.
    let escaped = text.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map_or(Some(String::new()), |(key, value)| value.is_empty().then(|| key.into_owned()))
}
