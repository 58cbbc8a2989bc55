//! `/admin/diff`: the difference that a change of the stored policy would make, before it is saved.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use poem_openapi::{Object, OpenApi, payload::Json};
use scopegate_provider::{ClientId, ProviderName, Scope, Span};
use serde_json::{Value, json};

use super::{Admin, bodies::set, edit::Proposal, rfc3339, unprocessable};
use crate::{
    policy::{CallerAt, Decision, Policy, RawTarget, Scheme, SupposedCaller, Target, diff::compare},
    problem::Problem,
    reason::Reason,
    store::{Edit, Expected, RecordId},
    telemetry::{DecisionOutcome, DecisionRecord},
};

/// The longest time over which decisions are replayed.
const REPLAY: Duration = Duration::from_hours(24);

/// The endpoint.
#[derive(Clone, Debug)]
pub struct DiffApi(pub(super) Admin);

/// A change of the stored policy: exactly one of `create`, `replace`, `delete` and `scope`.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct Proposed {
    /// A route to create.
    create: Option<Value>,
    /// A stored route to replace.
    replace: Option<ReplaceRoute>,
    /// The id of a stored route to delete.
    delete: Option<String>,
    /// A scope to create or replace.
    scope: Option<PutScope>,
    /// The time whose remembered decisions are made again, such as `1h`.
    replay: Option<String>,
}

/// A route to replace.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct ReplaceRoute {
    /// The id of the stored route.
    id: String,
    /// The route, as the configuration would write it.
    definition: Value,
}

/// A scope to create or replace.
#[derive(Object)]
#[oai(deny_unknown_fields, rename = "ProposedScope")]
struct PutScope {
    /// Its name.
    name: String,
    /// The operations that it lets its holder do.
    #[oai(default)]
    description: String,
    /// The patterns of the routes that it opens.
    #[oai(default)]
    routes: Vec<String>,
}

#[OpenApi]
impl DiffApi {
    /// Compare the policy in force with the one after a change: who gains and who loses, each with an example that both
    /// policies have decided. Nothing is changed.
    #[oai(path = "/admin/diff", method = "post", operation_id = "diff")]
    async fn diff(&self, Json(question): Json<Proposed>) -> poem::Result<Json<Value>> {
        let replay = question.replay.as_deref().map(parse_replay).transpose()?;
        let edit = edit(question)?;
        let generation = self.0.node.status().generation;
        let proposal = match self.0.propose(&edit) {
            Ok(proposal) => proposal,
            Err(error) => {
                let problem = self.0.problem(error);
                let change = self.0.store.policy().change;
                return Ok(Json(json!({
                    "base": { "generation": generation, "change": change },
                    "problem": { "reason": problem.reason(), "message": problem.description() },
                    "gains": [], "losses": [], "changes": [], "exact": true, "unchanged_routes": 0,
                })));
            }
        };
        let Proposal { old, new, change } = proposal;
        let names: Vec<ProviderName> =
            self.0.gate.current().authenticator().providers().iter().map(|one| one.name().clone()).collect();
        let compared = (Arc::clone(&old), Arc::clone(&new));
        // Large policies take long, and other requests are not to wait for this one.
        let differences =
            tokio::task::spawn_blocking(move || compare(&compared.0, &compared.1, &names)).await;
        let mut differences =
            differences.map_err(|_| Problem::new(Reason::InternalError, "the comparison was ended"))?;
        differences.locate(|source| self.0.node.place(source), |source| self.0.node.place(source));
        let mut answer = json!(differences);
        set(&mut answer, "base", json!({ "generation": generation, "change": change }));
        set(&mut answer, "problem", Value::Null);
        if let Some(replay) = replay {
            set(&mut answer, "replay", self.replay(&old, &new, replay));
        }
        Ok(Json(answer))
    }
}

/// Requests of one client whose decision changes.
struct Changed {
    count: u64,
    request_id: String,
}

type ByCaller = BTreeMap<(Option<ProviderName>, Option<ClientId>), Changed>;

