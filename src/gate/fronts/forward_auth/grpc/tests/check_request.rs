//! What of a check is believed.

use prost::Message;

use super::*;

#[tokio::test]
async fn invariant_7_over_grpc_each_missing_part_is_a_denial() {
    let whole = || http("GET", "/public/x");
    let parts = [
        HttpRequest { method: String::new(), ..whole() },
        HttpRequest { method: "GET /".to_owned(), ..whole() },
        HttpRequest { path: String::new(), ..whole() },
        HttpRequest { host: String::new(), ..whole() },
        HttpRequest { scheme: "ftp".to_owned(), ..whole() },
    ];
    for part in parts {
        assert_eq!(refused(part.clone()).await, (403, "incomplete_metadata".to_owned()), "{part:?}");
    }
    let nothing = [CheckRequest::default(), CheckRequest { attributes: Some(AttributeContext::default()) }];
    for check in nothing {
        let answer = authorization().check(&sender(PROXY), Ok(check)).await;
        assert_eq!(told(&denial(answer)), (403, "incomplete_metadata".to_owned()));
    }
}

/// F5: gRPC's own client of the protocol sends no scheme.
#[tokio::test]
async fn a_check_without_a_scheme_is_decided() {
    let unknown = |http| HttpRequest { scheme: String::new(), ..http };
    permit(answer(unknown(http("GET", "/public/x"))).await);
    permit(answer(with(&[(":scheme", "https")], unknown(http("GET", "/public/x")))).await);
    assert_eq!(refused(unknown(http("GET", "/items/1"))).await, (401, "no_token".to_owned()));
}

#[tokio::test]
async fn invariant_7_over_grpc_what_is_said_twice_must_be_the_same_both_times() {
    let whole = || http("GET", "/public/x");
    let twice = [
        with(&[(":path", "/items/1")], whole()),
        with(&[(":method", "POST")], whole()),
        with(&[(":authority", "other.example")], whole()),
        with(&[(":scheme", "http")], whole()),
        with(&[("host", "other.example")], whole()),
        apart(&[(":path", b"/items/1")], whole()),
        apart(&[("accept", b"*/*")], with(&[("accept", "*/*")], whole())),
        HttpRequest { query: "a=b".to_owned(), ..whole() },
        HttpRequest { fragment: "a".to_owned(), ..whole() },
    ];
    for said in twice {
        assert_eq!(refused(said.clone()).await, (403, "incomplete_metadata".to_owned()), "{said:?}");
    }
    let same =
        [(":path", "/public/x"), (":method", "GET"), (":authority", "api.example"), (":scheme", "https")];
    permit(answer(with(&same, whole())).await);
}

#[tokio::test]
async fn invariant_7_over_grpc_a_peer_that_is_not_trusted_is_denied_unless_its_certificate_is_verified() {
    let check = || Ok(about(http("GET", "/public/x")));
    let stranger = sender("192.0.2.1:4711");
    let refused = authorization().check(&stranger, check()).await;
    assert_eq!(told(&denial(refused)), (403, "untrusted_proxy".to_owned()));
    let certified = Sender { certified: Some(ClientCertVerified), ..stranger };
    permit(authorization().check(&certified, check()).await);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_a_denial() {
    let unread = CheckRequest::decode(&b"\x0a\xff"[..]);
    let answer = authorization().check(&sender(PROXY), unread).await;
    assert_eq!(told(&denial(answer)), (403, "incomplete_metadata".to_owned()));
}

#[tokio::test]
async fn several_tokens_are_refused_in_whichever_way_envoy_tells_of_them() {
    let bearers = with(&[("authorization", "Bearer a.b.c,Bearer d.e.f")], http("GET", "/items/1"));
    assert_eq!(refused(bearers).await, (400, "malformed_authorization".to_owned()));
    let behind_another = with(&[("authorization", "Basic YTpi,Bearer a.b.c")], http("GET", "/items/1"));
    assert_eq!(refused(behind_another).await, (400, "several_tokens".to_owned()));
    let both: [(&str, &[u8]); 2] = [("authorization", b"Basic YTpi"), ("authorization", b"Bearer a.b.c")];
    assert_eq!(refused(apart(&both, http("GET", "/items/1"))).await, (400, "several_tokens".to_owned()));
    let another = with(&[("authorization", "Basic YTpi")], http("GET", "/items/1"));
    assert_eq!(refused(another).await, (401, "no_token".to_owned()));
}
