//! The behaviour that all implementations of the store share.

mod audit;
mod items;
mod nodes;
mod policy;
mod revocations;
mod signing_keys;

use std::{sync::Arc, time::Duration};

use scopegate_provider::{Clock, ProviderName, Scope, Sleep, Subject, SystemClock, Timestamp, TokenId};
use serde_json::json;

pub(super) use self::{audit::*, items::*, nodes::*, policy::*, revocations::*, signing_keys::*};
use super::*;

/// A clock that stands still at a moment that SQL must not take for another.
#[derive(Debug)]
pub(super) struct Still;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn uptime(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(duration))
    }
}

pub(super) fn still() -> Arc<dyn Clock> {
    Arc::new(Still)
}

pub(super) fn ticking() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

pub(super) fn okta() -> ProviderName {
    ProviderName::parse("okta").unwrap()
}

pub(super) fn actor() -> Actor {
    Actor::Caller { provider: okta(), subject: Some(Subject::parse("ädmin").unwrap()), client: None }
}

pub(super) fn token_id(id: &str) -> RevocationKey {
    RevocationKey::TokenId(TokenId::parse(id).unwrap())
}

pub(super) fn record(key: RevocationKey) -> NewRevocation {
    let expires_at = NOW + Duration::from_mins(1);
    NewRevocation {
        provider: okta(), key, issued_before: NOW, expires_at, reason: Some("löst\0".to_owned())
    }
}

async fn edit(store: &dyn Backend, edit: Edit) -> Result<Edited, StoreError> {
    let before = store.stored_policy().await.unwrap();
    let (edited, after) = store.edit_policy(&actor(), &before, edit).await?;
    assert_eq!(store.stored_policy().await.unwrap(), after);
    Ok(edited)
}

async fn route(store: &dyn Backend) -> Arc<StoredRoute> {
    let definition = json!({ "match": "GET /x", "allow": "anonymous" });
    match edit(store, Edit::CreateRoute { definition }).await.unwrap() {
        Edited::Route { route, created: true } => route,
        other => panic!("{other:?}"),
    }
}

/// Makes a test of each of these for an implementation; `$open` opens an empty store and what keeps it alive.
macro_rules! conformance {
    ($open:ident) => {
        conformance!($open:
            the_first_start_finds_three_items,
            items_come_in_pages,
            an_item_lives_from_creation_to_deletion,
            the_number_of_a_deleted_item_is_not_used_again,
            an_item_changed_meanwhile_is_neither_replaced_nor_deleted,
            an_item_that_is_not_there_is_neither_replaced_nor_deleted,
            a_scope_is_created_replaced_and_deleted,
            a_route_is_created_replaced_and_deleted,
            what_an_edit_expects_must_be_there,
            a_refused_edit_leaves_no_trace,
            an_edit_judged_against_an_older_policy_is_refused,
            each_change_has_the_next_number,
            each_change_has_a_stamp_of_its_own,
            a_scope_name_that_is_too_long_is_refused,
            a_policy_is_read_on_from_any_earlier_one,
            a_block_holds_until_it_is_lifted,
            refusals_of_a_block_are_added_up,
            a_signing_key_is_removed_by_its_number,
            a_revocation_is_recorded_and_taken_back,
            an_expired_revocation_is_not_found_and_purged,
            reading_on_from_a_change_misses_nothing,
            many_revocations_are_read_in_pages,
            many_revocations_share_one_audit_record,
            the_records_of_a_key_are_found,
            decisions_about_providers_add_up,
            a_signing_key_is_kept_once_and_forgotten,
            every_change_has_its_audit_record,
            the_audit_is_read_by_time_and_in_pages,
            denials_are_added_up,
            denials_of_very_long_routes_are_counted,
            a_node_replaces_its_own_report_and_old_ones_are_removed,
            the_first_session_secret_is_that_of_all_nodes,
        );
    };
    ($open:ident: $($name:ident),+ $(,)?) => {
        mod conformance {
            $(#[tokio::test]
            async fn $name() {
                let (store, _keep) = super::$open().await;
                $crate::store::conformance::$name(&store).await;
            })+
        }
    };
}
pub(super) use conformance;
