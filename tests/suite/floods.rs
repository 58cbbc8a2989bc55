//! Floods of the running program: what is refused costs no memory for good, and who is known is served all the while.
#![cfg(target_os = "linux")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    support::{Client, Server},
    tutorial::DEVELOPMENT,
};

/// What a flood may leave behind: the allocator keeps some of what it had to have at once.
const LEFT_BEHIND: u64 = 16 << 20;

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream
}

/// Tokens that are bad in every way in which a stranger can make ever new ones; `signed` is header and claims of a good one.
fn bad_token(number: usize, signed: &str) -> String {
    let header = |text: String| URL_SAFE_NO_PAD.encode(text);
    let claims = signed.split('.').nth(1).unwrap();
    match number % 5 {
        0 => format!(
            "{}.{claims}.AAAA",
            header(format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{number}"}}"#))
        ),
        1 => format!("{signed}.{}", URL_SAFE_NO_PAD.encode([number.to_le_bytes(); 32].concat())),
        2 => format!("opaque-{number}"),
        3 => format!("{}.e30.", header(format!(r#"{{"alg":"none","x":{number}}}"#))),
        _ => format!("{number}{}", "a".repeat(4000)),
    }
}

/// Sends so many requests with bad tokens, many at a time; none of them may pass.
fn flood(server: &Server, signed: &str, numbers: std::ops::Range<usize>) {
    const AT_ONCE: usize = 50;
    let mut stream = connect(server);
    let numbers: Vec<usize> = numbers.collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let ask = |number: &usize| {
            let token = bad_token(*number, signed);
            format!("GET /items HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
        };
        stream.write_all(numbers.iter().map(ask).collect::<String>().as_bytes()).unwrap();
        let (mut answers, mut buffer) = (Vec::new(), [0; 16 << 10]);
        while statuses(&answers).len() < numbers.len() || !answers.ends_with(b"}") {
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "closed after {}", String::from_utf8_lossy(&answers));
            answers.extend_from_slice(&buffer[..read]);
        }
        for status in statuses(&answers) {
            assert!(["401", "503"].contains(&status), "{status}: {}", String::from_utf8_lossy(&answers));
        }
    }
}

fn statuses(answers: &[u8]) -> Vec<&str> {
    let text = std::str::from_utf8(answers).unwrap_or_default();
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer.get(..3).unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_flood_of_bad_tokens_leaves_no_memory_behind_and_keeps_nobody_out() {
    // A line of the log for each refusal is not what is looked at here.
    let server = Server::start(&format!("{DEVELOPMENT}telemetry: {{ log: {{ level: error }} }}\n"));
    let client = Client::new(&server.url);
    let good = client.token("", "reader", "reader-secret", "items").await;
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(client.get_with("/items", &good).await.status, 200);
    flood(&server, signed, 0..2000);
    let before = server.memory();
    let over = AtomicBool::new(false);
    let answered = thread::scope(|scope| {
        let known = scope.spawn(|| known_caller(&server, &good, &over));
        let floods: Vec<_> = (1..=4)
            .map(|part| {
                scope.spawn({
                    let server = &server;
                    move || flood(server, signed, part * 10_000..part * 10_000 + 2500)
                })
            })
            .collect();
        for flood in floods {
            flood.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        known.join().unwrap()
    });
    assert!(answered > 10, "only {answered} answers while the flood lasted");
    let after = server.memory();
    assert!(after < before + LEFT_BEHIND, "{before} bytes before, {after} after");
}

/// Calls with a known token until it is over; how often.
fn known_caller(server: &Server, token: &str, over: &AtomicBool) -> usize {
    let request = format!(
        "GET /items HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut answered = 0;
    while !over.load(Ordering::Relaxed) {
        let (mut stream, mut answer) = (connect(server), String::new());
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answered += 1;
    }
    answered
}

#[tokio::test]
async fn a_flood_of_slow_connections_ends_and_leaves_no_memory_behind() {
    let limits = "limits: { connections: 100, header_timeout: 300ms }";
    let server = Server::start(&DEVELOPMENT.replace(
        "listen: 127.0.0.1:0 }\noperations",
        &format!("listen: 127.0.0.1:0, {limits} }}\noperations"),
    ));
    let client = Client::new(&server.url);
    assert_eq!(client.get("/api/public").await.status, 200);
    let before = server.memory();
    let slow: Vec<TcpStream> = (0..600)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(b"GET /api/public HTTP/1.1\r\nHost: a\r\nX-Slow: ").unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(Client::new(&server.url).get("/api/public").await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    let during = server.memory();
    drop(slow);
    assert_eq!(Client::new(&server.url).get("/api/public").await.status, 200);
    assert!(during < before + LEFT_BEHIND, "{before} bytes before, {during} with 600 slow connections");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_before_all_of_it_has_come() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items:write").await;
    let bearer = format!("Authorization: Bearer {token}\r\nContent-Type: application/json");
    let form = "Content-Type: application/x-www-form-urlencoded".to_owned();
    // One byte more than may come; the rest is announced and never sent.
    let cases = [
        ("/items", &bearer, (256 << 10) + 1, "413", "body_too_large"),
        ("/token", &form, (32 << 10) + 1, "400", "invalid_request"),
    ];
    for (path, headers, sent, status, told) in cases {
        let mut stream = connect(&server);
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n{headers}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b'a'; sent]).unwrap();
        let mut answer = Vec::new();
        // A server that closes while a body is on its way resets the connection; what it said before counts.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(told),
            "{path}: {answer}"
        );
    }
}

/// The figure that the documentation of `server.limits` gives for the memory of one peer, with the limits of
/// [`HEADER_FLOOD`], and what the two threads need while they decode.
const OF_ONE_PEER: u64 = (20 * (2 * 32 + 32) + 4 * 512 + 50 * 64) << 10;
const DECODING: u64 = (2 * (200 * 4 * 32)) << 10;
const HEADER_FLOOD: &str = "limits: { connections_per_peer: 20, headers_per_connection: 128KiB, \
     headers_per_peer: 512KiB, bodies_per_peer: 50 }";

/// Returns the frames of a request over HTTP/2 with many fields of a few bytes on the wire each, and no end.
fn many_fields(stream: u32, fields: usize, value: usize) -> Vec<u8> {
    // POST, http, a path and an authority that are not indexed, one field that is, and references to it.
    let mut block = b"\x83\x86\x04\x07/revoke\x01\x01a\x40\x01x".to_vec();
    match value.checked_sub(127) {
        None => block.push(u8::try_from(value).unwrap()),
        // An integer of HPACK: 127, and what is more in seven bits.
        Some(more) => block.extend([127, u8::try_from(more).unwrap()]),
    }
    block.extend(vec![b'a'; value]);
    block.extend(vec![0xbe; fields - 1]);
    let length = u32::try_from(block.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[1, 4], &stream.to_be_bytes()].concat();
    [head, block].concat()
}

/// A2b: many header fields over many connections take no more memory than the documented figure.
#[tokio::test]
async fn a_flood_of_header_fields_takes_no_more_memory_than_is_documented() {
    for (fields, value) in [(900, 0), (100, 200)] {
        let server = Server::start(&DEVELOPMENT.replace(
            "listen: 127.0.0.1:0 }\noperations",
            &format!("listen: 127.0.0.1:0, {HEADER_FLOOD} }}\noperations"),
        ));
        assert_eq!(Client::new(&server.url).get("/api/public").await.status, 200);
        let before = server.memory();
        let mut held = Vec::new();
        for _ in 0..17 {
            let mut stream = connect(&server);
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
            for number in 0..200 {
                bytes.extend(many_fields(number * 2 + 1, fields, value));
            }
            bytes.extend(b"\0\0\x08\x06\0\0\0\0\0abcdefgh");
            stream.write_all(&bytes).unwrap();
            let (mut answer, mut buffer) = (Vec::new(), [0; 16 << 10]);
            // The acknowledgement of the PING comes once all before it has been read.
            while !answer.windows(8).any(|window| window == b"abcdefgh") {
                let read = stream.read(&mut buffer).unwrap();
                assert_ne!(read, 0, "closed");
                answer.extend_from_slice(&buffer[..read]);
            }
            held.push(stream);
        }
        let during = server.memory();
        let allowed = OF_ONE_PEER + DECODING + LEFT_BEHIND;
        assert!(during < before + allowed, "{before} bytes before, {during} with {fields} fields a head");
        assert_eq!(Client::new(&server.url).get("/api/public").await.status, 200);
        drop(held);
    }
}
