//! `/admin/overview`, `/admin/decisions` and `/admin/session`: the state of the node, and its decisions as they are made.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, header};
use poem::{Body, Endpoint, IntoResponse, Request, Response, Result, web::Json};
use scopegate_provider::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{
    Admin, NodeStatus,
    bodies::set,
    guard::{AdminGuard, Rights},
    moment,
    nodes::{self, OtherNode},
    overview,
    recorded::recorded,
    rfc3339, unprocessable,
};
use crate::{
    gate::Caller,
    policy::Policy,
    problem::Problem,
    reason::Reason,
    store::{Actor, StoreError},
    telemetry::{DecisionOutcome, DecisionRecord, ShadowDecision},
};

/// The number of listeners that a node serves at once.
const LISTENERS: usize = 16;

/// The number of decisions that a listener gets in a second; half of them may be permits.
const PER_SECOND: usize = 50;

/// The number of seconds between comments that keep the connection open.
const COMMENT: u64 = 15;

/// The number of groups or decisions in an answer unless a limit is given.
const LIMIT: usize = 100;

/// The time that groups cover unless a period is given.
const HOUR: Duration = Duration::from_hours(1);

/// `GET /admin/overview`.
#[derive(Debug, Clone)]
pub struct Overview(pub Admin);

impl Endpoint for Overview {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        let status = self.0.node.status();
        status.metrics.live.watch(self.0.now());
        Ok(fresh(overview::overview(&self.0, &status).await))
    }
}

/// `GET /admin/session`: the caller, and what it may do.
#[derive(Debug, Clone)]
pub struct Session;

impl Endpoint for Session {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let principal = match request.data::<Caller>() {
            Some(Caller::Known(principal)) => Some(&**principal),
            _ => None,
        };
        let change = request.data::<Rights>().is_some_and(|rights| rights.change);
        let may: &[&str] = if change { &["read", "change"] } else { &["read"] };
        Ok(fresh(json!({
            "actor": principal.map(|principal| Actor::from(principal).to_string()),
            "provider": principal.map(scopegate_provider::Principal::provider),
            "expires_at": principal.map(|principal| rfc3339(principal.expires_at())),
            "may": may,
        })))
    }
}

/// `GET /admin/shadow`: the decisions of routes in `mode: shadow` beside those that were enforced, by route and client,
/// since the node started to count.
#[derive(Debug, Clone)]
pub struct Shadow(pub Admin);

impl Endpoint for Shadow {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        let status = self.0.node.status();
        let state = self.0.gate.current();
        let places = Places::new(&self.0, state.policy());
        let counts = status.metrics.shadow.counts();
        let items = counts.iter().map(|count| {
            json!({
                "route": count.route.as_ref().map_or(Value::Null, |label| places.of_label(label, None)),
                "enforced": count.enforced.as_str(),
                "shadow": count.shadow.as_str(),
                "changes": count.changes(),
                "reason": count.reason,
                "provider": count.provider,
                "client": count.client,
                "count": count.count,
                "first": rfc3339(count.first),
                "last": rfc3339(count.last),
            })
        });
        Ok(fresh(json!({
            "since": status.since.map(rfc3339),
            "items": items.collect::<Vec<_>>(),
            "others": status.metrics.shadow.others(),
        })))
    }
}

/// `GET /admin/decisions`: the remembered decisions, their groups, or a feed of new ones.
#[derive(Debug, Clone)]
pub struct Decisions {
    admin: Admin,
    guard: AdminGuard,
    listeners: Arc<AtomicUsize>,
}

impl Decisions {
    /// Creates the endpoint. A feed ends when `guard` no longer admits its listener.
    pub fn new(admin: Admin, guard: AdminGuard) -> Self {
        Self { admin, guard, listeners: Arc::default() }
    }

    fn list(&self, query: &Query, status: &NodeStatus, others: &[OtherNode]) -> Value {
        let state = self.admin.gate.current();
        let places = Places::new(&self.admin, state.policy());
        let recent = status.metrics.live.recent();
        let mut found = recent.iter().filter(|record| query.selects(record, status, &places));
        if query.group {
            let now = self.admin.now();
            let own = groups(found, query.limit, now, status, &places);
            let all = nodes::merge(own, others, now, query.limit, |group| query.selects_group(group));
            return json!({ "items": all });
        }
        let items: Vec<_> = found.by_ref().take(query.limit).collect();
        let next = found.next().and(items.last()).map(|last| last.number);
        let items: Vec<_> = items
            .into_iter()
            .map(|record| with_facts(decision(record, status, &places), record, &self.admin))
            .collect();
        match next {
            Some(next) => json!({ "items": items, "next": next }),
            None => json!({ "items": items }),
        }
    }

