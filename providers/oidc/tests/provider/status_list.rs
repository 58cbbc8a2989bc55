//! Tokens whose status is in a list (Token Status List, draft 20).

use std::time::Duration;

use scopegate_oidc::Settings;
use scopegate_provider::{AuthnError, Clock, OutageCause, Principal, Rejection};
use scopegate_testkit::{Fault, MintKey, Reply};
use serde_json::{Value, json};

use super::harness::{Harness, connect, outage, rejection};

/// Bits 1,0,0,1,1,1,0,1,1,1,0,0,0,1,0,1 of the draft's example.
const LIST: &str = "eNrbuRgAAhcBXQ";

const LIST_PATH: &str = "/lists/1";

struct Lists {
    harness: Harness,
}

impl Lists {
    async fn start(more: &Value) -> Self {
        let mut harness = Harness::new(&json!({})).await;
        let mut settings = json!({ "prefixes": [harness.issuer.at("/lists")] });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        harness.provider = connect(&harness.issuer, &harness.clock, &json!({ "status_list": settings }));
        scopegate_provider::Health::ready(&*harness.provider).await;
        let this = Self { harness };
        this.publish(&this.list(&json!({})));
        this
    }

    /// The claims of a good list, with changes.
    fn list(&self, changes: &Value) -> Value {
        let now = self.harness.clock.now().seconds();
        let mut list = json!({
            "sub": self.uri(), "iat": now, "exp": now + 3600, "ttl": 60, "status_list": { "bits": 1, "lst": LIST },
        });
        list.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        list
    }

    fn uri(&self) -> String {
        self.harness.issuer.at(LIST_PATH)
    }

    fn publish(&self, claims: &Value) {
        self.publish_signed(&self.harness.key, "statuslist+jwt", claims);
    }

    fn publish_signed(&self, key: &MintKey, typ: &str, claims: &Value) {
        let mut header = key.header();
        header["typ"] = json!(typ);
        let list = key.token_with(&header, claims).into_bytes();
        self.harness.issuer.on(LIST_PATH, move |_| Reply {
            status: 200,
            headers: Vec::new(),
            body: list.clone(),
        });
    }

    async fn at(&self, index: u64) -> Result<Principal, AuthnError> {
        self.with(&json!({ "status_list": { "idx": index, "uri": self.uri() } })).await
    }

    async fn with(&self, status: &Value) -> Result<Principal, AuthnError> {
        let claims = self.harness.claims_with(&json!({ "status": status }));
        self.harness.authenticate(&self.harness.key.token(&claims)).await
    }

    fn fetches(&self) -> usize {
        self.harness.issuer.count(LIST_PATH)
    }
}

#[tokio::test]
async fn a_token_is_refused_by_its_entry_and_the_list_is_fetched_once() {
    let lists = Lists::start(&json!({})).await;
    assert_eq!(rejection(lists.at(0).await), Rejection::Revoked);
    let good = lists.at(1).await.unwrap();
    assert_eq!(
        good.cache_until(),
        lists.harness.clock.now() + Duration::from_mins(1),
        "no longer than the list"
    );
    assert!(lists.harness.authenticate(&lists.harness.token()).await.is_ok(), "a token without a status");
    assert!(matches!(rejection(lists.at(16).await), Rejection::WrongType { .. }), "beyond the end");
    assert_eq!(lists.fetches(), 1);
    lists.publish(&lists.list(&json!({ "status_list": { "bits": 2, "lst": "eNo76fITAAPfAgc" } })));
    lists.harness.clock.advance(Duration::from_secs(61));
    assert_eq!(rejection(lists.at(1).await), Rejection::Revoked, "suspended");
    assert_eq!(lists.fetches(), 2);
}

/// T9.1: a token does not decide to which host this server connects, and a redirect does not either.
#[tokio::test]
async fn a_list_elsewhere_is_neither_fetched_nor_followed() {
    let lists = Lists::start(&json!({})).await;
    for uri in
        ["http://169.254.169.254/lists/1", "https://evil.example/lists/1", &lists.harness.issuer.at("/keys")]
    {
        let refused = lists.with(&json!({ "status_list": { "idx": 1, "uri": uri } })).await;
        assert!(matches!(rejection(refused), Rejection::WrongType { .. }), "{uri}");
    }
    let target = lists.harness.issuer.at("/lists/other");
    lists.harness.issuer.on(LIST_PATH, move |_| Reply {
        status: 302,
        headers: vec![("location".to_owned(), target.clone())],
        body: Vec::new(),
    });
    assert_eq!(outage(lists.at(1).await), OutageCause::StatusList);
    assert_eq!(lists.harness.issuer.count("/lists/other"), 0);
    let insecure = json!({ "issuer": "https://a", "audience": "a", "status_list": { "prefixes": ["http://a.example"] } });
    let error = serde_json::from_value::<Settings>(insecure).unwrap_err().to_string();
    assert!(error.contains("status_list.prefixes"), "{error}");
}

