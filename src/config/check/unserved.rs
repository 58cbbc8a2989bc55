//! What can be written but does nothing in this version: said at every start, so that nobody relies on it.

use super::{Findings, Parts, at};
use crate::yaml::Step;

pub(super) fn check(parts: &Parts, findings: &mut Findings<'_>) {
    let sections = &parts.sections;
    let mut say = |there: bool, keys: &[&str], meaning: &str| {
        if there {
            findings.warning(&at(keys), format!("this does nothing in this version: {meaning}"));
        }
    };
    say(
        sections.cors.is_some(),
        &["cors"],
        "preflight requests of browsers are decided like any other request",
    );
    let grpc = sections.forward_auth.grpc_listen.is_some();
    say(grpc, &["forward_auth", "grpc_listen"], "Envoy is answered over HTTP at `/auth/envoy`");
    for (index, route) in &parts.routes {
        let mut path = vec![Step::Key("routes".to_owned()), Step::Index(*index)];
        let (key, meaning) = match (&route.cors, route.accept_token.is_empty()) {
            (Some(_), _) => ("cors", "preflight requests of browsers are decided like any other request"),
            (None, false) => ("accept_token", "tokens are taken from `Authorization` only"),
            (None, true) => continue,
        };
        path.push(Step::Key(key.to_owned()));
        findings.warning(&path, format!("this does nothing in this version: {meaning}"));
    }
}
