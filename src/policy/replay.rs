//! Replay: recorded decisions, made again by another policy.
//!
//! A record holds the facts by which rules decide, and never a token. Where a record does not hold the fact that a rule
//! reads, the decision is counted as unknown rather than guessed.

use std::collections::BTreeMap;

use http::Method;
use scopegate_provider::{ClientId, ProviderName, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    CallerAt, Decision, Denial, Policy, RawTarget, Reason, Resolved, Scheme, SupposedCaller, Target, TokenUse,
};

/// The most examples of a group.
const EXAMPLES: usize = 3;

/// The longest path of a record. Records of longer paths are cut.
const LONGEST_PATH: usize = 250;

/// A recorded decision. As JSON, it is an item of `/admin/decisions` and a line of a file of traffic. Other members are
/// ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedDecision {
    /// The moment of the decision, as RFC 3339 writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The method.
    pub method: String,
    /// The host.
    pub host: String,
    /// The path without the query.
    pub path: String,
    /// The outcome.
    pub outcome: RecordedOutcome,
    /// The state of the token.
    pub token: RecordedToken,
    /// The facts of a verified token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<SupposedCaller>,
    /// The claims of which `caller` has the value, if the token has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<String>,
    /// Set if the client is not named, as `telemetry.log.identify` is `none`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub client_withheld: bool,
    /// Set for a request to one of scopegate's own endpoints, which the policy does not decide about.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
}

/// The outcome of a recorded decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedOutcome {
    /// The request was permitted.
    Permitted,
    /// The request was denied.
    Denied,
    /// The gate could not decide.
    #[default]
    Outage,
}

/// The state of the token of a recorded request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedToken {
    /// It was verified.
    Verified,
    /// There was none.
    Absent,
    /// It was rejected.
    Rejected,
    /// The request may have had one that was not used.
    #[default]
    Unseen,
}

/// The result of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Requests that were permitted and are denied now, grouped, the largest group first.
    pub denied_now: Vec<ReplayGroup>,
    /// Requests that were denied and are permitted now, grouped, the largest group first.
    pub permitted_now: Vec<ReplayGroup>,
    /// The number of requests that are decided as they were.
    pub unchanged: u64,
    /// The number of requests of which the record does not say enough.
    pub unknown: u64,
}

/// Requests whose decision changes in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayGroup {
    /// The provider of the token.
    pub provider: Option<ProviderName>,
    /// The client of the token.
    pub client: Option<ClientId>,
    /// The pattern of the route that decides now.
    pub route: Option<String>,
    /// The reason of a denial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The number of requests.
    pub count: u64,
    /// The id of the newest request.
    pub request_id: Option<String>,
    /// Some of the requests.
    pub examples: Vec<ReplayExample>,
}

/// A request of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayExample {
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The moment of the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The method.
    pub method: String,
    /// The host.
    pub host: String,
    /// The path.
    pub path: String,
}

/// The properties that the requests of a group have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    permitted: bool,
    provider: Option<ProviderName>,
    client: Option<ClientId>,
    route: Option<String>,
    reason: Option<Reason>,
}

impl Replayed {
    /// Returns `true` if a request is decided in another way.
    pub fn has_changes(&self) -> bool {
        !self.denied_now.is_empty() || !self.permitted_now.is_empty()
    }
}

