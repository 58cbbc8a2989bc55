//! Upstreams and callers that are slow, reset, lie and half-close, many at once.

use std::{net::SocketAddr, time::Duration};

use scopegate_provider::Span;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{super::*, support::*};

/// What an upstream may do to a request for `/WAY/ID`. After the first five its caller must have the whole answer.
const WAYS: [&str; 18] = [
    "good",
    "slow",
    "half-closes",
    "says-more",
    "says-something-first",
    "stalls",
    "late",
    "resets",
    "resets-within",
    "ends-within",
    "half-closes-at-once",
    "half-closes-within",
    "says-less",
    "two-lengths",
    "length-and-chunks",
    "switches",
    "nonsense",
    "early",
];
const WHOLE: usize = 5;

/// How long an upstream may take to begin an answer, and how long a caller waits for its end.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

async fn misbehave(mut stream: TcpStream) {
    while let Some(head) = read_head(&mut stream).await {
        let mut parts = head.split(' ').nth(1).unwrap_or_default().split('/').skip(1);
        let (way, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let own = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{id}", id.len());
        let other = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nid-secret";
        let half = own.len() - id.len() / 2;
        let said = match way {
            "says-more" => format!("{own}{other}"),
            "says-something-first" => "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(20) + &own,
            "says-less" => own.replace("\r\n\r\n", "0\r\n\r\n"),
            "two-lengths" => own.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n"),
            "length-and-chunks" => {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
                format!("{head}{:x}\r\n{id}\r\n0\r\n\r\n", id.len())
            }
            "switches" => format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n{other}"
            ),
            "nonsense" => "\u{0}\u{1}SSH-2.0\r\n\r\n\r\n".to_owned(),
            "slow" | "resets" | "half-closes-at-once" => String::new(),
            "stalls" | "resets-within" | "ends-within" | "half-closes-within" => own[..half].to_owned(),
            "late" => {
                tokio::time::sleep(PATIENCE + SOON).await;
                own.clone()
            }
            _ => own.clone(),
        };
        if stream.write_all(said.as_bytes()).await.is_err() {
            return;
        }
        match way {
            "slow" => {
                for byte in own.as_bytes() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    if stream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
            }
            "resets" | "resets-within" => {
                tokio::time::sleep(SOON / 8).await;
                stream.set_zero_linger().unwrap();
                return;
            }
            "ends-within" => return,
            "stalls" | "half-closes" | "half-closes-at-once" | "half-closes-within" => {
                if way != "stalls" {
                    let _ = stream.shutdown().await;
                }
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                return;
            }
            _ => {}
        }
    }
}

/// How a caller behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Well,
    HalfCloses,
    Resets,
}

/// Asks, and returns what came; none if the connection was left hanging.
pub(super) async fn ask(front: SocketAddr, way: &str, id: &str, manner: Manner) -> Option<String> {
    let stream = TcpStream::connect(front).await.unwrap();
    if manner == Manner::Resets {
        stream.set_zero_linger().unwrap();
    }
    let (mut from, mut to) = stream.into_split();
    let head = format!("/{way}/{id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");
    let sent = if way == "early" {
        // What an upstream that has not read it may take for requests.
        let body = "GET /good/id-other HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4000);
        format!("POST {head}Content-Length: {}\r\n\r\n{body}", body.len())
    } else {
        format!("GET {head}\r\n")
    };
    let writing = tokio::spawn(async move {
        // Whoever refuses may do so before it has read everything.
        let _ = to.write_all(sent.as_bytes()).await;
        if manner == Manner::HalfCloses {
            let _ = to.shutdown().await;
        }
        to
    });
    if manner == Manner::Resets {
        tokio::time::sleep(SOON / 8).await;
        return Some(String::new());
    }
    let mut answer = Vec::new();
    // A caller gives up on an answer that has begun and does not end.
    let ended = timeout(PATIENCE * 2, from.read_to_end(&mut answer)).await;
    writing.abort();
    (ended.is_ok() || !answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

/// Returns `true` if everything in an answer is for this caller.
pub(super) fn is_own(answer: &str, id: &str) -> bool {
    answer.match_indices("id-").all(|(at, _)| {
        let found = answer.get(at..).unwrap_or_default();
        found.starts_with(id) || id.starts_with(found)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_resetting_lying_and_half_closing_upstreams_and_callers_hang_nobody_and_get_nobody_elses_answer()
{
    let connections = Counter::default();
    let upstream = scripted(&connections, misbehave).await;
    let front = proxy_to(UpstreamSettings { response_timeout: Span::new(PATIENCE), ..at(upstream) }).await.0;
    let callers = (0..24_usize).map(|caller| {
        tokio::spawn(async move {
            for turn in 0..12_usize {
                let number = caller * 12 + turn;
                let index = (number * 7 + caller) % WAYS.len();
                let manner = [Manner::Well, Manner::Well, Manner::HalfCloses, Manner::Well, Manner::Resets]
                    [number % 5];
                let (way, id) = (WAYS[index], format!("id-{number:06}-of-{caller:03}."));
                let answer = ask(front, way, &id, manner).await;
                let answer = answer.unwrap_or_else(|| panic!("{way}: {manner:?} was left hanging"));
                assert!(is_own(&answer, &id), "{way} as {manner:?}, {id}: {answer}");
                if index < WHOLE && manner == Manner::Well {
                    assert!(
                        answer.starts_with("HTTP/1.1 200") && answer.ends_with(&id),
                        "{way}, {id}: {answer}"
                    );
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
    assert!(connections.get() > WAYS.len());
}

#[tokio::test]
async fn an_upstream_that_stalls_within_a_body_holds_up_nobody_and_is_left_with_its_caller() {
    let left = Counter::default();
    let noted = left.clone();
    let upstream = scripted(&Counter::default(), move |stream| {
        let noted = noted.clone();
        async move {
            misbehave(stream).await;
            noted.add(1);
        }
    })
    .await;
    let front = proxy_to(at(upstream)).await.0;
    let mut stalled = TcpStream::connect(front).await.unwrap();
    stalled.write_all(b"GET /stalls/id-stalled HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(read_head(&mut stalled).await.unwrap().starts_with("HTTP/1.1 200"));
    for _ in 0..5 {
        assert!(ask(front, "good", "id-mine", Manner::Well).await.unwrap().ends_with("id-mine"));
    }
    assert_eq!(left.get(), 0);
    drop(stalled);
    while left.get() == 0 {
        tokio::time::sleep(SOON / 8).await;
    }
}
