//! `/admin/audit`: who changed what and when, and what was denied.

use poem_openapi::{Object, OpenApi, param::Query, payload::Json};
use serde_json::Value;

use super::{Admin, bodies::List, moment, rfc3339};
use crate::{
    problem::Problem,
    store::{Audit, AuditRecord, DenialCount, Period, RecordId},
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
    /// When it was made.
    at: String,
    /// Who made it: a provider and a subject or client, or `system`.
    actor: String,
    /// What was done.
    action: String,
    /// To what.
    name: String,
    /// What it is since then.
    detail: Value,
    /// The number of the change.
    change: i64,
}

/// How often something was denied in a minute.
#[derive(Object)]
#[oai(rename = "Denial")]
struct DenialBody {
    /// The start of the minute.
    minute: String,
    /// The route that decided.
    route: String,
    /// Why.
    reason: String,
    /// The client of the token.
    client: String,
    /// How often.
    count: u64,
}

#[OpenApi]
impl AuditApi {
    /// List who changed what, in the order of the changes.
    #[oai(path = "/admin/audit", method = "get", operation_id = "list_audit")]
    async fn audit(
        &self,
        /// From this moment on (RFC 3339).
        Query(from): Query<Option<String>>,
        /// Before this moment (RFC 3339).
        Query(to): Query<Option<String>>,
        /// How many at most: 1 to 1000.
        Query(limit): Query<Option<usize>>,
        /// Only records after the one of this id.
        Query(after): Query<Option<String>>,
    ) -> poem::Result<Json<List<AuditBody>>> {
        let (period, limit) = (period(from.as_deref(), to.as_deref())?, super::limit(limit)?);
        let after = after.map(|after| RecordId::from_text(&after));
        let page = self.0.store.audit(period, after.as_ref(), limit).await.map_err(Problem::from)?;
        let next = page.items.last().filter(|_| page.more).map(|last| last.id.to_string());
        Ok(List::new(page.items.into_iter().map(body).collect(), next))
    }

    /// List what was denied, the latest minutes first.
    #[oai(path = "/admin/audit/denials", method = "get", operation_id = "list_denials")]
    async fn denials(
        &self,
        /// From this moment on (RFC 3339).
        Query(from): Query<Option<String>>,
        /// Before this moment (RFC 3339).
        Query(to): Query<Option<String>>,
        /// How many at most: 1 to 1000.
        Query(limit): Query<Option<usize>>,
    ) -> poem::Result<Json<List<DenialBody>>> {
        let (period, limit) = (period(from.as_deref(), to.as_deref())?, super::limit(limit)?);
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
