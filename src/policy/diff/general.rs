//! Settings for all routes, which change requests beside the policy.

use scopegate_provider::Span;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::report::{Change, Differences, SettingChange};
use crate::policy::{
    KnownUpstream, Policy, RouteOptions,
    settings::{CorsSettings, IdentitySettings},
};

/// Settings for all routes, which change requests beside the policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GeneralSettings {
    /// Cross-origin requests, unless a route says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<CorsSettings>,
    /// The identity that upstreams get and the treatment of the token, unless a route says otherwise.
    pub identity: IdentitySettings,
    /// The time for which a stream goes on after its token has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_grace: Option<Span>,
    /// The upstreams.
    pub upstreams: Vec<KnownUpstream>,
}

impl GeneralSettings {
    /// Returns the changes of settings that no route has.
    pub(super) fn changes_to(&self, new: &Self) -> Vec<SettingChange> {
        let mut changes = Vec::new();
        if self.stream_grace != new.stream_grace {
            changes.push(SettingChange {
                key: "streams.grace".to_owned(),
                old: json!(self.stream_grace),
                new: json!(new.stream_grace),
                loosens: new.stream_grace.map(Span::get) > self.stream_grace.map(Span::get),
            });
        }
        let mut names: Vec<&str> =
            self.upstreams.iter().chain(&new.upstreams).map(|upstream| upstream.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let old = self.upstreams.iter().find(|upstream| upstream.name == name);
            let new = new.upstreams.iter().find(|upstream| upstream.name == name);
            if old != new {
                let key = format!("upstreams.{name}");
                changes.push(SettingChange { key, old: json!(old), new: json!(new), loosens: false });
            }
        }
        changes
    }

    /// Returns the options of a route, with these settings where the route has none of its own.
    fn complete(&self, options: &RouteOptions) -> RouteOptions {
        let own = options.identity.clone().unwrap_or_default();
        let headers = if own.headers.is_empty() { self.identity.headers.clone() } else { own.headers };
        let identity = IdentitySettings { headers, forward: own.forward.or(self.identity.forward) };
        RouteOptions {
            identity: Some(identity).filter(|identity| !identity.is_general()),
            cors: options.cors.clone().or_else(|| self.cors.clone()),
            ..options.clone()
        }
    }
}

impl Policy {
    /// Returns the policy whose routes have these settings where they have none of their own.
    pub(super) fn completed_by(&self, general: &GeneralSettings) -> Self {
        self.with_options(|route| general.complete(route.options()))
    }
}

impl Differences {
    /// Unites the changes that all come from the same general setting.
    pub(super) fn unite_general_changes(&mut self) {
        let mut united: Vec<(Change, usize)> = Vec::new();
        for change in std::mem::take(&mut self.changes) {
            let is_general = matches!(change.key, "cors" | "identity");
            let same = united.iter_mut().find(|(known, _)| {
                is_general && known.key == change.key && known.old == change.old && known.new == change.new
            });
            match same {
                Some((_, count)) => *count += 1,
                None => united.push((change, 0)),
            }
        }
        self.changes = united
            .into_iter()
            .map(|(change, more)| match more {
                0 => change,
                more => Change { stands_for: format!("{} and {more} more", change.stands_for), ..change },
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{compare_with, tests::policy_of};
    use super::*;

    fn general(cors: &str, forward: Option<&str>, grace: u64, host: &str) -> GeneralSettings {
        let value = json!({ "cors": { "origins": [cors] }, "identity": { "forward": forward }, "upstreams": [
            { "name": "one", "addresses": ["10.0.0.1:80"], "host": host }] });
        GeneralSettings {
            stream_grace: Some(Span::from_secs(grace)),
            ..serde_json::from_value(value).unwrap()
        }
    }

    #[test]
    fn a_general_setting_is_one_change_of_all_routes_without_their_own() {
        let policy = policy_of(
            "routes: [{ match: /a, require: r }, { match: /b, require: w }, { match: /c, require: r, cors: { origins: ['https://c.example'] } }]",
        );
        let old = general("https://a.example", None, 0, "one.example");
        let same = compare_with((&policy, &old), (&policy, &old), &[]);
        assert!(same.is_empty(), "{same:?}");
        let new = general("https://b.example", Some("strip"), 30, "two.example");
        let differences = compare_with((&policy, &old), (&policy, &new), &[]);
        let keys: Vec<(&str, &str, bool)> =
            differences.changes.iter().map(|one| (one.key, one.stands_for.as_str(), one.loosens)).collect();
        assert_eq!(keys, [("identity", "/a and 2 more", false), ("cors", "/a and 1 more", true)]);
        let settings: Vec<(&str, bool)> =
            differences.settings.iter().map(|one| (one.key.as_str(), one.loosens)).collect();
        assert_eq!(settings, [("streams.grace", true), ("upstreams.one", false)]);
        assert!(differences.loosens());
    }

    #[test]
    fn a_setting_that_moves_from_all_routes_to_each_is_no_difference() {
        let old = policy_of("routes: [{ match: /a, require: r }]");
        let new = policy_of("routes: [{ match: /a, require: r, cors: { origins: ['https://a.example'] } }]");
        let with = general("https://a.example", None, 0, "one.example");
        let without = GeneralSettings { cors: None, ..with.clone() };
        assert!(compare_with((&old, &with), (&new, &without), &[]).is_empty());
    }
}