impl DiffApi {
    /// Makes the remembered decisions of the last time again. A request whose caller is not remembered well enough, and
    /// whose rule changes, makes the replay incomplete.
    fn replay(&self, old: &Policy, new: &Policy, time: Duration) -> Value {
        let now = self.0.now();
        let status = self.0.node.status();
        let recent = status.metrics.live.recent();
        let start = now - time;
        let mut denied = ByCaller::new();
        let mut permitted = ByCaller::new();
        let mut unchanged = 0_u64;
        // Permits are remembered only while someone watches, so that an hour is rarely complete.
        let mut complete =
            status.since.is_some_and(|since| since <= start) && status.metrics.live.missed() == 0;
        for record in recent.iter().filter(|record| record.at >= start) {
            let changed = match decide_again(record, old, new, now) {
                Again::Same => {
                    unchanged += 1;
                    continue;
                }
                Again::Unknown => {
                    complete = false;
                    continue;
                }
                Again::Denied => &mut denied,
                Again::Permitted => &mut permitted,
            };
            let key = (record.provider.clone(), record.client.clone());
            let entry = changed
                .entry(key)
                .or_insert_with(|| Changed { count: 0, request_id: record.request_id.clone() });
            entry.count += 1;
        }
        json!({
            "from": rfc3339(start),
            "complete": complete,
            "denied_now": by_caller(denied),
            "permitted_now": by_caller(permitted),
            "unchanged": unchanged,
        })
    }
}

fn by_caller(changed: ByCaller) -> Vec<Value> {
    let mut entries: Vec<_> = changed.into_iter().collect();
    entries.sort_by_key(|(_, changed)| std::cmp::Reverse(changed.count));
    let rows = entries.into_iter().map(|((provider, client), changed)| {
        json!({ "provider": provider, "client": client, "count": changed.count, "request_id": changed.request_id })
    });
    rows.collect()
}

/// The result of a decision that is made again.
enum Again {
    Same,
    Denied,
    Permitted,
    /// The record does not say enough about the caller.
    Unknown,
}

fn decide_again(
    record: &DecisionRecord,
    old: &Policy,
    new: &Policy,
    now: scopegate_provider::Timestamp,
) -> Again {
    let target = Target::parse(RawTarget {
        method: &record.method,
        scheme: Scheme::Https,
        authority: None,
        hosts: [record.host.as_str()],
        path_and_query: record.path.as_bytes(),
    });
    let Ok(target) = target else { return Again::Same };
    let sides =
        [old, new].map(|policy| policy.resolve(&target).ok().map(|resolved| resolved.route().rule().clone()));
    let [before, after] = sides;
    if before == after {
        return Again::Same;
    }
    let was_permitted = record.outcome == DecisionOutcome::Permitted;
    if was_permitted
        && let (Some(before), Some(after)) = (&before, &after)
        && before.asks_at_least(after)
    {
        return Again::Same;
    }
    let caller = match (&record.held, &record.provider) {
        (None, None) => None,
        (Some(held), Some(provider)) => {
            let supposed = SupposedCaller {
                provider: Some(provider.clone()),
                client: record.client.clone(),
                scopes: held.scopes.iter().cloned().collect(),
                roles: held.roles.clone(),
                ..SupposedCaller::default()
            };
            match supposed.principal(now) {
                Ok(principal) => Some(principal),
                Err(_) => return Again::Unknown,
            }
        }
        _ => return Again::Unknown,
    };
    let decision = new.decide(&target, caller.as_ref().map(|principal| CallerAt::new(principal, now)));
    match (was_permitted, matches!(decision, Decision::Permit { .. })) {
        (true, false) => Again::Denied,
        (false, true) => Again::Permitted,
        (true, true) | (false, false) => Again::Same,
    }
}

fn parse_replay(text: &str) -> Result<Duration, Problem> {
    let span: Result<Span, _> = text.parse();
    let replay = span.ok().map(Span::get).filter(|replay| *replay <= REPLAY);
    replay.ok_or_else(|| {
        let description = format!("expected `replay` as a duration up to 24h, such as `1h`, found `{text}`");
        unprocessable(Reason::InvalidQuestion, description)
    })
}

/// Returns the edit that the question is about.
fn edit(question: Proposed) -> Result<Edit, Problem> {
    match question {
        Proposed { create: Some(definition), replace: None, delete: None, scope: None, .. } => {
            Ok(Edit::CreateRoute { definition })
        }
        Proposed {
            create: None,
            replace: Some(ReplaceRoute { id, definition }),
            delete: None,
            scope: None,
            ..
        } => Ok(Edit::ReplaceRoute { id: RecordId::from_text(&id), definition, expected: Expected::Any }),
        Proposed { create: None, replace: None, delete: Some(id), scope: None, .. } => {
            Ok(Edit::DeleteRoute { id: RecordId::from_text(&id), expected: Expected::Any })
        }
        Proposed { create: None, replace: None, delete: None, scope: Some(scope), .. } => {
            let name = Scope::parse(&scope.name)
                .map_err(|error| unprocessable(Reason::InvalidScope, error.to_string()))?;
            let PutScope { description, routes, .. } = scope;
            Ok(Edit::PutScope { name, description, routes, expected: Expected::Any })
        }
        _ => {
            let description = "expected exactly one of `create`, `replace`, `delete` and `scope`";
            Err(unprocessable(Reason::InvalidQuestion, description))
        }
    }
}
