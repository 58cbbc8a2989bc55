//! The JSON of `/admin/overview`: the state of the node at a glance, most urgent first.

use std::{collections::HashMap, time::Duration};

use scopegate_provider::{IssuerHealth, ProviderName, Timestamp};
use serde_json::{Value, json};

use super::{Admin, NodeStatus, bodies::set, nodes, rfc3339};
use crate::{
    authenticator::Connected,
    reason::Reason,
    store::{ChangeNumber, ProviderState, RecordId, Revocations, StoreUrl},
    telemetry::{DecisionOutcome, DecisionRecord, decisions::Minutes, metrics::Totals},
};

/// The number of entries in the list of what needs attention.
const ATTENTION: usize = 5;

/// The number of routes in the list of the busiest ones.
const BUSIEST: usize = 10;

/// The time without an answer after which the store needs attention.
const SILENCE: Duration = Duration::from_secs(5);

/// The time before the end of old keys from which they need attention as expiring.
const EXPIRING: Duration = Duration::from_hours(1);

const HOUR: Duration = Duration::from_hours(1);

/// Returns the overview.
pub(super) async fn overview(admin: &Admin, status: &NodeStatus) -> Value {
    let now = admin.now();
    let live = &status.metrics.live;
    let hour = live.last_hour(&status.metrics);
    let rates = live.rates();
    let others = nodes::others(admin, status).await;
    let minutes = |name: &str, of: fn(&Totals) -> u64| {
        let mut counts: Vec<u64> = hour.totals.iter().map(of).collect();
        for node in &others {
            node.add_rates(name, &mut counts, now);
        }
        counts
    };
    let own = json!({
        "id": status.id,
        "self": true,
        "ready": status.ready,
        "generation": status.generation,
        "since": status.since.map(rfc3339),
        "reload_error": status.reload_error,
        "seen": rfc3339(now),
    });
    let listed: Vec<_> = [own].into_iter().chain(others.iter().filter_map(|node| node.json(now))).collect();
    let stored = admin.store.providers();
    let state = admin.gate.current();
    let providers: Vec<_> = state
        .authenticator()
        .providers()
        .iter()
        .map(|connected| provider(connected, &stored, status, share(&hour, connected.name())))
        .collect();
    let silence = admin.store.silence();
    let is_stored = status.store.is_some();
    json!({
        "at": rfc3339(now),
        "site": status.site,
        "version": env!("CARGO_PKG_VERSION"),
        "nodes": listed,
        "attention": attention(admin, status),
        "rates": {
            "start": rfc3339(now - HOUR),
            "permitted": minutes("permitted", |totals| totals.permitted),
            "denied": minutes("denied", |totals| totals.denied),
            "outages": minutes("outages", |totals| totals.outages),
        },
        "latency_us": { "p50": rates.p50_us, "p99": rates.p99_us },
        "streams": status.streams,
        "cached_tokens": status.cached_tokens,
        "providers": providers,
        "store": {
            "kind": status.store.as_ref().map_or("none", store_kind),
            "state": if silence > SILENCE { "failed" } else { "good" },
            "latency_ms": is_stored.then(|| millis(admin.store.latency())),
            "change": admin.store.policy().change,
            "heard_at": rfc3339(now - silence),
            "stale_at": admin.store.holds_for().map(|left| rfc3339(now + left)),
        },
        "revocations": {
            "in_force": admin.store.revocation_index().len(),
            "denied_1h": denied_as_revoked(status, now),
            "latest": latest_revocation(admin).await.map(rfc3339),
        },
        "permitted": busiest(admin, status, &hour.routes, now),
    })
}

