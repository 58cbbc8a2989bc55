use scopegate_provider::{BearerToken, Verified};

use super::*;
use crate::testing;

const NOW: Timestamp = Timestamp::from_seconds(1_000);
const LATER: Timestamp = Timestamp::from_seconds(2_000);

fn provider(name: &str) -> ProviderName {
    ProviderName::parse(name).unwrap()
}

fn principal(issued_at: Option<Timestamp>) -> Principal {
    Principal::assert_verified(Verified {
        subject: Some(Subject::parse("alice").unwrap()),
        client: Some(ClientId::parse("web").unwrap()),
        token_id: Some(TokenId::parse("t1").unwrap()),
        session: Some(SessionId::parse("s1").unwrap()),
        issued_at,
        ..testing::verified("okta").unwrap()
    })
}

fn hash() -> TokenHash {
    TokenHash::of(&BearerToken::parse("a.b.c").unwrap())
}

fn record(key: RevocationKey) -> NewRevocation {
    NewRevocation { provider: provider("okta"), key, issued_before: NOW, expires_at: LATER, reason: None }
}

fn alice() -> RevocationKey {
    RevocationKey::Subject(Subject::parse("alice").unwrap())
}

fn index(records: &[NewRevocation]) -> RevocationIndex {
    let index = RevocationIndex::new();
    index.extend(records);
    index
}

fn revoked(index: &RevocationIndex, issued_at: Option<i64>) -> bool {
    index.is_revoked(&principal(issued_at.map(Timestamp::from_seconds)), NOW, hash)
}

#[test]
fn without_records_nothing_is_hashed() {
    let index = RevocationIndex::new();
    assert!(!index.is_revoked(&principal(None), NOW, || panic!("hashed")));
}

/// T10.2: the id of a client and the subject of a person may be the same text. Each is revoked alone.
#[test]
fn a_client_and_a_person_of_the_same_name_are_revoked_apart() {
    let client = RevocationKey::Client(ClientId::parse("alice").unwrap());
    let subject = RevocationKey::Subject(Subject::parse("web").unwrap());
    // The principal is the person `alice`, who uses the client `web`.
    assert!(!revoked(&index(&[record(client), record(subject)]), Some(999)));
    assert!(revoked(&index(&[record(alice())]), Some(999)));
}

#[test]
fn each_kind_of_key_finds_its_token() {
    let keys = [
        RevocationKey::TokenId(TokenId::parse("t1").unwrap()),
        RevocationKey::Session(SessionId::parse("s1").unwrap()),
        alice(),
        RevocationKey::Client(ClientId::parse("web").unwrap()),
        RevocationKey::TokenHash(hash()),
    ];
    for key in keys {
        assert!(revoked(&index(&[record(key.clone())]), Some(999)), "{key:?}");
    }
}

#[test]
fn a_value_of_another_kind_is_another_key() {
    let web = Subject::parse("web").unwrap();
    assert!(!revoked(&index(&[record(RevocationKey::Subject(web))]), Some(999)));
}

#[test]
fn a_subject_of_another_provider_is_another_subject() {
    let other = NewRevocation { provider: provider("auth0"), ..record(alice()) };
    assert!(!revoked(&index(&[other]), Some(999)));
}

#[test]
fn a_token_issued_at_or_after_the_moment_passes() {
    let index = index(&[record(alice())]);
    assert!(revoked(&index, Some(999)));
    assert!(!revoked(&index, Some(1_000)));
}

#[test]
fn a_token_without_a_time_of_issue_counts_as_older() {
    assert!(revoked(&index(&[record(alice())]), None));
}

#[test]
fn one_token_is_revoked_whenever_it_was_issued() {
    let id = RevocationKey::TokenId(TokenId::parse("t1").unwrap());
    assert!(revoked(&index(&[record(id)]), Some(1_500)));
    assert!(revoked(&index(&[record(RevocationKey::TokenHash(hash()))]), Some(1_500)));
}

#[test]
fn a_second_record_of_a_key_does_not_weaken_the_first() {
    let earlier = NewRevocation { issued_before: Timestamp::from_seconds(1), ..record(alice()) };
    assert!(revoked(&index(&[record(alice()), earlier]), Some(999)));
}

#[test]
fn an_expired_record_matches_nothing_and_is_swept() {
    let index = index(&[record(alice())]);
    assert!(!index.is_revoked(&principal(None), LATER, hash));
    index.sweep(NOW);
    assert_eq!(index.len(), 1);
    index.sweep(LATER);
    assert!(index.is_empty());
    assert_eq!(index.kinds.load(Ordering::Relaxed), 0);
}

#[test]
fn a_record_taken_back_leaves_the_others_of_its_key() {
    let earlier = NewRevocation { issued_before: Timestamp::from_seconds(500), ..record(alice()) };
    let index = index(&[record(alice()), earlier.clone()]);
    index.replace(&provider("okta"), &alice(), [&earlier]);
    assert!(revoked(&index, Some(499)));
    assert!(!revoked(&index, Some(500)));
    index.replace(&provider("okta"), &alice(), []);
    assert!(!revoked(&index, None));
}
