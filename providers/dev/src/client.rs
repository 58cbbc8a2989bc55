//! The clients of the issuer, and how they show who they are.

use std::{collections::HashMap, time::Duration};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use scopegate_provider::{ClientId, ScopeSet, Secret};
use serde_json::{Map, Value};

use crate::{form::Form, refusal::Refusal};

/// Who may ask for tokens.
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) scopes: ScopeSet,
    pub(crate) claims: Map<String, Value>,
    pub(crate) lifetime: Duration,
    secret: digest::Digest,
}

impl Client {
    pub(crate) fn new(
        id: ClientId,
        secret: &Secret,
        scopes: ScopeSet,
        claims: Map<String, Value>,
        lifetime: Duration,
    ) -> Self {
        Self { id, scopes, claims, lifetime, secret: hash(secret.reveal()) }
    }
}

pub(crate) struct Clients {
    by_id: HashMap<ClientId, Client>,
    /// What the secret of an unknown client is compared with, so that it takes as long as a wrong one.
    nobody: digest::Digest,
}

impl Clients {
    pub(crate) fn new(by_id: HashMap<ClientId, Client>) -> Self {
        Self { by_id, nobody: hash("") }
    }

    /// The client that the request authenticates, by Basic or in the form (RFC 6749, section 2.3.1).
    pub(crate) fn authenticate(&self, headers: &HeaderMap, form: &Form) -> Result<&Client, Refusal> {
        let (id, secret) = presented(headers, form)?;
        let found = self.by_id.get(id.as_str());
        // Digests are compared: they are of one length, whatever the secrets' are.
        let expected = found.map_or(&self.nobody, |client| &client.secret);
        let equal = verify_slices_are_equal(expected.as_ref(), hash(&secret).as_ref()).is_ok();
        found.filter(|_| equal).ok_or(Refusal::WrongCredentials)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.by_id.values()
    }
}

fn hash(secret: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, secret.as_bytes())
}

fn presented(headers: &HeaderMap, form: &Form) -> Result<(String, String), Refusal> {
    let in_form = (form.value("client_id"), form.value("client_secret"));
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let header = authorizations.next();
    if authorizations.next().is_some() || (header.is_some() && in_form.1.is_some()) {
        return Err(Refusal::TwoAuthentications);
    }
    if let Some(header) = header {
        let (id, secret) = header.to_str().ok().and_then(basic).ok_or(Refusal::NoCredentials)?;
        let other = in_form.0.is_some_and(|in_form| in_form != id);
        return if other { Err(Refusal::TwoAuthentications) } else { Ok((id, secret)) };
    }
    match in_form {
        (Some(id), Some(secret)) => Ok((id.to_owned(), secret.to_owned())),
        _ => Err(Refusal::NoCredentials),
    }
}

/// Both parts are form-encoded before they are joined (RFC 6749, section 2.3.1 and appendix B).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    // `&` and `=` would split it into pairs; encoded properly neither can be there.
    let escaped = text.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map_or(Some(String::new()), |(key, value)| value.is_empty().then(|| key.into_owned()))
}
