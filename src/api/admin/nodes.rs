//! The nodes of a store: the report of this node, and those of the others.
//!
//! A report is one row that its node replaces: the rates of the last hour, and the largest groups of denials with their
//! last examples. Its size does not depend on the number of requests.

use std::time::Duration;

use scopegate_provider::Timestamp;
use serde_json::{Value, json};

use super::{Admin, NodeStatus, moment, rfc3339};
use crate::store::{NodeRecord, Nodes, StoreError};

/// The number of groups of denials in a report.
pub(super) const GROUPS: usize = 50;

/// The number of examples of a group.
pub(super) const EXAMPLES: usize = 5;

/// The number of examples of a group in a report.
const REPORTED_EXAMPLES: usize = 2;

/// The silence after which a node counts as not ready.
const SILENT: Duration = Duration::from_secs(30);

/// The silence after which a node is not listed any more.
const GONE: Duration = Duration::from_mins(10);

/// The silence after which the report of a node is removed.
const FORGOTTEN: Duration = Duration::from_hours(1);

const MINUTE: i64 = 60_000;

/// The period of one count of a trend.
const TREND: Duration = Duration::from_mins(5);

/// The report of another node.
pub(super) struct OtherNode {
    id: String,
    seen: Timestamp,
    report: Value,
}

/// Writes the report of this node, with its largest groups of denials, into the store.
pub(super) async fn write_report(
    admin: &Admin,
    status: NodeStatus,
    mut groups: Vec<Value>,
) -> Result<(), StoreError> {
    let now = admin.now();
    let hour = status.metrics.live.last_hour(&status.metrics);
    for group in &mut groups {
        if let Some(examples) = group.get_mut("examples").and_then(Value::as_array_mut) {
            examples.truncate(REPORTED_EXAMPLES);
        }
    }
    let report = json!({
        "ready": status.ready,
        "generation": status.generation,
        "since": status.since.map(rfc3339),
        "reload_error": status.reload_error,
        "minute": now.millis().div_euclid(MINUTE),
        "permitted": hour.totals.iter().map(|totals| totals.permitted).collect::<Vec<_>>(),
        "denied": hour.totals.iter().map(|totals| totals.denied).collect::<Vec<_>>(),
        "outages": hour.totals.iter().map(|totals| totals.outages).collect::<Vec<_>>(),
        "groups": groups,
    });
    let record = NodeRecord { id: status.id, seen: now, report: report.to_string() };
    admin.store.report_node(record, now - FORGOTTEN).await
}

/// Returns the reports of the other nodes. A store that does not answer knows of none.
pub(super) async fn others(admin: &Admin, status: &NodeStatus) -> Vec<OtherNode> {
    let records = match admin.store.nodes().await {
        Ok(records) => records,
        Err(error) => {
            tracing::debug!(%error, "cannot read the reports of other nodes");
            return Vec::new();
        }
    };
    let others = records.into_iter().filter(|record| record.id != status.id).filter_map(|record| {
        // The report of a newer scopegate may have another form: what is missing counts as nothing.
        let report = serde_json::from_str(&record.report).ok()?;
        Some(OtherNode { id: record.id, seen: record.seen, report })
    });
    others.collect()
}

impl OtherNode {
    /// Returns the node as the overview lists it, unless it has been silent for long.
    pub(super) fn json(&self, now: Timestamp) -> Option<Value> {
        let silence = now.since(self.seen);
        let is_ready = silence < SILENT && self.report.get("ready") == Some(&Value::Bool(true));
        (silence < GONE).then(|| {
            json!({
                "id": self.id,
                "self": false,
                "ready": is_ready,
                "generation": self.report.get("generation"),
                "since": self.report.get("since"),
                "reload_error": self.report.get("reload_error"),
                "seen": rfc3339(self.seen),
            })
        })
    }

    /// Adds the counts of the node to those of this one, minute by minute. `name` is that of a member of the report.
    pub(super) fn add_rates(&self, name: &str, counts: &mut [u64], now: Timestamp) {
        let minute = self.report.get("minute").and_then(Value::as_i64).unwrap_or_default();
        let age = usize::try_from(now.millis().div_euclid(MINUTE) - minute).unwrap_or(usize::MAX);
        let theirs = self.report.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // Both end with the running minute of their time.
        for (count, more) in counts.iter_mut().rev().skip(age).zip(theirs.iter().rev()) {
            *count = count.saturating_add(more.as_u64().unwrap_or_default());
        }
    }

    /// Returns the groups of denials of the node that `selects` selects.
    fn groups(&self, selects: impl Fn(&Value) -> bool) -> impl Iterator<Item = &Value> {
        let groups = self.report.get("groups").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        groups.iter().filter(move |group| selects(group))
    }

    /// Returns `true` if the report names a request as an example.
    pub(super) fn remembers(&self, request_id: &str) -> bool {
        self.groups(|_| true).any(|group| {
            let examples = group.get("examples").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            examples.iter().any(|example| text(example, "request_id") == Some(request_id))
        })
    }