/// T9.3: an unknown mechanism alone is refused only if a status is required.
#[tokio::test]
async fn tokens_without_a_list_are_refused_where_one_is_required() {
    let lists = Lists::start(&json!({ "required": true })).await;
    assert!(matches!(rejection(lists.with(&json!({ "other": {} })).await), Rejection::MissingClaim { .. }));
    let without = lists.harness.authenticate(&lists.harness.token()).await;
    assert!(matches!(rejection(without), Rejection::MissingClaim { .. }));
    assert!(lists.at(1).await.is_ok());
}

/// T9.3: an unknown mechanism that is ignored is counted.
#[tokio::test]
async fn unknown_mechanisms_are_counted() {
    let lists = Lists::start(&json!({})).await;
    assert!(lists.with(&json!({ "other": {} })).await.is_ok());
    assert!(lists.harness.authenticate(&lists.harness.token()).await.is_ok(), "a token without a status");
    assert!(lists.at(1).await.is_ok());
    let counted = scopegate_provider::Health::status_lists(&*lists.harness.provider).unwrap();
    assert_eq!((counted.unknown_mechanisms, counted.fetched, counted.failed), (1, 1, 0));
}

/// A list whose server does not answer keeps no token of another list waiting, and is fetched once for all of its tokens.
#[tokio::test]
async fn a_list_that_does_not_answer_keeps_no_other_waiting() {
    let lists = Lists::start(&json!({})).await;
    lists.harness.issuer.fail("/lists/slow", Fault::Hang);
    let slow = json!({ "status_list": { "idx": 1, "uri": lists.harness.issuer.at("/lists/slow") } });
    let hanging = async { tokio::join!(lists.with(&slow), lists.with(&slow)) };
    tokio::select! {
        biased;
        _ = hanging => panic!("the list has answered"),
        good = async {
            // The slow list is asked for first.
            while lists.harness.issuer.count("/lists/slow") == 0 {
                tokio::task::yield_now().await;
            }
            lists.at(1).await
        } => assert!(good.is_ok()),
    }
    assert_eq!(lists.harness.issuer.count("/lists/slow"), 1);
}

/// T9.4: while a list cannot be had, the one before is used until it expires; then, and without any, it is an outage.
#[tokio::test]
async fn a_list_that_cannot_be_had_is_an_outage_once_the_one_before_has_expired() {
    let lists = Lists::start(&json!({})).await;
    lists.publish(&lists.list(&json!({ "exp": lists.harness.clock.now().seconds() + 200 })));
    assert!(lists.at(1).await.is_ok());
    lists.harness.issuer.fail(LIST_PATH, Fault::Status(503));
    lists.harness.clock.advance(Duration::from_secs(100));
    assert!(lists.at(1).await.is_ok(), "stale");
    assert_eq!(rejection(lists.at(0).await), Rejection::Revoked);
    lists.harness.clock.advance(Duration::from_secs(101));
    assert_eq!(outage(lists.at(1).await), OutageCause::StatusList);
    let asked = lists.fetches();
    assert_eq!(outage(lists.at(1).await), OutageCause::StatusList);
    assert_eq!(lists.fetches(), asked, "asked again within the cool-down");
}

/// T9.2, T9.5: a list of another `sub`, type or key, one that has expired and one that is none are not used.
#[tokio::test]
async fn a_list_that_does_not_hold_says_nothing() {
    let bad: [fn(&Lists); 6] = [
        |lists| lists.publish(&lists.list(&json!({ "sub": lists.harness.issuer.at("/lists/2") }))),
        |lists| lists.publish(&lists.list(&json!({ "iss": "https://other.example" }))),
        |lists| lists.publish(&lists.list(&json!({ "exp": 1_780_000_000 }))),
        |lists| lists.publish(&lists.list(&json!({ "status_list": { "bits": 3, "lst": LIST } }))),
        |lists| lists.publish_signed(&lists.harness.key, "JWT", &lists.list(&json!({}))),
        |lists| lists.publish_signed(&MintKey::es256("first"), "statuslist+jwt", &lists.list(&json!({}))),
    ];
    for (number, publish) in bad.iter().enumerate() {
        let lists = Lists::start(&json!({})).await;
        publish(&lists);
        assert_eq!(outage(lists.at(1).await), OutageCause::StatusList, "{number}");
    }
}

/// T9.6: a status list is no access token.
#[tokio::test]
async fn a_status_list_is_no_access_token() {
    let lists = Lists::start(&json!({})).await;
    for typ in ["statuslist+jwt", "JWT"] {
        let mut claims = lists.harness.claims();
        claims["status_list"] = json!({ "bits": 1, "lst": LIST });
        let mut header = lists.harness.key.header();
        header["typ"] = json!(typ);
        let refused = lists.harness.authenticate(&lists.harness.key.token_with(&header, &claims)).await;
        assert!(matches!(rejection(refused), Rejection::TypeNotAllowed { .. }), "{typ}");
    }
}
