//! What can be wrong with an issuer.

use std::time::Duration;

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::wire::{Reply, head, write};

/// A fault of an endpoint.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The connection is closed without an answer, as by a host that is gone.
    Close,
    /// No answer, and the connection stays open.
    Hang,
    /// An answer with this status and nothing in it.
    Status(u16),
    /// 429 with `Retry-After`, in seconds.
    Throttle(u64),
    /// 200 with these bytes.
    Body(Vec<u8>),
    /// 200 with an HTML page, as by a captive portal.
    Html,
    /// 200 and 10 MB of JSON.
    Large,
    /// 200 and JSON without end, a byte at a time.
    Drip,
    /// 302 to this URL.
    Redirect(String),
    /// A small answer that unpacks to 10 MB.
    GzipBomb,
}

/// 10 MB of zeros, packed into 10 kB.
const GZIP: &[u8] = include_bytes!("../../data/ten-megabytes-of-zeros.gz");

impl Fault {
    pub(super) async fn commit(self, mut stream: TcpStream) {
        match self {
            Self::Close => {}
            Self::Hang => std::future::pending().await,
            Self::Status(status) => write(&mut stream, &plain(status, Vec::new())).await,
            Self::Throttle(seconds) => {
                let body =
                    json!({ "errorCode": "E0000047", "errorSummary": "API call exceeded rate limit." });
                let reply = Reply::json(429, &body).with("retry-after", &seconds.to_string());
                write(&mut stream, &reply).await;
            }
            Self::Body(body) => write(&mut stream, &plain(200, body)).await,
            Self::Html => {
                let page = b"<!doctype html><title>Sign in</title>".to_vec();
                write(&mut stream, &plain(200, page).with("content-type", "text/html")).await;
            }
            Self::Large => write(&mut stream, &plain(200, large())).await,
            Self::Drip => drip(stream).await,
            Self::Redirect(to) => write(&mut stream, &plain(302, Vec::new()).with("location", &to)).await,
            Self::GzipBomb => {
                write(&mut stream, &plain(200, GZIP.to_vec()).with("content-encoding", "gzip")).await;
            }
        }
    }
}

fn plain(status: u16, body: Vec<u8>) -> Reply {
    Reply { status, headers: Vec::new(), body }
}

fn large() -> Vec<u8> {
    let mut body = br#"{"keys":[],"padding":""#.to_vec();
    body.resize(10_000_000, b'x');
    body.extend_from_slice(br#""}"#);
    body
}

async fn drip(mut stream: TcpStream) {
    let mut rest = head(&plain(200, Vec::new()), 1_000_000).into_bytes();
    rest.push(b'{');
    while stream.write_all(&rest).await.is_ok() {
        rest = b" ".to_vec();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
