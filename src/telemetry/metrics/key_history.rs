//! The history of the providers' keys on this node: fetches, and the time for which each key was published.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use scopegate_provider::{HealthReport, IssuerHealth, ProviderName, Timestamp};

/// The time for which fetches and withdrawn keys are remembered.
const DAY: Duration = Duration::from_hours(24);

/// The number of fetches that are remembered of an issuer.
const FETCHES: usize = 200;

/// The number of keys that are remembered of an issuer.
const KEYS: usize = 100;

/// The history of all issuers.
#[derive(Debug, Default)]
pub struct KeyHistory(Mutex<HashMap<(ProviderName, Box<str>), IssuerHistory>>);

/// The history of one issuer.
#[derive(Debug, Clone, Default)]
pub struct IssuerHistory {
    /// The fetches of the last day, oldest first.
    pub fetches: VecDeque<Fetch>,
    /// The keys by id.
    pub keys: BTreeMap<Box<str>, KeySeen>,
    refreshes: u64,
    failed_refreshes: u64,
}

/// A fetch of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The moment of the fetch.
    pub at: Timestamp,
    /// The error, if it failed.
    pub error: Option<Box<str>>,
}

/// The time for which a key was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySeen {
    /// The moment of the fetch that found it first on this node.
    pub first_seen: Timestamp,
    /// The moment from which it was not published any more.
    pub gone_at: Option<Timestamp>,
}

impl KeyHistory {
    /// Notes the state of a provider.
    pub fn note(&self, provider: &ProviderName, report: &HealthReport, now: Timestamp) {
        let mut issuers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for health in &report.issuers {
            let key = (provider.clone(), health.issuer.as_str().into());
            issuers.entry(key).or_default().note(health, now);
        }
    }

    /// Returns the history of an issuer.
    pub fn of(&self, provider: &ProviderName, issuer: &str) -> IssuerHistory {
        let issuers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        issuers.get(&(provider.clone(), issuer.into())).cloned().unwrap_or_default()
    }
}

impl IssuerHistory {
    fn note(&mut self, health: &IssuerHealth, now: Timestamp) {
        if health.failed_refreshes > self.failed_refreshes {
            let error = health.last_error.as_deref().unwrap_or("the fetch failed");
            self.fetches.push_back(Fetch { at: now, error: Some(error.into()) });
        }
        if health.refreshes > self.refreshes {
            self.fetches.push_back(Fetch { at: health.last_refresh.unwrap_or(now), error: None });
            self.note_keys(health, health.last_refresh.unwrap_or(now));
        }
        // The counts begin anew with a provider that was connected again.
        (self.refreshes, self.failed_refreshes) = (health.refreshes, health.failed_refreshes);
        while self.fetches.len() > FETCHES || self.fetches.front().is_some_and(|fetch| fetch.at + DAY < now) {
            self.fetches.pop_front();
        }
        self.keys.retain(|_, seen| seen.gone_at.is_none_or(|gone| gone + DAY >= now));
    }

    fn note_keys(&mut self, health: &IssuerHealth, fetched: Timestamp) {
        let published = health.keys.iter().filter_map(|key| key.id.as_deref());
        for id in published.clone() {
            if self.keys.len() < KEYS || self.keys.contains_key(id) {
                let seen =
                    self.keys.entry(id.into()).or_insert(KeySeen { first_seen: fetched, gone_at: None });
                seen.gone_at = None;
            }
        }
        for (id, seen) in &mut self.keys {
            if seen.gone_at.is_none() && !published.clone().any(|published| *published == **id) {
                seen.gone_at = Some(fetched);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use scopegate_provider::{Issuer, KeyHealth};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn report(keys: &[&str], refreshes: u64, failed: u64, fetched: i64) -> HealthReport {
        let key =
            |id: &&str| KeyHealth { id: Some((*id).to_owned()), algorithms: Vec::new(), distrusted: false };
        let issuer = IssuerHealth {
            issuer: Issuer::parse("https://issuer.example").unwrap(),
            keys: keys.iter().map(key).collect(),
            last_refresh: Some(at(fetched)),
            next_refresh: None,
            stale_at: None,
            refreshes,
            failed_refreshes: failed,
            last_error: (failed > 0).then(|| "refused".to_owned()),
        };
        HealthReport {
            ready: true,
            disabled: false,
            issuers: vec![issuer],
            introspection_latency_ms: None,
            introspections: None,
        }
    }

    #[test]
    fn a_key_that_is_not_published_any_more_is_remembered_for_a_day() {
        let provider = ProviderName::parse("okta").unwrap();
        let history = KeyHistory::default();
        history.note(&provider, &report(&["a", "b"], 1, 0, 100), at(101));
        history.note(&provider, &report(&["b"], 2, 0, 200), at(201));
        let issuer = history.of(&provider, "https://issuer.example");
        assert_eq!(issuer.keys["a"], KeySeen { first_seen: at(100), gone_at: Some(at(200)) });
        assert_eq!(issuer.keys["b"], KeySeen { first_seen: at(100), gone_at: None });
        history.note(&provider, &report(&["b"], 2, 0, 200), at(200 + 25 * 3600));
        let issuer = history.of(&provider, "https://issuer.example");
        assert_eq!((issuer.keys.len(), issuer.fetches.len()), (1, 0));
    }

    #[test]
    fn a_failed_fetch_is_remembered_with_its_error() {
        let provider = ProviderName::parse("okta").unwrap();
        let history = KeyHistory::default();
        history.note(&provider, &report(&["a"], 1, 0, 100), at(101));
        history.note(&provider, &report(&["a"], 1, 1, 100), at(150));
        history.note(&provider, &report(&["a"], 1, 1, 100), at(151));
        let fetches = history.of(&provider, "https://issuer.example").fetches;
        let expected =
            [Fetch { at: at(100), error: None }, Fetch { at: at(150), error: Some("refused".into()) }];
        assert_eq!(fetches, expected);
    }
}
