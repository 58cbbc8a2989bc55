//! `scopegate test`: runs decision tests against the policy of the configuration.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use scopegate_provider::{Clock, SystemClock, Timestamp};
use serde::Serialize;

use super::{
    console::Paint,
    diff::described,
    failure::{Failure, Task, Verdict},
};
use crate::config::{Config, Loader, LocatedTest};

#[derive(Debug, Args)]
pub(super) struct Test {
    /// Further tests beside those of the configuration (`tests`): files of YAML lists such as `- { request: GET /items/1,
    /// scopes: [items], expect: permit }`.
    files: Vec<PathBuf>,
    /// Also measure the tests: list the flaws of the policy, such as a term left out, that no test notices. 1 if there is
    /// one.
    #[arg(long)]
    coverage: bool,
}

/// A test that failed.
#[derive(Debug, Serialize)]
struct Failed {
    /// The place of the test.
    test: String,
    request: String,
    /// The caller in words.
    caller: String,
    expected: &'static str,
    found: &'static str,
    /// The route that decided, its rule and its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// The denial in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    passed: usize,
    failed: Vec<Failed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<Coverage>,
}

/// The flaws that the tests notice.
#[derive(Debug, Default, Serialize)]
struct Coverage {
    noticed: usize,
    unnoticed: Vec<Unnoticed>,
}

/// A flaw that no test notices.
#[derive(Debug, Serialize)]
struct Unnoticed {
    route: String,
    flaw: String,
    place: String,
}

impl Test {
    pub(super) fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let mut config = task.config()?;
        let mut tests = std::mem::take(&mut config.tests);
        for file in &self.files {
            tests.extend(Loader::load_tests(file)?);
        }
        if tests.is_empty() {
            let message = "there is no test: write `tests:` in the configuration, or name a file of tests";
            return Err(Failure::Usage(message.to_owned()));
        }
        let now = SystemClock::new().now();
        let failed: Vec<Failed> = tests.iter().filter_map(|test| Failed::of(test, &config, now)).collect();
        let mut report = Report { passed: tests.len() - failed.len(), failed, coverage: None };
        if self.coverage && report.failed.is_empty() {
            report.coverage = Some(Coverage::of(&tests, &config, now));
        }
        task.console.show(&report, |out, paint| report.write(out, paint))?;
        let is_complete = report.coverage.as_ref().is_none_or(|coverage| coverage.unnoticed.is_empty());
        Ok((report.failed.is_empty() && is_complete).into())
    }
}

impl Failed {
    /// Runs a test. Returns the failure, if the decision is not the expected one.
    fn of(located: &LocatedTest, config: &Config, now: Timestamp) -> Option<Self> {
        let LocatedTest { test, location } = located;
        let result = test.run(&config.rules.policy, now);
        if result.found == test.expect.as_str() {
            return None;
        }
        let route = result.explanation.and_then(|explanation| explanation.route);
        let place = result.source.and_then(|source| config.rules.place(&source).map(ToString::to_string));
        Some(Self {
            test: location.to_string(),
            request: test.request.to_string(),
            caller: test.supposed().map_or_else(|| "no token".to_owned(), |caller| described(&caller)),
            expected: test.expect.as_str(),
            found: result.found,
            route: route.map(|route| format!("{}: {}", route.pattern, route.rule)),
            place,
            message: result.message,
        })
    }
}

impl Coverage {
    fn of(tests: &[LocatedTest], config: &Config, now: Timestamp) -> Self {
        let mut coverage = Self::default();
        for mutant in config.rules.policy.mutants() {
            if tests.iter().any(|located| located.test.fails_on(&mutant.policy, now)) {
                coverage.noticed += 1;
                continue;
            }
            let place = config.rules.place(&mutant.source).map(ToString::to_string);
            let place = place.unwrap_or_else(|| mutant.source.to_string());
            coverage.unnoticed.push(Unnoticed { route: mutant.route, flaw: mutant.flaw, place });
        }
        coverage
    }

    /// Returns the share of flaws that are noticed, in percent, rounded down.
    fn score(&self) -> usize {
        let all = self.noticed + self.unnoticed.len();
        (100 * self.noticed).checked_div(all).unwrap_or(100)
    }
}

impl Report {
    fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        for failed in &self.failed {
            let caller = &failed.caller;
            writeln!(out, "{} {}: {} with {caller}", paint.bad("failed"), failed.test, failed.request)?;
            writeln!(out, "  expected {}, found {}", failed.expected, failed.found)?;
            if let Some(message) = &failed.message {
                writeln!(out, "  {message}")?;
            }
            if let Some(route) = &failed.route {
                writeln!(out, "  by {route} {}", paint.faint(failed.place.as_deref().unwrap_or_default()))?;
            }
        }
        if let Some(coverage) = &self.coverage {
            for Unnoticed { route, flaw, place } in &coverage.unnoticed {
                writeln!(out, "{} {route}: {flaw} {}", paint.warning("no test notices"), paint.faint(place))?;
            }
            writeln!(
                out,
                "coverage {} %: {} of {} flaws are noticed",
                coverage.score(),
                coverage.noticed,
                coverage.noticed + coverage.unnoticed.len()
            )?;
        }
        writeln!(out, "{} passed, {} failed", self.passed, self.failed.len())
    }
}
