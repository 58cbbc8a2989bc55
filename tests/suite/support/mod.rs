//! What the tests start and ask.

mod browser;
mod chance;
mod client;
mod configuration;
mod program;
mod upstream;

pub(crate) use browser::Browser;
pub(crate) use chance::Chance;
pub(crate) use client::{Answer, Client};
pub(crate) use configuration::with_issuer;
pub(crate) use program::{Issuer, Run, Server, run, run_in};
pub(crate) use upstream::{Upstream, raw};

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// Asks until the answer is as wanted; a test that waits for long has failed.
pub(crate) async fn eventually<T: std::fmt::Debug>(
    mut ask: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "still {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