impl Policy {
    /// Makes recorded decisions again, at `now`. Where a record does not say enough, but its request is decided by equal
    /// rules in `old`, by which the recorded decisions were made, it counts as unchanged.
    pub fn replay<'r>(
        &self,
        records: impl IntoIterator<Item = &'r RecordedDecision>,
        old: Option<&Policy>,
        now: Timestamp,
    ) -> Replayed {
        let mut groups: BTreeMap<Key, ReplayGroup> = BTreeMap::new();
        let mut replayed = Replayed::default();
        for record in records {
            if record.own || record.outcome == RecordedOutcome::Outage {
                continue;
            }
            let Some(again) = self.decide_again(record, now) else {
                if old.is_some_and(|old| self.decides_alike(old, record)) {
                    replayed.unchanged += 1;
                } else {
                    replayed.unknown += 1;
                }
                continue;
            };
            if again.permitted == (record.outcome == RecordedOutcome::Permitted) {
                replayed.unchanged += 1;
                continue;
            }
            let example = ReplayExample::from(record);
            let group = groups.entry(again).or_insert_with_key(|key| ReplayGroup::new(key, record));
            group.count += 1;
            if group.examples.len() < EXAMPLES {
                group.examples.push(example);
            }
        }
        for (key, group) in groups {
            let list = if key.permitted { &mut replayed.permitted_now } else { &mut replayed.denied_now };
            list.push(group);
        }
        replayed.denied_now.sort_by_key(|group| std::cmp::Reverse(group.count));
        replayed.permitted_now.sort_by_key(|group| std::cmp::Reverse(group.count));
        replayed
    }

    /// Decides about a recorded request; `None` if the record does not say enough.
    fn decide_again(&self, record: &RecordedDecision, now: Timestamp) -> Option<Key> {
        let target = record.target()?;
        if *target.method() == Method::POST
            && self.mcp_selectors(target.host(), target.matched_path()).next().is_some()
        {
            return None;
        }
        let decision = match self.resolve(&target) {
            Err(refused) => Decision::Deny(refused),
            Ok(resolved) if resolved.token_use() == TokenUse::Ignored => resolved.decide(None),
            Ok(resolved) => match record.token {
                RecordedToken::Unseen => return None,
                RecordedToken::Absent => resolved.decide(None),
                RecordedToken::Rejected => {
                    let route = Some(resolved.route().to_string());
                    return Some(record.key(false, route, Some(Reason::InvalidToken)));
                }
                RecordedToken::Verified => {
                    let caller = record.caller.as_ref().filter(|_| record.says_enough(&resolved))?;
                    let principal = caller.principal(now).ok()?;
                    resolved.decide(Some(CallerAt::new(&principal, now)))
                }
            },
        };
        match decision {
            Decision::Permit { route } => Some(record.key(true, Some(route.to_string()), None)),
            Decision::Deny(refused) if matches!(refused.denial, Denial::Mcp(_)) => None,
            Decision::Deny(refused) => {
                let route = refused.route.map(ToString::to_string);
                Some(record.key(false, route, Some(refused.denial.reason())))
            }
        }
    }

    /// Returns `true` if equal rules decide a recorded request here and in `old`.
    fn decides_alike(&self, old: &Self, record: &RecordedDecision) -> bool {
        let Some(target) = record.target() else { return false };
        match (self.resolve(&target), old.resolve(&target)) {
            (Ok(ours), Ok(theirs)) => ours.rules().eq(theirs.rules()),
            _ => false,
        }
    }
}

impl RecordedDecision {
    /// Returns the target; `None` if the path was not recorded as a whole.
    fn target(&self) -> Option<Target> {
        if self.path.len() > LONGEST_PATH || self.path.contains("[token]") {
            return None;
        }
        Target::parse(RawTarget {
            method: &self.method.parse().ok()?,
            scheme: Scheme::Https,
            authority: None,
            hosts: [self.host.as_str()],
            path_and_query: self.path.as_bytes(),
        })
        .ok()
    }

    /// Returns `true` if the record holds every fact that the rules read.
    fn says_enough(&self, resolved: &Resolved<'_>) -> bool {
        let mut alternatives = resolved.rules().flat_map(|(rule, _)| rule.alternatives());
        alternatives.all(|alternative| {
            let knows_client = alternative.clients.is_empty() || !self.client_withheld;
            let mut claims = alternative.claims.iter();
            knows_client && claims.all(|test| self.tested.iter().any(|path| path == test.path.as_str()))
        })
    }

