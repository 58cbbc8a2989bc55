//! What is recorded so that a token does not pass any more.

use std::time::Duration;

use scopegate_provider::{BearerToken, Principal, Provider, Timestamp};

use crate::store::{NewRevocation, RevocationKey, TokenHash};

/// How much longer a record is kept than the tokens that it matches are valid: for the leeway that providers grant, and
/// for clocks that differ.
const MARGIN: Duration = Duration::from_hours(1);

/// The record that withdraws one token: by its id, or by its hash where it has none.
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

/// From when on no token issued before `issued_before` can be valid. A token that is known by its id only may yet be
/// issued until now.
pub(crate) fn end(provider: &dyn Provider, issued_before: Timestamp, now: Timestamp) -> Timestamp {
    issued_before.max(now) + provider.max_token_lifetime() + MARGIN
}
