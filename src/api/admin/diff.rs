//! `/admin/diff`: the difference that a change of the stored policy would make, before it is saved.

use std::{sync::Arc, time::Duration};

use poem_openapi::{Object, OpenApi, payload::Json};
use scopegate_provider::{ProviderName, Scope, Span};
use serde_json::{Value, json};

use super::{
    Admin, bodies::set, edit::Proposal, recorded::recorded, rfc3339, scopes::parse_implied, unprocessable,
};
use crate::{
    gate::{
        definitions::{PolicyText, parse_policy},
        effective_policy,
    },
    policy::{Policy, diff::compare, replay::RecordedDecision},
    problem::Problem,
    reason::Reason,
    store::{Edit, Expected, RecordId},
};

/// The longest time over which decisions are replayed.
const REPLAY: Duration = Duration::from_hours(24);

/// The endpoint.
#[derive(Clone, Debug)]
pub struct DiffApi(pub(super) Admin);

/// A change of the policy: exactly one of `create`, `replace`, `delete`, `scope` and `policy`.
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
    /// The scopes and routes, as YAML, that replace those of the configuration file: `scopes: {…}` and `routes: […]`.
    policy: Option<String>,
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
    /// The narrower scopes of the store that its holders have as well.
    #[oai(default)]
    implies: Vec<String>,
}

#[OpenApi]
impl DiffApi {
    /// Compare the policy in force with the one after a change: who gains and who loses, each with an example that both
    /// policies have decided. Nothing is changed.
    #[oai(path = "/admin/diff", method = "post", operation_id = "diff")]
    async fn diff(&self, Json(question): Json<Proposed>) -> poem::Result<Json<Value>> {
        let replay = question.replay.as_deref().map(parse_replay).transpose()?;
        let question = Question::try_from(question)?;
        let generation = self.0.node.status().generation;
        let proposal = match self.propose(question) {
            Ok(proposal) => proposal,
            Err(problem) => {
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

impl DiffApi {
    /// Returns the policies before and after a change that could be made.
    fn propose(&self, question: Question) -> Result<Proposal, Problem> {
        match question {
            Question::Edit(edit) => self.0.propose(&edit).map_err(|error| self.0.problem(error)),
            Question::Policy(text) => self.propose_policy(&text),
        }
    }

    /// Returns the policies before and after the file's scopes and routes are replaced by others.
    fn propose_policy(&self, text: &str) -> Result<Proposal, Problem> {
        let PolicyText { scopes, routes } =
            parse_policy(text).map_err(|error| unprocessable(Reason::InvalidPolicy, error.to_string()))?;
        let file = self.0.node.definition();
        let stored = self.0.store.policy();
        let proposed = file.with_policy(scopes, routes);
        Policy::compile(&proposed).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            unprocessable(Reason::InvalidPolicy, errors.join("; "))
        })?;
        Ok(Proposal {
            old: effective_policy(&file, &stored).policy,
            new: effective_policy(&proposed, &stored).policy,
            change: stored.change,
        })
    }

    /// Makes the remembered decisions of the last time again.
    fn replay(&self, old: &Policy, new: &Policy, time: Duration) -> Value {
        let now = self.0.now();
        let status = self.0.node.status();
        let start = now - time;
        let recent = status.metrics.live.recent();
        let records: Vec<RecordedDecision> = recent
            .iter()
            .filter(|record| record.at >= start)
            .map(|record| recorded(record, &self.0))
            .collect();
        let replayed = new.replay(&records, Some(old), now);
        // Permits are remembered only while someone watches, so that an hour is rarely complete.
        let is_whole = status.since.is_some_and(|since| since <= start) && status.metrics.live.missed() == 0;
        let mut answer = json!(replayed);
        set(&mut answer, "from", json!(rfc3339(start)));
        set(&mut answer, "complete", json!(is_whole && replayed.unknown == 0));
        answer
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

/// The change that the question is about.
enum Question {
    /// An edit of the stored policy.
    Edit(Edit),
    /// Other scopes and routes in place of the file's.
    Policy(String),
}

impl TryFrom<Proposed> for Question {
    type Error = Problem;

    fn try_from(proposed: Proposed) -> Result<Self, Problem> {
        let Proposed { create, replace, delete, scope, policy, replay: _ } = proposed;
        Ok(match (create, replace, delete, scope, policy) {
            (Some(definition), None, None, None, None) => Self::Edit(Edit::CreateRoute { definition }),
            (None, Some(ReplaceRoute { id, definition }), None, None, None) => {
                let id = RecordId::from_text(&id);
                Self::Edit(Edit::ReplaceRoute { id, definition, expected: Expected::Any })
            }
            (None, None, Some(id), None, None) => {
                Self::Edit(Edit::DeleteRoute { id: RecordId::from_text(&id), expected: Expected::Any })
            }
            (None, None, None, Some(PutScope { name, description, routes, implies }), None) => {
                let name = Scope::parse(&name)
                    .map_err(|error| unprocessable(Reason::InvalidScope, error.to_string()))?;
                let implies = parse_implied(&implies)?;
                Self::Edit(Edit::PutScope { name, description, routes, implies, expected: Expected::Any })
            }
            (None, None, None, None, Some(text)) => Self::Policy(text),
            _ => {
                let description =
                    "expected exactly one of `create`, `replace`, `delete`, `scope` and `policy`";
                return Err(unprocessable(Reason::InvalidQuestion, description));
            }
        })
    }
}
