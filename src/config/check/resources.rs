//! The declared resources: their providers exist, and each is declared once.

use scopegate_provider::ProviderName;

use super::{Conflict, Findings, Sections};
use crate::{
    config::sections::ProviderConfig,
    yaml::{Step, nearest},
};

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    let configured = sections.providers.iter().map(ProviderConfig::name);
    let known: Vec<&str> = configured.chain(&sections.failed_providers).map(ProviderName::as_str).collect();
    let resources = &sections.settings.resources;
    for (index, resource) in resources.iter().enumerate() {
        for name in resource.providers.iter().filter(|name| !known.contains(&name.as_str())) {
            let found = name.to_string();
            let nearest = nearest(&found, &known);
            findings.error(&at(index, "providers"), Conflict::ResourceProvider { found, nearest });
        }
        if resources.iter().take(index).any(|earlier| earlier.url == resource.url) {
            findings.error(&at(index, "url"), Conflict::RepeatedResource { url: resource.url.to_string() });
        }
    }
}

fn at(index: usize, key: &str) -> [Step; 3] {
    [Step::Key("resources".into()), Step::Index(index), Step::Key(key.into())]
}
