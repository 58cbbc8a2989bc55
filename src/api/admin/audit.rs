//! `/admin/audit`: the changes with their actors, and the counts of denials.

use std::collections::VecDeque;

use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Query},
    payload::{Binary, Json},
    types::ToJSON,
};
use serde_json::Value;

use super::{Admin, bodies::List, moment, rfc3339, unprocessable};
use crate::{
    problem::Problem,
    reason::Reason,
    store::{Action, Audit, AuditRecord, DenialCount, Period, RecordId},
};

/// The endpoints.
#[derive(Clone, Debug)]
pub struct AuditApi(pub(super) Admin);

/// A change.
#[derive(Object)]
#[oai(rename = "AuditRecord")]
struct AuditBody {
    /// Its id.
    id: String,
    /// The moment at which it was made.
    at: String,
    /// Its actor: a provider and a subject or client, or `system`.
    actor: String,
    /// The kind of the change.
    action: String,
    /// The scope, route, revocation or provider.
    name: String,
    /// The content since then.
    detail: Value,
    /// The number of the change.
    change: i64,
}

/// The number of denials of one kind in a minute.
#[derive(Object)]
#[oai(rename = "Denial")]
struct DenialBody {
    /// The start of the minute.
    minute: String,
    /// The route that decided.
    route: String,
    /// The reason.
    reason: String,
    /// The client of the token.
    client: String,
    /// The number of denials.
    count: u64,
}

/// The media type of one JSON object a line.
const NDJSON: &str = "application/x-ndjson";

/// The most records of an export.
const EXPORT: usize = 100_000;

/// The number of records that are read from the store at once.
const BATCH: usize = 1000;

#[derive(ApiResponse)]
enum AuditResponse {
    /// The changes. For the next page, `next` goes into `after`, or into `before` if the newest come first.
    #[oai(status = 200)]
    Page(Json<List<AuditBody>>),
    /// The changes, one JSON object a line, 100,000 at most.
    #[oai(status = 200, content_type = "application/x-ndjson")]
    Lines(Binary<Vec<u8>>),
}

/// The filter of a list of changes.
struct Filter {
    period: Period,
    after: Option<RecordId>,
    before: Option<RecordId>,
    actor: Option<String>,
    action: Option<Action>,
    text: String,
}

impl Filter {
    fn selects(&self, record: &AuditRecord) -> bool {
        self.actor.as_ref().is_none_or(|actor| record.actor.to_string() == *actor)
            && self.action.is_none_or(|action| record.action == action)
            && (self.text.is_empty() || mentions(record, &self.text))
    }
}

fn mentions(record: &AuditRecord, text: &str) -> bool {
    let shown = [record.name.clone(), record.actor.to_string(), record.detail.to_string()];
    record.action.as_str().contains(text) || shown.iter().any(|shown| shown.to_lowercase().contains(text))
}

fn parse_action(text: &str) -> Result<Action, Problem> {
    Action::parse(text).map_err(|_| {
        let known: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        let description = format!("expected `action` as one of `{}`, found `{text}`", known.join("`, `"));
        unprocessable(Reason::InvalidFilter, description)
    })
}

impl AuditApi {
    /// Returns at most `limit` records, and `true` if there are more.
    async fn find(
        &self,
        filter: &Filter,
        newest_first: bool,
        limit: usize,
    ) -> Result<(Vec<AuditRecord>, bool), Problem> {
        let mut found = VecDeque::new();
        let mut after = filter.after.clone();
        loop {
            let page = self.0.store.audit(filter.period, after.as_ref(), BATCH).await?;
            after = page.items.last().map(|last| last.id.clone());
            let mut is_over = !page.more || after.is_none();
            for record in page.items {
                if filter.before.as_ref().is_some_and(|before| record.id >= *before) {
                    is_over = true;
                    break;
                }
                if filter.selects(&record) {
                    found.push_back(record);
                }
                // The newest are wanted: older ones make room, up to one that tells that there are more.
                if newest_first && found.len() > limit + 1 {
                    found.pop_front();
                }
            }
            if is_over || !newest_first && found.len() > limit {
                break;
            }
        }
        let more = found.len() > limit;
        let mut records = Vec::from(found);
        if newest_first {
            records.reverse();
        }
        records.truncate(limit);
        Ok((records, more))
    }
}

