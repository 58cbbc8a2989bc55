//! The store as what knows which tokens have been withdrawn.

use std::time::Duration;

use scopegate_provider::{AuthnError, Credentials, Outage, OutageCause, Principal, Rejection, Timestamp};

use super::RevocationCheck;
use crate::store::{Store, TokenHash};

/// The time to retry while the store does not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Store {
    /// Returns the error for a token that is revoked, or of which this node cannot tell whether it is.
    fn refuse_revoked(&self, is_revoked: bool) -> Result<(), AuthnError> {
        if is_revoked {
            return Err(Rejection::Revoked.into());
        }
        if self.revocations_are_stale() {
            return Err(Outage::new(OutageCause::RevocationsStale, RETRY_AFTER).into());
        }
        Ok(())
    }
}

impl RevocationCheck for Store {
    fn check(
        &self,
        principal: &Principal,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<(), AuthnError> {
        let index = self.revocation_index();
        self.refuse_revoked(index.is_revoked(principal, now, || TokenHash::of(&credentials.token)))
    }

    fn recheck(
        &self,
        principal: &Principal,
        credentials: &Credentials,
        now: Timestamp,
    ) -> Result<(), AuthnError> {
        let index = self.revocation_index();
        self.refuse_revoked(index.is_stream_revoked(principal, now, || TokenHash::of(&credentials.token)))
    }

    fn policy_is_fresh(&self) -> Result<(), Outage> {
        let stale = self.policy_is_stale();
        if stale { Err(Outage::new(OutageCause::PolicyStale, RETRY_AFTER)) } else { Ok(()) }
    }
}