/// Returns the list of what needs attention, most urgent first.
pub(super) fn attention(admin: &Admin, status: &NodeStatus) -> Value {
    let now = admin.now();
    let mut list = Vec::new();
    let silence = admin.store.silence();
    if status.store.is_some() && silence > SILENCE {
        let until = admin.store.holds_for().map(|left| now + left);
        list.push(lasting("store_silent", "store", now - silence, until));
    }
    if let Some(since) = status.behind_since {
        list.push(entry("node_behind", &status.id, since));
    }
    if let Some(error) = &status.reload_error {
        list.push(entry("reload_failed", error, status.since.unwrap_or(now)));
    }
    let state = admin.gate.current();
    for connected in state.authenticator().providers() {
        let report = connected.provider().health().map(scopegate_provider::Health::report);
        let failed =
            report.iter().flat_map(|report| &report.issuers).find(|issuer| issuer.last_error.is_some());
        if let Some(issuer) = failed {
            let is_short = issuer.stale_at.is_some_and(|stale_at| stale_at.since(now) < EXPIRING);
            let kind = if is_short { "keys_expiring" } else { "keys_not_fetched" };
            let since = first_failure(status, connected, issuer).or(issuer.last_refresh).unwrap_or(now);
            let mut found = lasting(kind, connected.name().as_str(), since, issuer.stale_at);
            if let Some(share) = share(&status.metrics.live.last_hour(&status.metrics), connected.name()) {
                set(&mut found, "share", json!(share));
            }
            list.push(found);
        }
    }
    for error in &status.rejected {
        list.push(entry("left_out", &error.to_string(), status.since.unwrap_or(now)));
    }
    for unreadable in admin.store.unreadable() {
        list.push(entry("left_out", &unreadable.to_string(), status.since.unwrap_or(now)));
    }
    list.extend(rising(status, now));
    list.truncate(ATTENTION);
    Value::Array(list)
}

fn entry(kind: &str, subject: &str, since: Timestamp) -> Value {
    lasting(kind, subject, since, None)
}

fn lasting(kind: &str, subject: &str, since: Timestamp, until: Option<Timestamp>) -> Value {
    json!({ "kind": kind, "subject": subject, "since": rfc3339(since), "until": until.map(rfc3339), "share": null,
            "per_minute": null, "missing": null, "request_id": null })
}

/// Returns the moment of the first of the fetches that failed since the last good one.
fn first_failure(status: &NodeStatus, connected: &Connected, issuer: &IssuerHealth) -> Option<Timestamp> {
    let history = status.metrics.keys.of(connected.name(), issuer.issuer.as_str());
    let failed = history.fetches.iter().rev().take_while(|fetch| fetch.error.is_some());
    failed.last().map(|fetch| fetch.at)
}

/// Returns the moment of the last revocation, if the last change of revocations was one.
async fn latest_revocation(admin: &Admin) -> Option<Timestamp> {
    let last = admin.store.known_heads().revocations;
    let before = RecordId::of(ChangeNumber(last.0.checked_sub(1)?), usize::MAX >> 40);
    let page = admin.store.revocations(Some(&before), 1).await.ok()?;
    page.items.first().map(|latest| latest.created_at)
}

/// Returns a duration in milliseconds, with one decimal.
fn millis(duration: Duration) -> f64 {
    rounded(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), 1000)
}

/// Returns the clients whose denials of the last minute are three times their mean, and at least five.
fn rising(status: &NodeStatus, now: Timestamp) -> Vec<Value> {
    const LEAST: u64 = 5;
    const TIMES: u64 = 3;
    let recent = status.metrics.live.recent();
    let mut clients: HashMap<_, (u64, u64, &DecisionRecord)> = HashMap::new();
    let oldest = recent.last().map_or(now, |record| record.at);
    for record in recent.iter().filter(|record| record.outcome == DecisionOutcome::Denied) {
        let Some(client) = &record.client else { continue };
        let (minute, all, _) = clients.entry(client).or_insert((0, 0, record));
        *all += 1;
        *minute += u64::from(now.since(record.at) < Duration::from_mins(1));
    }
    let minutes = (now.since(oldest).as_secs() / 60).max(1);
    let mut rising: Vec<_> = clients
        .into_iter()
        .filter(|(_, (minute, all, _))| {
            *minute >= LEAST && (minutes < 3 || *minute >= TIMES * (all / minutes))
        })
        .collect();
    rising.sort_by_key(|(_, (minute, ..))| std::cmp::Reverse(*minute));
    rising
        .into_iter()
        .map(|(client, (minute, _, newest))| {
            json!({ "kind": "denials_rising", "subject": client, "since": rfc3339(newest.at), "until": null,
                    "share": null, "per_minute": minute, "missing": { "scopes": newest.missing },
                    "request_id": newest.request_id })
        })
        .collect()
}

