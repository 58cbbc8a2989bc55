//! Discovery documents.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use scopegate_oidc::{Discovery, Metadata};
use scopegate_provider::{HttpClient, HttpError, Issuer};
use serde_json::Value;

use crate::claims::ISSUER;

/// Gives every question this answer, at once.
#[derive(Debug)]
struct Answer(Bytes);

#[async_trait]
impl HttpClient for Answer {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        Ok(Response::new(self.0.clone()))
    }
}

/// Bytes: the document.
pub fn discovery(data: &[u8]) -> bool {
    let parsed = Metadata::parse(data);
    let found = Discovery::new(Issuer::parse(ISSUER).unwrap(), None).unwrap();
    let answer = Answer(Bytes::copy_from_slice(data));
    let fetched = found.fetch(&answer).now_or_never().unwrap();
    let Ok(metadata) = fetched else { return false };
    let parsed = parsed.unwrap();
    let document: Value = serde_json::from_slice(data).unwrap();
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!((metadata.issuer.as_str(), &parsed.issuer), (ISSUER, &metadata.issuer));
    let endpoints = [
        (&metadata.jwks_uri, &parsed.jwks_uri, "jwks_uri"),
        (&metadata.token_endpoint, &parsed.token_endpoint, "token_endpoint"),
        (&metadata.introspection_endpoint, &parsed.introspection_endpoint, "introspection_endpoint"),
        (&metadata.revocation_endpoint, &parsed.revocation_endpoint, "revocation_endpoint"),
    ];
    for (endpoint, read, name) in endpoints {
        let Some(url) = endpoint else { continue };
        assert_eq!((url.scheme(), url.has_host()), ("https", true), "{name} is {url}");
        assert_eq!(endpoint, read);
        assert!(document[name].is_string(), "nobody named {url}");
    }
    true
}