    fn feed(&self, query: Query, request: &Request) -> Result<Response, Problem> {
        let Some(listener) = Listener::new(&self.listeners) else {
            return Err(Problem::new(
                Reason::TooManyListeners,
                format!("{LISTENERS} listeners follow this node already"),
            ));
        };
        let mut session =
            Request::builder().method(request.method().clone()).uri(request.original_uri().clone()).finish();
        *session.headers_mut() = request.headers().clone();
        let feed = Feed::new(self, query, session, listener, resumed(request));
        let events = stream::once(async { "retry: 4000\n\n".to_owned() }).chain(feed.events());
        let body = Body::from_bytes_stream(events.map(|event| Ok::<_, std::io::Error>(event.into_bytes())));
        let response = Response::builder()
            .header(header::CONTENT_TYPE, "text/event-stream")
            .header(header::CACHE_CONTROL, "no-store")
            .header("X-Accel-Buffering", HeaderValue::from_static("no"));
        Ok(response.body(body))
    }
}

impl Endpoint for Decisions {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let query = Query::parse(request.uri().query().unwrap_or_default(), self.admin.now())?;
        let status = self.admin.node.status();
        status.metrics.live.watch(self.admin.now());
        let wants_feed = request.header("accept").is_some_and(|accept| accept.contains("text/event-stream"));
        if wants_feed {
            return Ok(self.feed(query, &request)?);
        }
        let others =
            if query.asks_all_nodes() { nodes::others(&self.admin, &status).await } else { Vec::new() };
        Ok(fresh(self.list(&query, &status, &others)))
    }
}

fn fresh(value: Value) -> Response {
    Json(value).with_header(header::CACHE_CONTROL, "no-store").into_response()
}

/// Returns the number of the last event that a returning listener has seen.
fn resumed(request: &Request) -> Option<u64> {
    request.header("last-event-id")?.rsplit('.').next()?.parse().ok()
}

/// A place among the listeners, given back when it is dropped.
struct Listener(Arc<AtomicUsize>);

