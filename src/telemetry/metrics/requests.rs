//! Answers by route, decision, reason, provider and class of status. What is told apart is bounded: by the routes, reasons
//! and providers that there are, and by the room for them.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use http::StatusCode;
use scopegate_provider::ProviderName;

use super::{Counter, Exposition, Kind, table::Table};
use crate::telemetry::{Outcome, Verdict};

/// The number of kinds of answers that are counted apart.
const ROOM: usize = 4096;

const CLASSES: [&str; 6] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Counts answers in a table that is only ever added to, so that nobody waits. What finds no room any more is counted by
/// its class of status alone.
pub struct Requests {
    table: Table<Series>,
    others: [Counter; CLASSES.len()],
}

#[derive(Debug)]
struct Series {
    hash: u64,
    route: Option<Arc<str>>,
    decision: &'static str,
    reason: &'static str,
    provider: Option<ProviderName>,
    class: usize,
    count: Counter,
}

/// Numbers of requests by what was decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// The requests that were permitted.
    pub permitted: u64,
    /// The requests that were denied.
    pub denied: u64,
    /// The requests that could not be decided.
    pub outages: u64,
}

impl Totals {
    /// Returns the requests since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            permitted: self.permitted.saturating_sub(earlier.permitted),
            denied: self.denied.saturating_sub(earlier.denied),
            outages: self.outages.saturating_sub(earlier.outages),
        }
    }

    fn add(&mut self, series: &Series) {
        let count = series.count.count();
        match series.decision {
            "permit" => self.permitted += count,
            "unavailable" => self.outages += count,
            "deny" => self.denied += count,
            _ => {}
        }
    }
}

/// The kind of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key<'o> {
    route: Option<&'o str>,
    decision: &'static str,
    reason: &'static str,
    provider: Option<&'o str>,
    class: usize,
}

impl Requests {
    fn with_room(places: usize) -> Self {
        Self { table: Table::with_room(places), others: Default::default() }
    }

    /// Counts an answer, and what a gate said of it if it came to one.
    pub fn count(&self, outcome: Option<&Outcome>, verdict: Verdict, status: StatusCode) {
        let key = Key::of(outcome, verdict, status);
        let hash = self.table.hash(key);
        let found = self.table.find_or_add(
            hash,
            |series| series.hash == hash && series.key() == key,
            || Series::new(hash, key, outcome),
        );
        if let Some(counter) = found.map(|series| &series.count).or_else(|| self.others.get(key.class)) {
            counter.increment();
        }
    }

    /// Returns the numbers of requests so far.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.table.entries().for_each(|series| totals.add(series));
        totals
    }

    /// Returns the numbers of requests so far by route.
    pub fn totals_by_route(&self) -> Vec<(Arc<str>, Totals)> {
        let mut routes: HashMap<Arc<str>, Totals> = HashMap::new();
        for series in self.table.entries() {
            if let Some(route) = &series.route {
                routes.entry(route.clone()).or_default().add(series);
            }
        }
        routes.into_iter().collect()
    }

    /// Returns the numbers of requests so far by provider.
    pub fn totals_by_provider(&self) -> HashMap<ProviderName, Totals> {
        let mut providers: HashMap<ProviderName, Totals> = HashMap::new();
        for series in self.table.entries() {
            if let Some(provider) = &series.provider {
                providers.entry(provider.clone()).or_default().add(series);
            }
        }
        providers
    }

    /// Writes what was counted.
    pub fn write(&self, page: &mut Exposition) {
        let help = "Answers, by the pattern of the route that decided, what was decided and why.";
        let mut family = page.family("scopegate_requests_total", Kind::Counter, help);
        for series in self.table.entries() {
            let key = series.key();
            let labels = [
                ("route", key.route.unwrap_or_default()),
                ("decision", key.decision),
                ("reason", key.reason),
                ("provider", key.provider.unwrap_or_default()),
                ("status", class(key.class)),
            ];
            family.sample(&labels, series.count.count());
        }
        for (index, counter) in self.others.iter().enumerate().filter(|(_, counter)| counter.count() > 0) {
            let route = ("route", "others");
            let decision = ("decision", "others");
            let labels =
                [route, decision, ("reason", "others"), ("provider", "others"), ("status", class(index))];
            family.sample(&labels, counter.count());
        }
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl<'o> Key<'o> {
    fn of(outcome: Option<&'o Outcome>, verdict: Verdict, status: StatusCode) -> Self {
        Self {
            route: outcome.and_then(|outcome| outcome.route.as_deref()),
            decision: verdict.as_str(),
            reason: outcome.map_or("", |outcome| outcome.reason.as_str()),
            provider: outcome.and_then(|outcome| outcome.provider.as_ref()).map(ProviderName::as_str),
            class: Some(usize::from(status.as_u16() / 100))
                .filter(|class| *class < CLASSES.len())
                .unwrap_or(0),
        }
    }
}

impl Series {
    fn new(hash: u64, key: Key<'_>, outcome: Option<&Outcome>) -> Self {
        Self {
            hash,
            route: outcome.and_then(|outcome| outcome.route.clone()),
            decision: key.decision,
            reason: key.reason,
            provider: outcome.and_then(|outcome| outcome.provider.clone()),
            class: key.class,
            count: Counter::default(),
        }
    }

    fn key(&self) -> Key<'_> {
        Key {
            route: self.route.as_deref(),
            decision: self.decision,
            reason: self.reason,
            provider: self.provider.as_ref().map(ProviderName::as_str),
            class: self.class,
        }
    }
}

