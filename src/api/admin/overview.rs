//! The JSON of `/admin/overview`: the state of the node at a glance, most urgent first.

use std::{collections::HashMap, time::Duration};

use scopegate_provider::Timestamp;
use serde_json::{Value, json};

use super::{Admin, NodeStatus, rfc3339};
use crate::{
    authenticator::Connected,
    store::{ProviderState, StoreUrl},
    telemetry::{DecisionOutcome, DecisionRecord},
};

/// The number of entries in the list of what needs attention.
const ATTENTION: usize = 5;

/// The number of routes in the list of the busiest ones.
const BUSIEST: usize = 10;

/// The time without an answer after which the store needs attention.
const SILENCE: Duration = Duration::from_secs(5);

const HOUR: Duration = Duration::from_hours(1);

/// Returns the overview.
pub(super) fn overview(admin: &Admin, status: &NodeStatus) -> Value {
    let now = admin.now();
    let live = &status.metrics.live;
    let hour = live.last_hour(&status.metrics);
    let rates = live.rates();
    let count =
        |of: fn(&crate::telemetry::metrics::Totals) -> u64| hour.totals.iter().map(of).collect::<Vec<_>>();
    let states = admin.store.providers();
    let state = admin.gate.current();
    let share = shares(status);
    let providers: Vec<_> = state
        .authenticator()
        .providers()
        .iter()
        .map(|connected| provider(connected, &states, status, &share))
        .collect();
    let silence = admin.store.silence();
    json!({
        "at": rfc3339(now),
        "site": status.site,
        "version": env!("CARGO_PKG_VERSION"),
        "nodes": [{
            "id": status.id,
            "self": true,
            "ready": status.ready,
            "generation": status.generation,
            "since": status.since.map(rfc3339),
            "reload_error": status.reload_error,
            "seen": rfc3339(now),
        }],
        "attention": attention(admin, status),
        "rates": {
            "start": rfc3339(now - HOUR),
            "permitted": count(|totals| totals.permitted),
            "denied": count(|totals| totals.denied),
            "outages": count(|totals| totals.outages),
        },
        "latency_us": { "p50": rates.p50_us, "p99": rates.p99_us },
        "streams": status.streams,
        "cached_tokens": status.cached_tokens,
        "providers": providers,
        "store": {
            "kind": status.store.as_ref().map_or("none", store_kind),
            "state": if silence > SILENCE { "failed" } else { "good" },
            "latency_ms": null,
            "change": admin.store.policy().change,
            "heard_at": rfc3339(now - silence),
            "stale_at": null,
        },
        "revocations": {
            "in_force": admin.store.revocation_index().len(),
            "denied_1h": denied_as_revoked(status, now),
            "latest": null,
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
        list.push(entry("store_silent", "store", now - silence));
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
            list.push(entry(
                "keys_not_fetched",
                connected.name().as_str(),
                issuer.last_refresh.unwrap_or(now),
            ));
        }
    }
    for error in &status.rejected {
        list.push(entry("left_out", &error.to_string(), status.since.unwrap_or(now)));
    }
    list.extend(rising(status, now));
    list.truncate(ATTENTION);
    Value::Array(list)
}

fn entry(kind: &str, subject: &str, since: Timestamp) -> Value {
    json!({ "kind": kind, "subject": subject, "since": rfc3339(since), "until": null, "share": null,
            "per_minute": null, "missing": null, "request_id": null })
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

/// Returns the share of each provider in the remembered decisions.
fn shares(status: &NodeStatus) -> HashMap<String, f64> {
    let recent = status.metrics.live.recent();
    let mut counts: HashMap<String, u32> = HashMap::new();
    let named = recent.iter().filter_map(|record| record.provider.as_ref());
    named.for_each(|provider| *counts.entry(provider.to_string()).or_default() += 1);
    let all: u32 = counts.values().sum();
    counts.into_iter().map(|(name, count)| (name, f64::from(count) / f64::from(all.max(1)))).collect()
}

fn provider(
    connected: &Connected,
    states: &[ProviderState],
    status: &NodeStatus,
    shares: &HashMap<String, f64>,
) -> Value {
    let name = connected.name();
    let report = connected.provider().health().map(scopegate_provider::Health::report);
    let disabled = states.iter().any(|state| state.provider == *name && state.disabled);
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
        "stale_at": null,
        "last_error": last_error,
        "share": shares.get(name.as_str()),
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
    recent.iter().filter(|record| record.reason == "revoked" && now.since(record.at) < HOUR).count()
}

/// Returns the busiest routes of the last hour.
fn busiest(
    admin: &Admin,
    status: &NodeStatus,
    routes: &[(std::sync::Arc<str>, crate::telemetry::metrics::Totals)],
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
                "p50_us": null,
                "p99_us": null,
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