#[OpenApi]
impl AuditApi {
    /// List the changes, with their actors: in the order of the changes, or the newest first. With `Accept:
    /// application/x-ndjson` or `format=ndjson`, one JSON object a line.
    #[oai(path = "/admin/audit", method = "get", operation_id = "list_audit")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the query")]
    async fn audit(
        &self,
        /// From this moment on (RFC 3339).
        Query(from): Query<Option<String>>,
        /// Before this moment (RFC 3339).
        Query(to): Query<Option<String>>,
        /// The most entries: 1 to 1000.
        Query(limit): Query<Option<usize>>,
        /// Only records after the one of this id.
        Query(after): Query<Option<String>>,
        /// Only records before the one of this id.
        Query(before): Query<Option<String>>,
        /// `asc` (the order of the changes) or `desc` (the newest first).
        Query(order): Query<Option<String>>,
        /// Only changes of this actor, such as `okta/ops-lead`.
        Query(actor): Query<Option<String>>,
        /// Only changes of this kind, such as `revoke`.
        Query(action): Query<Option<String>>,
        /// Only changes in which this text occurs, in any case.
        Query(q): Query<Option<String>>,
        /// `json` or `ndjson`; else as `Accept` says.
        Query(format): Query<Option<String>>,
        /// `application/json` or `application/x-ndjson`.
        #[oai(name = "Accept")]
        Header(accept): Header<Option<String>>,
    ) -> poem::Result<AuditResponse> {
        let filter = Filter {
            period: period(from.as_deref(), to.as_deref())?,
            after: after.as_deref().map(RecordId::from_text),
            before: before.as_deref().map(RecordId::from_text),
            actor,
            action: action.map(|action| parse_action(&action)).transpose()?,
            text: q.unwrap_or_default().to_lowercase(),
        };
        let limit = super::limit(limit)?;
        let newest_first = match order.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(other) => {
                let description = format!("expected `order` as `asc` or `desc`, found `{other}`");
                return Err(unprocessable(Reason::InvalidFilter, description).into());
            }
        };
        let is_lines = match format.as_deref() {
            None => accept.is_some_and(|accept| accept.contains(NDJSON)),
            Some("json") => false,
            Some("ndjson") => true,
            Some(other) => {
                let description = format!("expected `format` as `json` or `ndjson`, found `{other}`");
                return Err(unprocessable(Reason::InvalidFilter, description).into());
            }
        };
        if is_lines {
            let (records, _) = self.find(&filter, newest_first, EXPORT).await?;
            let lines = records.into_iter().map(|record| format!("{}\n", body(record).to_json_string()));
            return Ok(AuditResponse::Lines(Binary(lines.collect::<String>().into_bytes())));
        }
        let (records, more) = self.find(&filter, newest_first, limit).await?;
        let next = records.last().filter(|_| more).map(|last| last.id.to_string());
        Ok(AuditResponse::Page(List::new(records.into_iter().map(body).collect(), next)))
    }

    /// List the counts of denials, the latest minutes first.
    #[oai(path = "/admin/audit/denials", method = "get", operation_id = "list_denials")]
    async fn denials(
        &self,
        /// From this moment on (RFC 3339).
        Query(from): Query<Option<String>>,
        /// Before this moment (RFC 3339).
        Query(to): Query<Option<String>>,
        /// The most entries: 1 to 1000.
        Query(limit): Query<Option<usize>>,
    ) -> poem::Result<Json<List<DenialBody>>> {
        let period = period(from.as_deref(), to.as_deref())?;
        let limit = super::limit(limit)?;
        let denials = self.0.store.denials(period, limit).await.map_err(Problem::from)?;
        Ok(List::new(denials.into_iter().map(denial).collect(), None))
    }
}

fn period(from: Option<&str>, to: Option<&str>) -> Result<Period, Problem> {
    Ok(Period {
        from: from.map_or(Ok(Period::ALWAYS.from), |from| moment("from", from))?,
        to: to.map_or(Ok(Period::ALWAYS.to), |to| moment("to", to))?,
    })
}

fn body(record: AuditRecord) -> AuditBody {
    AuditBody {
        id: record.id.to_string(),
        at: rfc3339(record.at),
        actor: record.actor.to_string(),
        action: record.action.as_str().to_owned(),
        name: record.name,
        detail: record.detail,
        change: record.change.0,
    }
}

fn denial(denial: DenialCount) -> DenialBody {
    let DenialCount { minute, route, reason, client, count } = denial;
    DenialBody { minute: rfc3339(minute), route, reason, client, count }
}
