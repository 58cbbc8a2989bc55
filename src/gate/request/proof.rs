//! The evidence of a request that its sender possesses keys: the header `DPoP` (RFC 9449).

use http::HeaderName;
use scopegate_provider::CertificateHeader;

use super::{CertificateSource, Incoming};
use crate::{
    authenticator::{CertificateEvidence, DpopEvidence, Evidence, TokenScheme},
    gate::state::State,
    policy::Target,
    upstream::headers::is_same_field,
};

/// The header that holds a DPoP proof.
pub(in crate::gate) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Collects the evidence of a request whose token was sent with this scheme. A request that has to do with no proof costs
/// one look at its headers.
pub(in crate::gate) fn evidence(
    state: &State,
    request: &impl Incoming,
    target: &Target,
    scheme: TokenScheme,
) -> Evidence {
    let certificate = certificate(state, request);
    let mut proofs = request.headers().get_all(DPOP).iter();
    let Some(proof) = proofs.next().filter(|_| scheme == TokenScheme::Dpop) else {
        return Evidence { scheme, certificate, ..Evidence::default() };
    };
    let dpop = DpopEvidence {
        proof: proofs.next().is_none().then(|| proof.clone()),
        method: target.method().clone(),
        origins: origins(state, request, target),
        path: target.path_as_sent().into(),
        is_websocket: request.opens_websocket(),
    };
    Evidence { scheme, certificate, dpop: Some(Box::new(dpop)), ..Evidence::default() }
}

/// Returns the certificate of the client, as its own connection or a trusted proxy shows it (RFC 8705). Of the header, all
/// spellings count: services read them as one (T3.2).
fn certificate(state: &State, request: &impl Incoming) -> Option<CertificateEvidence> {
    match request.certificate_source(&state.settings().trusted_proxies) {
        CertificateSource::Connection(thumbprint) => thumbprint.map(CertificateEvidence::Own),
        CertificateSource::Header => {
            let CertificateHeader { name, format } = state.authenticator().certificate_header()?;
            let mut fields = request.headers().iter().filter(|(field, _)| is_same_field(field, name));
            let (_, value) = fields.next()?;
            Some(match fields.next() {
                None => CertificateEvidence::Forwarded(value.clone(), *format),
                Some(_) => CertificateEvidence::Several,
            })
        }
    }
}

/// Returns the origins at which the client may have called (`htu`).
///
/// The configured URL goes before the `Host` of an untrusted peer: with that, a proof that was made for another server
/// could be replayed here (T2.7). The host that a trusted proxy forwards counts beside it.
fn origins(state: &State, request: &impl Incoming, target: &Target) -> Box<[Box<str>]> {
    let settings = state.settings();
    let trusted = &settings.trusted_proxies;
    let configured = settings.public_origin.url.clone();
    let declared = settings.resources.origins(target.host());
    let called = match &configured {
        Some(_) => request.forwarded_authority(trusted),
        None => request.authority(trusted),
    };
    let called = called.and_then(|authority| str::from_utf8(authority).ok());
    let called = called.map(|authority| format!("{}://{authority}", target.scheme()).into());
    configured.into_iter().chain(declared.into_iter().map(Into::into)).chain(called).collect()
}

#[cfg(test)]
mod tests;