fn class(index: usize) -> &'static str {
    CLASSES.get(index).copied().unwrap_or("other")
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.table.entries().count();
        f.debug_struct("Requests").field("kinds", &kinds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::table::PROBES, *};
    use crate::reason::Reason;

    fn outcome(route: &str, reason: &'static str) -> Outcome {
        let reason = Reason::parse(reason).unwrap();
        let passed = reason == Reason::Permitted;
        Outcome {
            route: Some(route.into()),
            reason,
            provider: None,
            client: None,
            subject: None,
            passed,
            missing: Box::default(),
            detail: None,
            original: None,
            recording: crate::telemetry::Recording::default(),
        }
    }

    fn permit(requests: &Requests, outcome: &Outcome, status: StatusCode) {
        requests.count(Some(outcome), Verdict::Permit, status);
    }

    fn page(requests: &Requests) -> String {
        let mut page = Exposition::default();
        requests.write(&mut page);
        page.into_text()
    }

    #[test]
    fn answers_are_counted_by_route_decision_reason_and_status() {
        let requests = Requests::default();
        let permitted = outcome("GET /items/**", "permitted");
        permit(&requests, &permitted, StatusCode::OK);
        permit(&requests, &permitted, StatusCode::CREATED);
        let denied = outcome("GET /items/**", "no_token");
        requests.count(Some(&denied), Verdict::Deny, StatusCode::UNAUTHORIZED);
        requests.count(None, Verdict::None, StatusCode::OK);
        let text = page(&requests);
        let expected = [
            r#"{route="GET /items/**",decision="permit",reason="permitted",provider="",status="2xx"} 2"#,
            r#"{route="GET /items/**",decision="deny",reason="no_token",provider="",status="4xx"} 1"#,
            r#"{route="",decision="none",reason="",provider="",status="2xx"} 1"#,
        ];
        assert_eq!(expected.into_iter().find(|line| !text.contains(line)), None, "{text}");
    }

    #[test]
    fn providers_are_told_apart() {
        let requests = Requests::default();
        for name in ["okta", "auth0"] {
            let provider = ProviderName::parse(name).ok();
            let outcome = Outcome { provider, ..outcome("/a", "permitted") };
            permit(&requests, &outcome, StatusCode::OK);
        }
        assert_eq!(page(&requests).matches(r#"status="2xx"} 1"#).count(), 2);
    }

    #[test]
    fn however_many_kinds_come_the_page_does_not_grow_and_none_is_lost() {
        let requests = Requests::with_room(8);
        for number in 0..100 {
            let outcome = outcome(&format!("/{number}"), "permitted");
            permit(&requests, &outcome, StatusCode::OK);
        }
        let text = page(&requests);
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples.len(), 9, "{text}");
        let counts = samples.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
        assert_eq!(counts.sum::<u64>(), 100);
    }

    #[test]
    fn kinds_that_meet_at_a_place_are_counted_apart() {
        let requests = Requests::with_room(PROBES);
        let kinds: Vec<_> = (0..PROBES).map(|number| outcome(&format!("/{number}"), "permitted")).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| kinds.iter().for_each(|kind| permit(&requests, kind, StatusCode::OK)));
            }
        });
        assert_eq!(page(&requests).matches(r#"status="2xx"} 4"#).count(), PROBES);
    }
}
