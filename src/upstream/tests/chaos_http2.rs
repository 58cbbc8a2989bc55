//! HTTP/2 upstreams and callers that are slow, reset, lie and go away, many at once.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, time::Duration};

use h2::{
    Reason, RecvStream,
    server::{SendResponse, handshake},
};
use http::StatusCode;
use scopegate_provider::Span;
use tokio::{net::TcpStream, sync::Notify, time::timeout};

use super::{
    super::*,
    chaos::{Manner, PATIENCE, ask, is_own},
    support::*,
};

/// The things that an upstream may do to a request for `/WAY/ID`. After the first three its caller must have the whole
/// answer.
const WAYS: [&str; 10] = [
    "good",
    "slow",
    "goes-away",
    "stalls",
    "late",
    "resets",
    "resets-within",
    "says-less",
    "says-more",
    "early",
];
const WHOLE: usize = 3;

/// Serves a connection.
async fn misbehave(stream: TcpStream, requests: Counter) {
    let Ok(mut connection) = handshake(stream).await else { return };
    let leaving = Arc::new(Notify::new());
    loop {
        tokio::select! {
            () = leaving.notified() => connection.graceful_shutdown(),
            next = connection.accept() => {
                let Some(Ok((request, respond))) = next else { return };
                requests.add(1);
                tokio::spawn(answer(request, respond, Arc::clone(&leaving)));
            }
        }
    }
}

/// Answers a request in the way that it names. Its caller may have gone away.
async fn answer(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    leaving: Arc<Notify>,
) -> Result<(), h2::Error> {
    let mut parts = request.uri().path().split('/').skip(1);
    let (way, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().to_owned());
    let reset = match way {
        "resets" => Some(Reason::INTERNAL_ERROR),
        "refuses" => Some(Reason::REFUSED_STREAM),
        _ => None,
    };
    if let Some(reason) = reset {
        respond.send_reset(reason);
        return Ok(());
    }
    if way == "late" {
        tokio::time::sleep(PATIENCE + SOON).await;
    }
    let length = match way {
        "says-less" => id.len() - 1,
        "says-more" => id.len() + 9,
        _ => id.len(),
    };
    let head = Response::builder().header("content-length", length).body(()).unwrap();
    let mut body = respond.send_response(head, false)?;
    let bytes = Bytes::from(id);
    match way {
        "slow" => {
            for byte in &bytes {
                tokio::time::sleep(Duration::from_millis(1)).await;
                body.send_data(Bytes::copy_from_slice(&[*byte]), false)?;
            }
            body.send_data(Bytes::new(), true)?;
        }
        "stalls" => {
            body.send_data(bytes.slice(..bytes.len() / 2), false)?;
            poll_fn(|cx| body.poll_reset(cx)).await?;
        }
        "resets-within" => {
            body.send_data(bytes.slice(..bytes.len() / 2), false)?;
            tokio::time::sleep(SOON / 8).await;
            body.send_reset(Reason::INTERNAL_ERROR);
        }
        _ => body.send_data(bytes, true)?,
    }
    if way == "goes-away" {
        leaving.notify_one();
    }
    Ok(())
}

async fn front(connections: &Counter, requests: &Counter) -> Front {
    let requests = requests.clone();
    let upstream = scripted(connections, move |stream| misbehave(stream, requests.clone())).await;
    let response_timeout = Span::new(PATIENCE);
    proxy_to(UpstreamSettings { response_timeout, protocol: Protocol::Http2, ..at(upstream) }).await
}

/// Asks over HTTP/2, and returns what came; none if the request was left hanging.
async fn ask_http2(
    client: &reqwest::Client,
    front: SocketAddr,
    way: &str,
    id: &str,
    manner: Manner,
) -> Option<String> {
    let url = format!("http://{front}/{way}/{id}");
    let request = if way == "early" { client.post(url).body(vec![b'x'; 40_000]) } else { client.get(url) };
    if manner == Manner::Resets {
        // The stream is reset where the exchange has not ended.
        let _ = timeout(SOON / 8, request.send()).await;
        return Some(String::new());
    }
    let answer = timeout(PATIENCE * 2, request.send()).await.ok()?;
    let Ok(mut answer) = answer else { return Some(String::new()) };
    let mut text = format!("HTTP/2 {} ", answer.status().as_u16()).into_bytes();
    // A caller gives up on an answer that has begun and does not end.
    while let Ok(Ok(Some(chunk))) = timeout(PATIENCE * 2, answer.chunk()).await {
        text.extend_from_slice(&chunk);
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// A25: what is shown of HTTP/1.1 holds for HTTP/2 on both sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_upstreams_and_callers_that_misbehave_hang_nobody_and_get_nobody_elses_answer() {
    let connections = Counter::default();
    let front = front(&connections, &Counter::default()).await.0;
    let callers = (0..20_usize).map(|caller| {
        tokio::spawn(async move {
            let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
            for turn in 0..10_usize {
                let number = caller * 10 + turn;
                let index = (number * 7 + caller) % WAYS.len();
                let manner = [Manner::Well, Manner::Well, Manner::Resets, Manner::Well][number % 4];
                let (way, id) = (WAYS[index], format!("id-{number:06}-of-{caller:03}."));
                let answer = match caller % 2 {
                    0 => ask_http2(&client, front, way, &id, manner).await,
                    _ => ask(front, way, &id, manner).await,
                };
                let answer = answer.unwrap_or_else(|| panic!("{way}: {manner:?} was left hanging"));
                assert!(is_own(&answer, &id), "{way} as {manner:?}, {id}: {answer}");
                if index < WHOLE && manner == Manner::Well {
                    assert!(answer.contains(" 200 ") && answer.ends_with(&id), "{way}, {id}: {answer}");
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    for number in 0..20 {
        let id = format!("id-after-{number:02}.");
        assert!(ask(front, "good", &id, Manner::Well).await.unwrap().ends_with(&id));
    }
}

/// A7: over HTTP/2 a request is sent again only if the upstream says that it did not process it, and once.
#[tokio::test]
async fn a_request_over_http2_is_sent_again_once_and_only_if_it_was_refused() {
    for method in ["GET", "PUT", "DELETE"] {
        for (way, most) in [("resets", 1), ("refuses", 2)] {
            let requests = Counter::default();
            let front = front(&Counter::default(), &requests).await;
            let request = client().request(method.parse().unwrap(), front.url(&format!("/{way}/id-x")));
            assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_GATEWAY, "{method} {way}");
            assert!((1..=most).contains(&requests.get()), "{method} {way}: {} times", requests.get());
        }
    }
}