    fn key(&self, permitted: bool, route: Option<String>, reason: Option<Reason>) -> Key {
        let caller = self.caller.as_ref();
        Key {
            permitted,
            provider: caller.and_then(|caller| caller.provider.clone()),
            client: caller.and_then(|caller| caller.client.clone()),
            route,
            reason,
        }
    }
}

impl ReplayGroup {
    fn new(key: &Key, newest: &RecordedDecision) -> Self {
        Self {
            provider: key.provider.clone(),
            client: key.client.clone(),
            route: key.route.clone(),
            reason: key.reason,
            count: 0,
            request_id: newest.request_id.clone(),
            examples: Vec::new(),
        }
    }
}

impl From<&RecordedDecision> for ReplayExample {
    fn from(record: &RecordedDecision) -> Self {
        Self {
            request_id: record.request_id.clone(),
            at: record.at.clone(),
            method: record.method.clone(),
            host: record.host.clone(),
            path: record.path.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::tests::policy;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn record(value: serde_json::Value) -> RecordedDecision {
        serde_json::from_value(value).unwrap()
    }

    fn of(outcome: &str, path: &str, token: &str) -> RecordedDecision {
        record(
            json!({ "method": "GET", "host": "a.example", "path": path, "outcome": outcome, "token": token,
            "caller": { "provider": "okta", "client": "app", "scopes": ["r"] }, "tested": ["org"] }),
        )
    }

    fn replay(yaml: &str, records: &[RecordedDecision]) -> Replayed {
        policy(yaml).replay(records, None, NOW)
    }

    #[test]
    fn groups_the_requests_that_are_denied_now_by_client_and_route() {
        let records = [
            of("permitted", "/a", "verified"),
            of("permitted", "/a", "verified"),
            of("permitted", "/b", "verified"),
        ];
        let replayed = replay(
            "scopes: { r: '', w: '' }\nroutes:\n- { match: /a, require: w }\n- { match: /b, require: r }",
            &records,
        );
        assert_eq!((replayed.unchanged, replayed.unknown, replayed.permitted_now.len()), (1, 0, 0));
        let group = &replayed.denied_now[0];
        assert_eq!(
            (group.count, group.reason, group.examples.len()),
            (2, Some(Reason::InsufficientScope), 2)
        );
        assert_eq!(group.client.as_ref().map(ClientId::as_str), Some("app"));
    }

    #[test]
    fn finds_the_requests_that_are_permitted_now() {
        let records =
            [of("denied", "/a", "rejected"), of("denied", "/b", "rejected"), of("denied", "/a", "absent")];
        let replayed =
            replay("routes:\n- { match: /a, allow: anonymous }\n- { match: /b, allow: optional }", &records);
        assert_eq!(replayed.permitted_now.iter().map(|group| group.count).sum::<u64>(), 2);
        assert_eq!(replayed.unchanged, 1);
    }

    #[test]
    fn counts_a_decision_as_unknown_where_the_record_lacks_a_fact() {
        let yaml = "routes:\n- { match: /a, require: { claims: { team: x } } }\n- { match: /b, require: { claims: { org: x } } }\n- { match: /c, allow: authenticated }";
        let records = [
            of("permitted", "/a", "verified"),
            of("permitted", "/b", "verified"),
            of("permitted", "/c", "unseen"),
        ];
        let replayed = replay(yaml, &records);
        assert_eq!((replayed.unknown, replayed.denied_now.len()), (2, 1));
    }

    #[test]
    fn requests_to_own_endpoints_and_outages_do_not_count() {
        let own = RecordedDecision { own: true, ..of("permitted", "/admin/routes", "verified") };
        assert_eq!(replay("routes: []", &[own, of("outage", "/a", "unseen")]), Replayed::default());
    }

    #[test]
    fn an_equal_rule_of_the_old_policy_decides_as_before() {
        let policy = policy("routes:\n- { match: /c, allow: authenticated }");
        let replayed = policy.replay(&[of("permitted", "/c", "unseen")], Some(&policy), NOW);
        assert_eq!((replayed.unknown, replayed.unchanged), (0, 1));
    }
}
