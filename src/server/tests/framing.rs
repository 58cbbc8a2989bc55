//! The boundaries between requests.

use super::*;

#[tokio::test]
async fn invariant_5_content_length_with_transfer_encoding_is_refused() {
    let server = start(Limits::default(), hello()).await;
    for fields in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"]
    {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n");
        let answer = server.exchange(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && !answer.contains("hello"), "{answer}");
    }
}

#[tokio::test]
async fn invariant_5_it_is_refused_behind_other_requests_too() {
    let takes_all = make(|mut request: Request| async move {
        request.take_body().into_vec().await.map(|body| body.len().to_string()).unwrap_or_default()
    });
    let server = start(Limits::default(), takes_all).await;
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n";
    let counted = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd";
    let bad =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = server.exchange([chunked, counted, bad].concat().as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_connection_is_used_again_after_bodies_of_every_kind() {
    let server = start(short(|limits| limits.idle_timeout = SOON), hello()).await;
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let counted = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd";
    let mut stream = server.connect().await;
    for request in [chunked, counted, chunked] {
        stream.write_all(request.as_bytes()).await.unwrap();
        read_response(&mut stream).await;
    }
}

/// A19, CASES P5: a transfer coding other than exactly one `chunked` is 400, in whatever pieces it arrives.
#[tokio::test]
async fn a_transfer_coding_other_than_one_chunked_is_400() {
    let server = start(Limits::default(), takes_all()).await;
    for fields in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n");
        for split in [30, request.len() - 9, request.len()] {
            let mut stream = server.connect().await;
            let (first, second) = request.split_at(split);
            stream.write_all(first.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            let _ = stream.write_all(second.as_bytes()).await;
            let answer = read_to_end(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{fields} at {split}: {answer}");
        }
    }
}

/// A20, CASES P6: a malformed chunk is answered 400, and the connection ends.
#[tokio::test]
async fn a_malformed_chunk_is_400() {
    let server = start(Limits::default(), takes_all()).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunk in [
        "3;x\ny\r\nabc\r\n0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "10000000000000000\r\na",
        "3\r\nabcd\r\n",
        "0\r\nX: a\n\n",
        "0\r\nX: a\nY: b\r\n\r\n",
    ] {
        let answer =
            server.exchange([head, chunk, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat().as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{chunk:?}: {answer}");
    }
}