impl Listener {
    fn new(listeners: &Arc<AtomicUsize>) -> Option<Self> {
        let taken = listeners.fetch_add(1, Ordering::Relaxed);
        let place = Self(listeners.clone());
        (taken < LISTENERS).then_some(place)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The filters of a question about decisions.
#[derive(Debug, Default, Clone)]
struct Query {
    group: bool,
    outcomes: Vec<String>,
    fields: BTreeMap<&'static str, String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    after: Option<u64>,
    limit: usize,
}

/// The filters that compare a field.
const FIELDS: [&str; 8] = ["route", "client", "reason", "host", "provider", "path", "request_id", "method"];

impl Query {
    fn parse(text: &str, now: Timestamp) -> Result<Self, Problem> {
        let mut query = Self { limit: LIMIT, ..Self::default() };
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            match &*name {
                _ if value.is_empty() => {}
                "group" => query.group = true,
                "outcome" => query.outcomes = value.split(',').map(str::to_owned).collect(),
                "from" => query.from = Some(moment("from", &value)?),
                "to" => query.to = Some(moment("to", &value)?),
                "limit" => query.limit = super::limit(value.parse().map_or(Some(0), Some))?,
                "after" => query.after = Some(value.parse().map_err(|_| unknown("after", &value))?),
                name => match FIELDS.iter().find(|known| **known == name) {
                    Some(known) => drop(query.fields.insert(known, value.into_owned())),
                    None => return Err(unknown(name, &value)),
                },
            }
        }
        if query.group && query.from.is_none() {
            query.from = Some(now - HOUR);
        }
        Ok(query)
    }

    /// Returns `true` if the groups of other nodes can answer: they are those of the last hour, and know no more than
    /// route, reason, provider and client.
    fn asks_all_nodes(&self) -> bool {
        let known = ["route", "reason", "provider", "client"];
        self.group && self.to.is_none() && self.fields.keys().all(|name| known.contains(name))
    }

    /// Returns `true` if a group of another node is asked for.
    fn selects_group(&self, group: &Value) -> bool {
        let text = |pointer: &str| group.pointer(pointer).and_then(Value::as_str);
        let named = self.outcomes.is_empty()
            || self.outcomes.iter().any(|name| text("/outcome") == Some(name.as_str()));
        named
            && self.fields.iter().all(|(name, wanted)| match *name {
                "route" => [text("/route/match"), text("/route/id")].contains(&Some(wanted.as_str())),
                name => text(&format!("/{name}")) == Some(wanted.as_str()),
            })
    }

    fn selects(&self, record: &DecisionRecord, status: &NodeStatus, places: &Places) -> bool {
        let in_time =
            self.from.is_none_or(|from| record.at >= from) && self.to.is_none_or(|to| record.at < to);
        let named = self.outcomes.is_empty() || self.outcomes.iter().any(|name| has_outcome(record, name));
        let matches = self.fields.iter().all(|(name, wanted)| matches_field(record, name, wanted, places));
        in_time
            && named
            && matches
            && self.after.is_none_or(|after| record.number < after)
            && !is_own(record, status)
    }
}

/// Returns `true` if a decision has the outcome of this name. `shadow` is that of every permitted request that the routes
/// in `mode: shadow` would deny.
fn has_outcome(record: &DecisionRecord, name: &str) -> bool {
    record.outcome.as_str() == name || name == "shadow" && shadow_denial(record).is_some()
}

/// Returns the decision of the routes in `mode: shadow` that would deny a permitted request.
fn shadow_denial(record: &DecisionRecord) -> Option<Arc<ShadowDecision>> {
    record.changed_by_shadow().filter(|_| record.outcome == DecisionOutcome::Permitted)
}

fn matches_field(record: &DecisionRecord, name: &str, wanted: &str, places: &Places) -> bool {
    match name {
        "route" => record
            .route
            .as_deref()
            .is_some_and(|label| label == wanted || places.0.get(label).is_some_and(|(id, _)| id == wanted)),
        "client" => record.client.as_ref().is_some_and(|client| client.as_str() == wanted),
        "provider" => record.provider.as_ref().is_some_and(|provider| provider.as_str() == wanted),
        "reason" => record.reason == wanted,
        "host" => record.host == wanted,
        "method" => record.method.as_str() == wanted,
        "path" => record.path.starts_with(wanted),
        "request_id" => record.request_id == wanted,
        _ => false,
    }
}

/// Returns `true` for permitted requests to the admin endpoints: the page would show itself.
fn is_own(record: &DecisionRecord, status: &NodeStatus) -> bool {
    let below =
        record.path.strip_prefix(status.base_path.as_str()).and_then(|rest| rest.strip_prefix("/admin"));
    record.outcome == DecisionOutcome::Permitted && below.is_some_and(|rest| rest.starts_with('/'))
}

fn unknown(name: &str, value: &str) -> Problem {
    let known = FIELDS.join("`, `");
    unprocessable(
        Reason::InvalidFilter,
        format!(
            "cannot filter by `{name}={value}`: expected `group`, `outcome`, `from`, `to`, `limit`, `after`, `{known}`"
        ),
    )
}

/// The ids and places of the routes, by label.
struct Places(HashMap<Arc<str>, (String, Option<String>)>);

impl Places {
    fn new(admin: &Admin, policy: &Policy) -> Self {
        let routes = policy.routes_by_precedence().into_iter().map(|route| {
            (route.label().clone(), (super::routes::id(route.source()), admin.node.place(route.source())))
        });
        Self(routes.collect())
    }

    /// Returns the route that decided. The place is that of today, or of then for a route that is not there any more.
    fn json(&self, record: &DecisionRecord) -> Value {
        match &record.route {
            Some(label) => self.of_label(label, record.rule.as_deref()),
            None => Value::Null,
        }
    }

