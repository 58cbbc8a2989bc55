//! What upstreams are told must be sayable in headers.

use super::{Conflict, Findings, Parts};
use crate::{
    gate::IdentityHeaders,
    policy::settings::{Forward, IdentitySettings},
    yaml::Step,
};

pub(super) fn check(parts: &Parts, findings: &mut Findings<'_>) {
    one(&parts.sections.identity, &[Step::Key("identity".into())], findings);
    for (index, route) in &parts.routes {
        if let Some(identity) = &route.identity {
            let path = [Step::Key("routes".into()), Step::Index(*index), Step::Key("identity".into())];
            one(identity, &path, findings);
        }
    }
}

fn one(identity: &IdentitySettings, path: &[Step], findings: &mut Findings<'_>) {
    let below = |key: &str| [path, &[Step::Key(key.into())]].concat();
    if let Err(error) = IdentityHeaders::compile(&identity.headers) {
        findings.error(&below("headers"), Conflict::Identity(error));
    }
    if identity.forward == Some(Forward::Mint) {
        findings.error(&below("forward"), Conflict::MintUnavailable);
    }
}
