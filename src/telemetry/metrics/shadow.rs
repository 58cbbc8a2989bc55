//! Counts of the decisions of routes in `mode: shadow`.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use scopegate_provider::{ClientId, ProviderName, Timestamp};

use super::{Counter, Exposition, Kind, table::Table};
use crate::{
    reason::Reason,
    telemetry::{DecisionOutcome, ShadowDecision},
};

/// The number of kinds of shadow decisions that are counted apart.
const ROOM: usize = 2048;

/// The decisions of routes in `mode: shadow`, by route, outcome and client. Those that find no room are counted without
/// their client.
pub struct Shadow {
    table: Table<Series>,
    others: Counter,
}

struct Series {
    key: (DecisionOutcome, ShadowDecision),
    count: Counter,
    first: Timestamp,
    last: AtomicI64,
}

/// The route, the enforced outcome, that of the shadow, and its reason.
type Labels = (Option<Arc<str>>, &'static str, &'static str, &'static str);

/// Shadow decisions of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowCount {
    /// The label of the route that would have decided.
    pub route: Option<Arc<str>>,
    /// The outcome that was enforced.
    pub enforced: DecisionOutcome,
    /// The outcome of the shadow.
    pub shadow: DecisionOutcome,
    /// The reason of the shadow.
    pub reason: Reason,
    /// The provider of the token.
    pub provider: Option<ProviderName>,
    /// The client of the token.
    pub client: Option<ClientId>,
    /// The number of decisions.
    pub count: u64,
    /// The moment of the first one.
    pub first: Timestamp,
    /// The moment of the last one.
    pub last: Timestamp,
}

impl ShadowCount {
    /// Returns `true` if these requests would be treated in another way.
    pub fn changes(&self) -> bool {
        self.shadow != DecisionOutcome::Outage
            && self.enforced != DecisionOutcome::Outage
            && self.shadow != self.enforced
    }
}

impl Shadow {
    /// Counts a decision.
    pub fn count(&self, enforced: DecisionOutcome, decision: &ShadowDecision) {
        let key = (
            enforced,
            decision.outcome,
            decision.reason,
            decision.route.as_deref(),
            decision.provider.as_ref().map(ProviderName::as_str),
            decision.client.as_ref().map(ClientId::as_str),
        );
        let series = self.table.find_or_add(
            self.table.hash(key),
            |series| series.is_of(enforced, decision),
            || Series::new(enforced, decision),
        );
        match series {
            Some(series) => {
                series.count.increment();
                series.last.fetch_max(decision.at.millis(), Ordering::Relaxed);
            }
            None => self.others.increment(),
        }
    }

    /// Returns the counts, the largest first.
    pub fn counts(&self) -> Vec<ShadowCount> {
        let mut counts: Vec<ShadowCount> = self.table.entries().map(Series::to_count).collect();
        counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.route.cmp(&b.route)));
        counts
    }

    /// Returns the number of decisions for which there was no room.
    pub fn others(&self) -> u64 {
        self.others.count()
    }

    /// Writes the counts, without clients.
    pub(super) fn write(&self, page: &mut Exposition) {
        let mut sums: BTreeMap<Labels, u64> = BTreeMap::new();
        for count in self.counts() {
            let key = (count.route, count.enforced.as_str(), count.shadow.as_str(), count.reason.as_str());
            *sums.entry(key).or_default() += count.count;
        }
        let help = "Decisions of routes in `mode: shadow`, beside the decisions that were enforced.";
        let mut family = page.family("scopegate_shadow_decisions_total", Kind::Counter, help);
        for ((route, enforced, shadow, reason), count) in sums {
            let labels = [
                ("route", route.as_deref().unwrap_or_default()),
                ("enforced", enforced),
                ("shadow", shadow),
                ("reason", reason),
            ];
            family.sample(&labels, count);
        }
        if self.others() > 0 {
            let labels =
                [("route", "others"), ("enforced", "others"), ("shadow", "others"), ("reason", "others")];
            family.sample(&labels, self.others());
        }
    }
}

impl Default for Shadow {
    fn default() -> Self {
        Self { table: Table::with_room(ROOM), others: Counter::default() }
    }
}

impl Series {
    fn new(enforced: DecisionOutcome, decision: &ShadowDecision) -> Self {
        Self {
            key: (enforced, decision.clone()),
            count: Counter::default(),
            first: decision.at,
            last: AtomicI64::new(decision.at.millis()),
        }
    }

    /// Returns `true` if a decision is of this kind, whatever its moment.
    fn is_of(&self, enforced: DecisionOutcome, decision: &ShadowDecision) -> bool {
        let (known, kind) = &self.key;
        *known == enforced
            && kind.outcome == decision.outcome
            && kind.reason == decision.reason
            && kind.route == decision.route
            && kind.provider == decision.provider
            && kind.client == decision.client
    }

    fn to_count(&self) -> ShadowCount {
        let (enforced, kind) = &self.key;
        ShadowCount {
            route: kind.route.clone(),
            enforced: *enforced,
            shadow: kind.outcome,
            reason: kind.reason,
            provider: kind.provider.clone(),
            client: kind.client.clone(),
            count: self.count.count(),
            first: self.first,
            last: Timestamp::from_millis(self.last.load(Ordering::Relaxed)),
        }
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow").field("kinds", &self.table.entries().count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(client: &str, at: i64) -> ShadowDecision {
        ShadowDecision {
            at: Timestamp::from_millis(at),
            outcome: DecisionOutcome::Denied,
            reason: Reason::NoToken,
            route: Some("/new/**".into()),
            provider: ProviderName::parse("okta").ok(),
            client: ClientId::parse(client).ok(),
        }
    }

    #[test]
    fn counts_shadow_decisions_by_client_with_the_first_and_the_last_moment() {
        let shadow = Shadow::default();
        for (client, at) in [("a", 5), ("b", 6), ("a", 9), ("a", 7)] {
            shadow.count(DecisionOutcome::Permitted, &decision(client, at));
        }
        let counts = shadow.counts();
        let facts: Vec<_> =
            counts.iter().map(|count| (count.count, count.first.millis(), count.last.millis())).collect();
        assert_eq!(facts, [(3, 5, 9), (1, 6, 6)]);
        let mut page = Exposition::default();
        shadow.write(&mut page);
        let text = page.into_text();
        let line = r#"{route="/new/**",enforced="permitted",shadow="denied",reason="no_token"} 4"#;
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("client"), "{text}");
    }

    #[test]
    fn counts_decisions_without_room_as_others() {
        let shadow = Shadow { table: Table::with_room(1), others: Counter::default() };
        shadow.count(DecisionOutcome::Permitted, &decision("a", 1));
        shadow.count(DecisionOutcome::Permitted, &decision("b", 1));
        assert_eq!((shadow.counts().len(), shadow.others()), (1, 1));
    }
}