    fn of_label(&self, label: &Arc<str>, then: Option<&str>) -> Value {
        let found = self.0.get(label);
        json!({
            "id": found.map(|(id, _)| id),
            "match": **label,
            "place": found.and_then(|(_, place)| place.as_deref()).or(then),
        })
    }
}

fn decision(record: &DecisionRecord, status: &NodeStatus, places: &Places) -> Value {
    json!({
        "request_id": record.request_id,
        "at": rfc3339(record.at),
        "node": status.id,
        "outcome": record.outcome.as_str(),
        "status": record.status,
        "reason": record.reason,
        "method": record.method.as_str(),
        "host": record.host,
        "path": record.path,
        "route": places.json(record),
        "provider": record.provider,
        "client": record.client,
        "subject": record.subject,
        "missing": { "scopes": record.missing },
        "shadow": record.shadow_decision().map(|shadow| json!({
            "outcome": shadow.outcome.as_str(), "reason": shadow.reason, "route": shadow.route.as_deref(),
        })),
        "micros": record.micros,
        "front": if record.is_check { "forward_auth" } else { "proxy" },
    })
}

/// Adds the facts by which the decision can be made again.
fn with_facts(mut decision: Value, record: &DecisionRecord, admin: &Admin) -> Value {
    let recorded = recorded(record, admin);
    set(&mut decision, "token", json!(recorded.token));
    set(&mut decision, "caller", json!(recorded.caller));
    set(&mut decision, "tested", json!(recorded.tested));
    set(&mut decision, "client_withheld", json!(recorded.client_withheld));
    set(&mut decision, "own", json!(recorded.own));
    decision
}

/// Decisions that have outcome, route, reason, provider and client in common.
struct Group<'r> {
    first: &'r DecisionRecord,
    oldest: Timestamp,
    count: u64,
    trend: [u64; 12],
    examples: Vec<&'r DecisionRecord>,
}

/// Writes the report of this node into the store, for the overviews of the others.
///
/// # Errors
/// The store does not take it; [`StoreError::NoStore`] if none is configured.
pub async fn report_node(admin: &Admin) -> Result<(), StoreError> {
    let status = admin.node.status();
    let groups = denial_groups(admin, &status);
    nodes::write_report(admin, status, groups).await
}

/// Returns the groups of denials and outages of the last hour on this node, the largest first.
fn denial_groups(admin: &Admin, status: &NodeStatus) -> Vec<Value> {
    let state = admin.gate.current();
    let places = Places::new(admin, state.policy());
    let now = admin.now();
    let recent = status.metrics.live.recent();
    let denials = recent
        .iter()
        .filter(|record| record.outcome != DecisionOutcome::Permitted && now.since(record.at) < HOUR);
    groups(denials, nodes::GROUPS, now, status, &places)
}

/// Returns the groups of decisions (newest first), the largest first.
fn groups<'r>(
    records: impl Iterator<Item = &'r Arc<DecisionRecord>>,
    limit: usize,
    now: Timestamp,
    status: &NodeStatus,
    places: &Places,
) -> Vec<Value> {
    let mut groups: HashMap<_, Group<'r>> = HashMap::new();
    for record in records {
        let shadow = shadow_denial(record).map(|shadow| (shadow.reason, shadow.route.clone()));
        let key = (record.outcome, &record.route, &record.reason, &record.provider, &record.client, shadow);
        let group = groups.entry(key).or_insert_with(|| Group {
            first: record,
            oldest: record.at,
            count: 0,
            trend: [0; 12],
            examples: Vec::new(),
        });
        group.count += 1;
        group.oldest = group.oldest.min(record.at);
        let ago = usize::try_from(now.since(record.at).as_secs() / 300).unwrap_or(usize::MAX);
        if let Some(five_minutes) = 11_usize.checked_sub(ago).and_then(|index| group.trend.get_mut(index)) {
            *five_minutes += 1;
        }
        if group.examples.len() < nodes::EXAMPLES {
            group.examples.push(record);
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.count, group.first.at)));
    groups.truncate(limit);
    groups.iter().map(|group| group_json(group, status, places)).collect()
}

fn group_json(group: &Group<'_>, status: &NodeStatus, places: &Places) -> Value {
    let newest = group.first;
    let shadow = shadow_denial(newest);
    let shadow_route = shadow.as_ref().and_then(|shadow| shadow.route.as_ref());
    let examples = group.examples.iter().map(|record| {
        json!({
            "request_id": record.request_id,
            "method": record.method.as_str(),
            "path": record.path,
            "at": rfc3339(record.at),
            "node": status.id,
        })
    });
    json!({
        "outcome": if shadow.is_some() { "shadow" } else { newest.outcome.as_str() },
        "reason": shadow.as_ref().map_or(newest.reason.as_str(), |shadow| shadow.reason.as_str()),
        "route": shadow_route.map_or_else(|| places.json(newest), |label| places.of_label(label, None)),
        "provider": newest.provider,
        "client": newest.client,
        "missing": { "scopes": newest.missing },
        "count": group.count,
        "trend": group.trend,
        "first": rfc3339(group.oldest),
        "last": rfc3339(newest.at),
        "nearest": null,
        "examples": examples.collect::<Vec<_>>(),
    })
}

