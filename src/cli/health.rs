//! `scopegate health`: asks the operations listener of the node that runs with this configuration.

use std::{io, time::Duration};

use clap::Args;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::failure::{Failure, Task, Verdict};
use crate::server::{Listen, reachable_address};

/// The time limit of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most bytes of an answer that are read.
const LONGEST: u64 = 1 << 16;

#[derive(Debug, Args)]
pub(super) struct Health {
    /// Ask whether it can decide (`/readyz`), not only whether it is alive (`/healthz`).
    #[arg(long)]
    ready: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    good: bool,
    status: Option<u16>,
    message: String,
}

impl Health {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let listen = task.config()?.operations.listen;
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let report = match tokio::time::timeout(PATIENCE, ask(&listen, path)).await {
            Ok(Ok(answer)) => Report::new(&answer),
            Ok(Err(error)) => Report::unreachable(format!("cannot reach {listen}: {error}")),
            Err(_) => Report::unreachable(format!("{listen} did not answer in {} s", PATIENCE.as_secs())),
        };
        task.console.show(&report, |out, _| writeln!(out, "{}", report.message))?;
        Ok(report.good.into())
    }
}

async fn ask(listen: &Listen, path: &str) -> io::Result<String> {
    match listen {
        Listen::Tcp(address) => {
            exchange(tokio::net::TcpStream::connect(reachable_address(*address)).await?, path).await
        }
        Listen::Unix(socket) => exchange(tokio::net::UnixStream::connect(socket).await?, path).await,
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

impl Report {
    fn new(answer: &str) -> Self {
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
        let message = match status {
            Some(status) => format!("{status} {body}"),
            None => "the answer is not HTTP".to_owned(),
        };
        Self { good: status == Some(200), status, message }
    }

    fn unreachable(message: String) -> Self {
        Self { good: false, status: None, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_good() {
        assert!(Report::new("HTTP/1.1 200 OK\r\nx: y\r\n\r\n{}").good);
        assert!(!Report::new("HTTP/1.1 503 Service Unavailable\r\n\r\n{}").good);
        assert!(!Report::new("SSH-2.0").good);
    }
}
