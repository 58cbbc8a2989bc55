use super::*;

fn networks(texts: &[&str]) -> TrustedProxies {
    texts.iter().map(|text| text.parse::<Network>().unwrap()).collect()
}

fn peer(address: &str) -> Addr {
    Addr::SocketAddr(SocketAddr::new(address.parse().unwrap(), 4711))
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter();
    fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[test]
fn invariant_7_a_network_that_is_everybody_is_refused() {
    for text in ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96", "0.0.0.0/1", "8000::/1"] {
        assert_eq!(text.parse::<Network>(), Err(NetworkError::Everybody { found: text.into() }));
    }
}

#[test]
fn invariant_7_loopback_is_not_trusted_by_itself() {
    assert!(!TrustedProxies::default().trusts(&peer("127.0.0.1")));
}

#[test]
fn an_address_inside_a_network_is_in_it_and_one_beside_is_not() {
    let trusted = networks(&["10.42.0.0/16", "2001:db8::/32", "127.0.0.1"]);
    for inside in ["10.42.255.1", "::ffff:10.42.0.1", "2001:db8:1::", "127.0.0.1"] {
        assert!(trusted.contains(inside.parse().unwrap()), "{inside}");
    }
    for beside in ["10.43.0.0", "2001:db9::", "127.0.0.2", "::1"] {
        assert!(!trusted.contains(beside.parse().unwrap()), "{beside}");
    }
}

#[test]
fn bits_behind_the_prefix_are_refused_with_what_to_write() {
    let refused = "10.42.1.0/16".parse::<Network>();
    assert_eq!(refused, Err(NetworkError::HostBits { network: "10.42.0.0/16".into() }));
}

#[test]
fn a_name_or_an_impossible_prefix_is_refused() {
    for text in ["proxy.local", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "*"] {
        assert!(matches!(text.parse::<Network>(), Err(NetworkError::Notation { .. })), "{text}");
    }
}

#[test]
fn invariant_7_what_a_stranger_forwards_is_not_believed() {
    let sent = headers(&[
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "admin.example"),
    ]);
    let origin = networks(&["10.42.0.0/16"]).origin(&peer("203.0.113.9"), Scheme::Http, &sent);
    let client = Some("203.0.113.9".parse().unwrap());
    assert_eq!(origin, Ok(Origin { client, scheme: Scheme::Http, host: None }));
}

#[test]
fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
    let trusted = networks(&["10.42.0.0/16"]);
    let sent = headers(&[("x-forwarded-for", "1.1.1.1, 203.0.113.9:5000"), ("x-forwarded-for", "10.42.0.7")]);
    let origin = trusted.origin(&peer("10.42.0.1"), Scheme::Http, &sent).unwrap();
    assert_eq!(origin.client, Some("203.0.113.9".parse().unwrap()));
}

#[test]
fn nothing_before_an_unreadable_address_is_believed() {
    let trusted = networks(&["10.42.0.0/16"]);
    let sent = headers(&[("x-forwarded-for", "1.1.1.1, unknown, 10.42.0.7")]);
    assert_eq!(trusted.origin(&peer("10.42.0.1"), Scheme::Http, &sent).unwrap().client, None);
}

#[test]
fn a_trusted_proxy_that_contradicts_itself_is_refused() {
    let trusted = networks(&["10.42.0.0/16"]);
    let origin = |fields| trusted.origin(&peer("10.42.0.1"), Scheme::Http, &headers(fields)).map(|_| ());
    let several = |header| Err(ForwardedError::Several { header });
    assert_eq!(origin(&[("x-forwarded-host", "a"), ("x-forwarded-host", "a")]), several("X-Forwarded-Host"));
    assert_eq!(origin(&[("x-forwarded-proto", "https, http")]), several("X-Forwarded-Proto"));
    assert_eq!(origin(&[("x-forwarded-proto", "gopher")]), Err(ForwardedError::Scheme));
}

#[tokio::test]
async fn the_peers_of_a_unix_socket_are_trusted() {
    let (_keeps_it_open, end) = tokio::net::UnixStream::pair().unwrap();
    let sent = headers(&[("x-forwarded-proto", "https"), ("x-forwarded-for", "203.0.113.9")]);
    let origin =
        TrustedProxies::default().origin(&end.peer_addr().unwrap().into(), Scheme::Http, &sent).unwrap();
    assert_eq!((origin.client, origin.scheme), (Some("203.0.113.9".parse().unwrap()), Scheme::Https));
}