/// The feed of one listener.
struct Feed {
    admin: Admin,
    guard: AdminGuard,
    session: Request,
    query: Query,
    status: NodeStatus,
    records: tokio::sync::broadcast::Receiver<Arc<DecisionRecord>>,
    /// Remembered decisions that the listener has not seen.
    backlog: Vec<Arc<DecisionRecord>>,
    second: tokio::time::Interval,
    seconds: u64,
    /// The decisions and permits that were sent in this second.
    sent: usize,
    permits: usize,
    left_out: [u64; 2],
    attention: Value,
    change: i64,
    _listener: Listener,
}

impl Feed {
    fn new(
        decisions: &Decisions,
        query: Query,
        session: Request,
        listener: Listener,
        resumed: Option<u64>,
    ) -> Self {
        let admin = decisions.admin.clone();
        let status = admin.node.status();
        let records = status.metrics.live.subscribe();
        let mut backlog = match resumed {
            Some(seen) => {
                status.metrics.live.recent().into_iter().filter(|record| record.number > seen).collect()
            }
            None => Vec::new(),
        };
        backlog.truncate(PER_SECOND);
        Self {
            change: admin.store.policy().change.0,
            guard: decisions.guard.clone(),
            admin,
            session,
            query,
            status,
            records,
            backlog,
            second: tokio::time::interval(Duration::from_secs(1)),
            seconds: 0,
            sent: 0,
            permits: 0,
            left_out: [0; 2],
            attention: Value::Null,
            _listener: listener,
        }
    }

    fn events(self) -> impl Stream<Item = String> + Send {
        stream::unfold(self, async |mut feed| {
            let event = feed.next().await?;
            Some((event, feed))
        })
    }

    /// Returns the next event, or `None` once the session has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(record) = self.backlog.pop() {
                match self.event(&record) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            tokio::select! {
                record = self.records.recv() => match record {
                    Ok(record) => {
                        if let Some(event) = self.event(&record) {
                            return Some(event);
                        }
                    }
                    Err(RecvError::Lagged(missed)) => self.left_out[0] += missed,
                    Err(RecvError::Closed) => return None,
                },
                _ = self.second.tick() => {
                    if self.guard.admit(&self.session).await.is_err() {
                        return None;
                    }
                    return Some(self.tick());
                }
            }
        }
    }

    /// Returns the event of a decision, unless the listener has had enough of them in this second.
    fn event(&mut self, record: &DecisionRecord) -> Option<String> {
        let state = self.admin.gate.current();
        let places = Places::new(&self.admin, state.policy());
        if !self.query.selects(record, &self.status, &places) {
            return None;
        }
        let is_permit = record.outcome == DecisionOutcome::Permitted;
        if self.sent >= PER_SECOND || is_permit && self.permits >= PER_SECOND / 2 {
            let [permitted, denied] = &mut self.left_out;
            *(if is_permit { permitted } else { denied }) += 1;
            return None;
        }
        self.sent += 1;
        self.permits += usize::from(is_permit);
        let data = decision(record, &self.status, &places);
        Some(format!("id: {}.{}\nevent: decision\ndata: {data}\n\n", self.status.id, record.number))
    }

    /// Returns the events of a second: rates, and what has changed.
    fn tick(&mut self) -> String {
        self.status = self.admin.node.status();
        self.status.metrics.live.watch(self.admin.now());
        let mut events = String::new();
        let rates = self.status.metrics.live.rates();
        let data = json!({
            "permitted": rates.permitted, "denied": rates.denied, "outages": rates.outages,
            "p50_us": rates.p50_us, "p99_us": rates.p99_us, "streams": self.status.streams,
        });
        push(&mut events, "rates", &data);
        let attention = overview::attention(&self.admin, &self.status);
        if self.attention != attention {
            push(&mut events, "attention", &attention);
            self.attention = attention;
        }
        let change = self.admin.store.policy().change.0;
        if change != self.change {
            push(&mut events, "changed", &json!({ "change": change, "what": "routes" }));
            self.change = change;
        }
        let [permitted, denied] = std::mem::take(&mut self.left_out);
        if permitted + denied > 0 {
            push(&mut events, "gap", &json!({ "permitted": permitted, "denied": denied }));
        }
        (self.sent, self.permits) = (0, 0);
        self.seconds += 1;
        if self.seconds.is_multiple_of(COMMENT) {
            events.push_str(": still here\n\n");
        }
        events
    }
}

fn push(events: &mut String, name: &str, data: &Value) {
    events.extend(["event: ", name, "\ndata: ", &data.to_string(), "\n\n"]);
}
