//! Load by wrk and h2load, and its outcome.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::process::{LOAD, Process, accepted_connections};

/// A load: its target, its tokens, its connections.
#[derive(Clone)]
pub(crate) struct Load {
    /// The URL.
    pub(crate) url: String,
    /// A file with a token a line; an empty line sends none.
    pub(crate) tokens: PathBuf,
    /// The number of connections that are kept open.
    pub(crate) connections: usize,
    /// Set if it sends the check requests of nginx about `GET /`.
    pub(crate) checks: bool,
    /// The number of concurrent streams of a connection over HTTP/2; none for HTTP/1.1.
    pub(crate) streams: Option<usize>,
}

/// The outcome of a load.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Answers in a second.
    pub(crate) rate: f64,
    /// The processor time of the server for a request, in microseconds.
    pub(crate) micros: f64,
    /// The share of answers other than 2xx and 3xx.
    pub(crate) refused: f64,
    /// Connections that broke, timed out or were refused.
    pub(crate) broken: u64,
    /// Connections that were accepted on this machine meanwhile.
    pub(crate) opened: u64,
    /// The median of the latency in milliseconds.
    pub(crate) median: f64,
    /// The 99th percentile of the latency in milliseconds; 0 where it is not known.
    pub(crate) slow: f64,
}

impl Load {
    /// Returns the load of these tokens on a port's path, from 32 connections.
    pub(crate) fn new(port: u16, path: &str, tokens: &Path) -> Self {
        Self {
            url: format!("http://127.0.0.1:{port}{path}"),
            tokens: tokens.to_owned(),
            connections: 32,
            checks: false,
            streams: None,
        }
    }

    /// Changes the number of connections.
    #[must_use]
    pub(crate) fn over(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Sends the check requests of nginx about `GET /`.
    #[must_use]
    pub(crate) fn checking(self) -> Self {
        Self { checks: true, ..self }
    }

    /// Sends so many concurrent requests with the first token on each connection over HTTP/2.
    #[must_use]
    pub(crate) fn multiplexed(self, streams: usize) -> Self {
        Self { streams: Some(streams), ..self }
    }

    /// Loads `servers` for so long.
    pub(crate) fn run(&self, servers: &[&Process], time: Duration) -> Outcome {
        let accepted = accepted_connections();
        let before: Duration = servers.iter().map(|server| server.cpu()).sum();
        let (requests, mut outcome) = self.start(time).finish();
        let after: Duration = servers.iter().map(|server| server.cpu()).sum();
        outcome.micros = after.saturating_sub(before).as_secs_f64() * 1e6 / requests.max(1.0);
        outcome.opened = accepted_connections() - accepted;
        outcome
    }

    /// Starts the load in the background, for so long.
    pub(crate) fn start(&self, time: Duration) -> Running {
        let mut command = Command::new("taskset");
        command.args(["-c", LOAD]);
        match self.streams {
            Some(streams) => self.h2load(&mut command, streams, time),
            None => self.wrk(&mut command, time),
        }
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        Running { child, is_http2: self.streams.is_some() }
    }

    fn wrk(&self, command: &mut Command, time: Duration) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/tokens.lua");
        command
            .args(["wrk", "-t1", "-s", script])
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{}s", time.as_secs().max(1)))
            .args([self.url.as_str(), "--"])
            .arg(&self.tokens)
            .args(self.checks.then_some("checking"));
    }

    fn h2load(&self, command: &mut Command, streams: usize, time: Duration) {
        let tokens = fs::read_to_string(&self.tokens).unwrap();
        let token = tokens.lines().next().unwrap_or_default();
        command
            .args(["h2load", "-t1", "-p", "h2c"])
            .arg(format!("-c{}", self.connections))
            .arg(format!("-m{streams}"))
            .arg(format!("-D{}", time.as_secs().max(1)))
            .arg(format!("-Hauthorization: Bearer {token}"))
            .arg(&self.url);
    }
}

/// A load that was started.
pub(crate) struct Running {
    child: Child,
    is_http2: bool,
}

impl Running {
    /// Waits for the end. Returns the number of answers with the outcome.
    pub(crate) fn finish(self) -> (f64, Outcome) {
        let output = self.child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let outcome = if self.is_http2 { h2load_outcome(&text) } else { wrk_outcome(&text) };
        outcome.unwrap_or_else(|| panic!("the load printed {text}"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few million")]
fn wrk_outcome(text: &str) -> Option<(f64, Outcome)> {
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "))?;
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    let [requests, time, refused, broken, median, slow] = numbers.try_into().ok()?;
    let outcome = Outcome {
        rate: requests as f64 / (time as f64 / 1e6),
        refused: refused as f64 / (requests as f64).max(1.0),
        broken,
        median: median as f64 / 1e3,
        slow: slow as f64 / 1e3,
        ..Outcome::default()
    };
    Some((requests as f64, outcome))
}

/// Reads the numbers that h2load prints: `finished in 2.00s, 50.5 req/s`, `requests: 9 total, … 9 succeeded, 0 failed`,
/// `status codes: 9 2xx, …`, `time for request: MIN MAX MEAN …`.
fn h2load_outcome(text: &str) -> Option<(f64, Outcome)> {
    let rate = field(text, "finished in ", " req/s")?.rsplit(' ').next()?.parse().ok()?;
    let done: f64 = field(text, "requests: ", " done")?.rsplit(' ').next()?.parse().ok()?;
    let good: f64 = field(text, "status codes: ", " 2xx")?.parse().ok()?;
    let failed: u64 = field(text, "requests: ", " failed")?.rsplit(' ').next()?.parse().ok()?;
    let mean = text.lines().find_map(|line| line.strip_prefix("time for request:"))?;
    let median = milliseconds(mean.split_whitespace().nth(2)?)?;
    let refused = (1.0 - good / done.max(1.0)).max(0.0);
    Some((done, Outcome { rate, refused, broken: failed, median, ..Outcome::default() }))
}

fn field<'t>(text: &'t str, begin: &str, end: &str) -> Option<&'t str> {
    let line = text.lines().find_map(|line| line.strip_prefix(begin))?;
    line.split_once(end).map(|(field, _)| field)
}

/// Parses a time as h2load prints it: `123us`, `1.23ms`, `1.2s`.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    let (number, factor) =
        units.iter().find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, factor)))?;
    number.parse::<f64>().ok().map(|number| number * factor)
}

/// Writes tokens for a load.
pub(crate) fn tokens_file(folder: &Path, name: &str, tokens: &[String]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, tokens.join("\n") + "\n").unwrap();
    path
}

/// Returns the outcome whose processor time is the median.
pub(crate) fn median(mut outcomes: Vec<Outcome>) -> Outcome {
    outcomes.sort_by(|one, other| one.micros.total_cmp(&other.micros));
    outcomes.get(outcomes.len() / 2).copied().unwrap_or_default()
}