/// Returns the share of a provider in the requests of the last hour that carried a verified token.
pub(super) fn share(hour: &Minutes, provider: &ProviderName) -> Option<f64> {
    let all: u64 = hour.providers.values().map(|totals| totals.permitted + totals.denied).sum();
    let own = hour.providers.get(provider).map(|totals| totals.permitted + totals.denied)?;
    Some(rounded(own.saturating_mul(1000), all) / 1000.0)
}

fn provider(
    connected: &Connected,
    stored: &[ProviderState],
    status: &NodeStatus,
    share: Option<f64>,
) -> Value {
    let name = connected.name();
    let report = connected.provider().health().map(scopegate_provider::Health::report);
    let disabled = stored.iter().any(|state| state.provider == *name && state.disabled);
    let issuers = || report.iter().flat_map(|report| &report.issuers);
    let last_error = issuers().find_map(|issuer| issuer.last_error.clone());
    let state = match &report {
        _ if disabled => "disabled",
        Some(report) if !report.ready => "failed",
        Some(_) if last_error.is_some() => "warning",
        Some(_) | None => "good",
    };
    json!({
        "name": name,
        "kind": status.kinds.iter().find(|(known, _)| known == name).map(|(_, kind)| kind),
        "state": state,
        "keys_at": issuers().filter_map(|issuer| issuer.last_refresh).min().map(rfc3339),
        "next_fetch": issuers().filter_map(|issuer| issuer.next_refresh).min().map(rfc3339),
        "stale_at": issuers().filter_map(|issuer| issuer.stale_at).min().map(rfc3339),
        "last_error": last_error,
        "share": share,
        "introspection_ms": report.as_ref().and_then(|report| report.introspection_latency_ms),
    })
}

fn store_kind(url: &StoreUrl) -> &'static str {
    match url {
        StoreUrl::Memory => "memory",
        StoreUrl::Sqlite(_) => "sqlite",
        StoreUrl::Postgres(_) => "postgresql",
    }
}

fn denied_as_revoked(status: &NodeStatus, now: Timestamp) -> usize {
    let recent = status.metrics.live.recent();
    recent
        .iter()
        .filter(|record| record.reason == Reason::Revoked.as_str() && now.since(record.at) < HOUR)
        .count()
}

/// Returns the busiest routes of the last hour.
fn busiest(
    admin: &Admin,
    status: &NodeStatus,
    routes: &[(std::sync::Arc<str>, Totals)],
    now: Timestamp,
) -> Vec<Value> {
    let seconds = status.since.map_or(3600, |since| now.since(since).as_secs().clamp(1, 3600));
    let state = admin.gate.current();
    let mut busiest: Vec<_> = routes
        .iter()
        .filter(|(label, totals)| totals.permitted > 0 && !label.contains("/admin/**"))
        .collect();
    busiest.sort_by_key(|(_, totals)| std::cmp::Reverse(totals.permitted));
    busiest.truncate(BUSIEST);
    let recent = status.metrics.live.recent();
    busiest
        .into_iter()
        .map(|(label, totals)| {
            let route = state.policy().routes().iter().find(|route| route.label() == label);
            let denied = totals.denied + totals.outages;
            let clients: std::collections::HashSet<_> = recent
                .iter()
                .filter(|record| record.route.as_ref() == Some(label))
                .filter_map(|record| record.client.as_ref())
                .collect();
            json!({
                "route": **label,
                "place": route.and_then(|route| admin.node.place(route.source())),
                "per_s": rounded(totals.permitted, seconds),
                "denied_share": rounded(denied * 1000, totals.permitted + denied) / 1000.0,
                "clients": clients.len(),
            })
        })
        .collect()
}

/// Returns a quotient with one decimal.
fn rounded(count: u64, of: u64) -> f64 {
    let tenths = (count.saturating_mul(10) + of / 2) / of.max(1);
    f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
}
