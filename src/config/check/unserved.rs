//! What can be written but does nothing in this version: said at every start, so that nobody relies on it.

use super::{Findings, Parts};
use crate::yaml::Step;

pub(super) fn check(parts: &Parts, findings: &mut Findings<'_>) {
    for (index, route) in &parts.routes {
        if !route.accept_token.is_empty() {
            let key = Step::Key("accept_token".to_owned());
            let path = [Step::Key("routes".to_owned()), Step::Index(*index), key];
            let meaning = "tokens are taken from `Authorization` only";
            findings.warning(&path, format!("this does nothing in this version: {meaning}"));
        }
    }
}
