//! The menu of broken tokens: each is refused by the engine, and for the reason that the menu names.

use scopegate_dev::Fault;
use serde_json::json;

use crate::harness::issuer;

#[tokio::test]
async fn an_unknown_fault_is_refused_with_the_menu() {
    let issuer = issuer(json!({})).await;
    let answer = issuer.ask(&[("fault", "expird")]).await;
    assert_eq!(answer.error(), (400, "invalid_request"));
    let told = answer.body["error_description"].as_str().unwrap();
    assert!(Fault::ALL.iter().all(|fault| told.contains(fault.as_str())), "{told}");
}

#[tokio::test]
async fn no_broken_token_but_those_for_another_api_is_active() {
    let issuer = issuer(json!({})).await;
    // Introspection says whether the issuer stands by a token, not for whom it is.
    let stands_by =
        [Fault::WrongAudience, Fault::NoAudience, Fault::CriticalHeader, Fault::IdToken, Fault::KeyBound];
    for fault in Fault::ALL {
        let answer = issuer.ask(&[("fault", fault.as_str())]).await;
        let active = issuer.introspect(answer.token()).await["active"] == json!(true);
        assert_eq!(active, stands_by.contains(&fault), "{fault}");
    }
}
