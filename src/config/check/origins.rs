//! Routes that take a token from a page's WebSocket name the origins of these pages.

use super::{Conflict, Findings, Sections};
use crate::yaml::Step;

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    for (index, route) in &sections.routes {
        let cors = route.cors.as_ref().or(sections.settings.cors.as_ref());
        let named = cors.is_some_and(|cors| !cors.origins.is_empty());
        if !route.accept_token.is_empty() && !named {
            let key = Step::Key("accept_token".to_owned());
            let path = [Step::Key("routes".to_owned()), Step::Index(*index), key];
            findings.error(&path, Conflict::NoOrigins);
        }
    }
}
