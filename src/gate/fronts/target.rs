//! The gate for programs that parse targets themselves.

use http::{HeaderMap, HeaderValue, Method, header};

use crate::{
    gate::{
        authorize::authorize,
        decision::{Answer, Permit, Refusal},
        request::{CertificateSource, Incoming, head::misplaced, trust::TrustedProxies},
        state::Gate,
    },
    policy::Target,
    problem::Problem,
    upstream::headers::upgrade,
};

/// A target that was parsed already, and the header fields of its request.
struct Parsed<'r> {
    target: &'r Target,
    headers: &'r HeaderMap,
}

impl Incoming for Parsed<'_> {
    fn method(&self) -> &Method {
        self.target.method()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers
    }

    /// Returns the target. It has no other method: the program answers preflights itself.
    fn target(&self, method: &Method, _: &TrustedProxies) -> Result<Target, Problem> {
        if method == self.target.method() { Ok(self.target.clone()) } else { Err(misplaced()) }
    }

    fn authority(&self, _: &TrustedProxies) -> Option<&[u8]> {
        self.headers.get(header::HOST).map(HeaderValue::as_bytes)
    }

    fn certificate_source(&self, _: &TrustedProxies) -> CertificateSource {
        CertificateSource::Connection(None)
    }

    fn opens_websocket(&self) -> bool {
        self.target.method() == Method::GET && upgrade(self.headers).is_some()
    }
}

impl Gate {
    /// Decides about a request to `target` that has these header fields.
    ///
    /// # Errors
    /// [`Refusal`] holds the answer to the caller.
    pub async fn authorize(&self, target: &Target, headers: &HeaderMap) -> Result<Permit, Refusal> {
        let authorization = authorize(&self.load(), &Parsed { target, headers });
        match authorization.decided().await.answer {
            Answer::Permitted(permit) => Ok(permit),
            Answer::Refused(refusal) => Err(*refusal),
            Answer::Preflight(_) => Err(Refusal::unrouted(misplaced())),
        }
    }
}
