//! The records that revoke tokens.

use std::time::Duration;

use scopegate_provider::{BearerToken, Principal, Provider, Timestamp};

use crate::store::{NewRevocation, RevocationKey, TokenHash};

/// The time for which a record outlives the tokens that it matches: for the leeway that providers grant, and
/// for clocks that differ.
const MARGIN: Duration = Duration::from_hours(1);

/// Returns the record that revokes one token: by its id, or by its hash where it has none.
pub(super) fn of_token(
    principal: &Principal,
    token: &BearerToken,
    now: Timestamp,
    reason: Option<String>,
) -> NewRevocation {
    let by_id = principal.token_id().cloned().map(RevocationKey::TokenId);
    NewRevocation {
        provider: principal.provider().clone(),
        key: by_id.unwrap_or_else(|| RevocationKey::TokenHash(TokenHash::of(token))),
        issued_before: now,
        expires_at: principal.expires_at() + MARGIN,
        reason,
    }
}

/// Returns the moment from which no token issued before `issued_before` can be valid. A token that is known by its id only may yet be
/// issued until now.
pub(crate) fn end(provider: &dyn Provider, issued_before: Timestamp, now: Timestamp) -> Timestamp {
    issued_before.max(now) + provider.max_token_lifetime() + MARGIN
}