    /// Returns the name of the node.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// Adds the groups of other nodes to those of this one, the largest first.
pub(super) fn merge(
    mut groups: Vec<Value>,
    others: &[OtherNode],
    now: Timestamp,
    limit: usize,
    selects: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    for node in others {
        let age = usize::try_from(now.since(node.seen).as_secs() / TREND.as_secs()).unwrap_or(usize::MAX);
        for theirs in node.groups(&selects) {
            match groups.iter_mut().find(|group| is_same(group, theirs)) {
                Some(group) => add(group, theirs, age),
                None => groups.push(theirs.clone()),
            }
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse((number(group, "count"), at(group, "last"))));
    groups.truncate(limit);
    groups
}

/// Returns `true` if two groups have outcome, reason, route, provider and client in common.
fn is_same(a: &Value, b: &Value) -> bool {
    let names = ["/outcome", "/reason", "/route/match", "/provider", "/client"];
    names.iter().all(|name| a.pointer(name) == b.pointer(name))
}

/// Adds the counts and examples of another node's group, which is `age` periods of the trend old.
fn add(group: &mut Value, theirs: &Value, age: usize) {
    let count = number(group, "count").saturating_add(number(theirs, "count"));
    let first = if at(theirs, "first") < at(group, "first") { theirs } else { &*group };
    let first = first.get("first").cloned().unwrap_or_default();
    let last = if at(theirs, "last") > at(group, "last") { theirs } else { &*group };
    let last = last.get("last").cloned().unwrap_or_default();
    let trend = theirs.get("trend").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(ours) = group.get_mut("trend").and_then(Value::as_array_mut) {
        for (sum, more) in ours.iter_mut().rev().skip(age).zip(trend.iter().rev()) {
            *sum = json!(sum.as_u64().unwrap_or_default().saturating_add(more.as_u64().unwrap_or_default()));
        }
    }
    let more = theirs.get("examples").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(examples) = group.get_mut("examples").and_then(Value::as_array_mut) {
        examples.extend(more);
        examples.sort_by_key(|example| std::cmp::Reverse(at(example, "at")));
        examples.truncate(EXAMPLES);
    }
    for (name, value) in [("count", json!(count)), ("first", first), ("last", last)] {
        super::bodies::set(group, name, value);
    }
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

fn at(value: &Value, name: &'static str) -> Option<Timestamp> {
    moment(name, text(value, name)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_040);

    fn other(report: Value) -> OtherNode {
        OtherNode { id: "b".to_owned(), seen: NOW, report }
    }

    fn group(client: &str, count: u64, id: &str, seconds: i64) -> Value {
        let at = rfc3339(Timestamp::from_seconds(1_790_000_000 + seconds));
        json!({ "outcome": "denied", "reason": "no_route", "route": null, "provider": "p", "client": client,
                "count": count, "trend": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, count], "first": at, "last": at,
                "examples": [{ "request_id": id, "at": at }] })
    }

    #[test]
    fn equal_groups_of_nodes_are_added_and_others_stay_apart() {
        let report = json!({ "groups": [group("c", 2, "y", 20), group("d", 9, "z", 10)] });
        let merged = merge(vec![group("c", 3, "x", 10)], &[other(report)], NOW, 10, |_| true);
        assert_eq!(merged.len(), 2);
        assert_eq!((&merged[0]["client"], &merged[0]["count"]), (&json!("d"), &json!(9)));
        let both = &merged[1];
        assert_eq!((&both["count"], &both["trend"][11]), (&json!(5), &json!(5)));
        assert_eq!(
            (&both["examples"][0]["request_id"], &both["examples"][1]["request_id"]),
            (&json!("y"), &json!("x"))
        );
        assert!(at(both, "first") < at(both, "last"));
    }

    #[test]
    fn rates_of_an_earlier_minute_are_added_to_that_minute() {
        let minute = NOW.millis().div_euclid(MINUTE);
        let report = json!({ "minute": minute - 1, "denied": [1, 2, 3] });
        let mut counts = [10, 10, 10];
        other(report).add_rates("denied", &mut counts, NOW);
        assert_eq!(counts, [12, 13, 10]);
        let mut unchanged = [10, 10, 10];
        other(json!({ "minute": minute - 1000, "denied": [1, 2, 3] })).add_rates(
            "denied",
            &mut unchanged,
            NOW,
        );
        assert_eq!(unchanged, [10, 10, 10]);
    }

    #[test]
    fn a_silent_node_is_not_ready_and_then_not_listed() {
        let node = other(json!({ "ready": true, "generation": 1 }));
        assert_eq!(node.json(NOW).unwrap()["ready"], true);
        assert_eq!(node.json(NOW + SILENT).unwrap()["ready"], false);
        assert_eq!(node.json(NOW + GONE), None);
    }
}
