//! Load by wrk, and what came of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::process::{LOAD, Process};

/// A load: where to, with which tokens, how many connections.
#[derive(Clone)]
pub(crate) struct Load {
    /// The URL.
    pub(crate) url: String,
    /// A file with a token a line; an empty line sends none.
    pub(crate) tokens: PathBuf,
    /// Connections that are kept open.
    pub(crate) connections: usize,
    /// Whether it asks as nginx does, about `GET /`.
    pub(crate) asks: bool,
}

/// What came of a load.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Answers in a second.
    pub(crate) rate: f64,
    /// Answers for each second that the server was on its processor.
    pub(crate) per_cpu: f64,
    /// The share of answers that were no 2xx.
    pub(crate) refused: f64,
    /// Connections that broke, timed out or were refused.
    pub(crate) broken: u64,
    /// The median of the latency in milliseconds.
    pub(crate) median: f64,
    /// The 99th percentile of the latency in milliseconds.
    pub(crate) slow: f64,
}

impl Load {
    /// The load of these tokens on a port's path, from 32 connections.
    pub(crate) fn new(port: u16, path: &str, tokens: &Path) -> Self {
        Self {
            url: format!("http://127.0.0.1:{port}{path}"),
            tokens: tokens.to_owned(),
            connections: 32,
            asks: false,
        }
    }

    /// The same from another number of connections.
    #[must_use]
    pub(crate) fn over(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// The same, asking as nginx does about `GET /`.
    #[must_use]
    pub(crate) fn asking(self) -> Self {
        Self { asks: true, ..self }
    }

    /// Loads `server` for so long.
    pub(crate) fn run(&self, server: &Process, time: Duration) -> Outcome {
        let before = server.cpu();
        let (requests, mut outcome) = finish(self.start(time));
        let cpu = server.cpu().saturating_sub(before).as_secs_f64();
        if cpu > 0.0 {
            outcome.per_cpu = requests / cpu;
        }
        outcome
    }

    /// Starts the load in the background, for so long.
    pub(crate) fn start(&self, time: Duration) -> Child {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/tokens.lua");
        Command::new("taskset")
            .args(["-c", LOAD, "wrk", "-t1", "-s", script])
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{}s", time.as_secs().max(1)))
            .args([self.url.as_str(), "--"])
            .arg(&self.tokens)
            .args(self.asks.then_some("asking"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap()
    }
}

/// Waits for a load that was started: how many answers, and what of them.
#[expect(clippy::cast_precision_loss, reason = "counts of a few million")]
pub(crate) fn finish(load: Child) -> (f64, Outcome) {
    let said = load.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("RESULT "))
        .unwrap_or_else(|| panic!("wrk said {said}"));
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    let [requests, time, refused, broken, median, slow] = numbers.try_into().unwrap();
    let outcome = Outcome {
        rate: requests as f64 / (time as f64 / 1e6),
        per_cpu: 0.0,
        refused: refused as f64 / (requests as f64).max(1.0),
        broken,
        median: median as f64 / 1e3,
        slow: slow as f64 / 1e3,
    };
    (requests as f64, outcome)
}

/// Writes tokens for a load.
pub(crate) fn tokens_file(folder: &Path, name: &str, tokens: &[String]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, tokens.join("\n") + "\n").unwrap();
    path
}

/// The middle of what several rounds gave, by rate.
pub(crate) fn median(mut outcomes: Vec<Outcome>) -> Outcome {
    outcomes.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    outcomes.get(outcomes.len() / 2).copied().unwrap_or_default()
}
