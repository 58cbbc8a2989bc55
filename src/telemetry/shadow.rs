//! The decisions of routes in `mode: shadow`, beside those that were enforced.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use scopegate_provider::{ClientId, ProviderName, Timestamp};

use super::DecisionOutcome;
use crate::reason::Reason;

/// The decision that the routes in `mode: shadow` would have made about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowDecision {
    /// The moment of the decision.
    pub at: Timestamp,
    /// The outcome. An outage if the token could not be verified.
    pub outcome: DecisionOutcome,
    /// The reason in the one vocabulary.
    pub reason: Reason,
    /// The label of the route that would have decided.
    pub route: Option<Arc<str>>,
    /// The provider of the token, if it was verified.
    pub provider: Option<ProviderName>,
    /// The client of the token, if it was verified.
    pub client: Option<ClientId>,
}

/// A place for the shadow decision about a request. A token that only the shadow needs is verified after the answer, so
/// that the decision may come later than the answer. It is counted and logged once both are known.
#[derive(Clone, Default)]
pub struct ShadowNote(Arc<Mutex<Parts>>);

#[derive(Default)]
struct Parts {
    decision: Option<Arc<ShadowDecision>>,
    report: Option<Report>,
}

/// Reports the decision together with the answer.
type Report = Box<dyn FnOnce(&ShadowDecision) + Send>;

impl ShadowNote {
    /// Sets the decision.
    pub fn decide(&self, decision: ShadowDecision) {
        let decision = Arc::new(decision);
        let mut parts = self.parts();
        parts.decision = Some(Arc::clone(&decision));
        let report = parts.report.take();
        drop(parts);
        if let Some(report) = report {
            report(&decision);
        }
    }

    /// Returns the decision, if it was made by now.
    pub fn decision(&self) -> Option<Arc<ShadowDecision>> {
        self.parts().decision.clone()
    }

    /// Calls `report` with the decision, at once or when it has been made.
    pub(super) fn report_with(&self, report: impl FnOnce(&ShadowDecision) + Send + 'static) {
        let mut parts = self.parts();
        match parts.decision.clone() {
            Some(decision) => {
                drop(parts);
                report(&decision);
            }
            None => parts.report = Some(Box::new(report)),
        }
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShadowDecision {
    /// Returns `true` if the request would be treated in another way than it was.
    pub fn differs_from(&self, enforced: DecisionOutcome) -> bool {
        self.outcome != DecisionOutcome::Outage
            && enforced != DecisionOutcome::Outage
            && self.outcome != enforced
    }
}

impl PartialEq for ShadowNote {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ShadowNote {}

impl fmt::Debug for ShadowNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShadowNote").field(&self.decision()).finish()
    }
}
