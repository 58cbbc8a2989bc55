//! `scopegate test`: runs decision tests against the policy of the configuration.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use http::Method;
use scopegate_provider::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

use super::{
    console::Paint,
    explain::parse_target,
    failure::{Failure, Task, Verdict},
};
use crate::{
    config::Config,
    policy::{CallerAt, Decision, Policy, SupposedCaller},
};

#[derive(Debug, Args)]
pub(super) struct Test {
    /// Files of tests: YAML lists such as `- { request: GET /items/1, caller: { scopes: [items] }, expect: permit }`.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Also measure the tests: list the flaws of the policy, such as a term left out, that no test notices. 1 if there is
    /// one.
    #[arg(long)]
    coverage: bool,
}

/// A test of a decision.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionTest {
    /// The method and the URL, or a path for any host.
    request: String,
    /// The caller; left out: a request without a token.
    #[serde(default)]
    caller: Option<SupposedCaller>,
    /// `permit`, or the reason of the denial.
    expect: String,
}

/// A test that failed.
#[derive(Debug, Serialize)]
struct Failed {
    /// The file and the number of the test in it.
    test: String,
    request: String,
    expected: String,
    found: String,
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
        let config = task.config()?;
        let mut report = Report { passed: 0, failed: Vec::new(), coverage: None };
        let mut known = Vec::new();
        for file in &self.files {
            let name = file.display();
            let text = fs::read_to_string(file)
                .map_err(|error| Failure::Usage(format!("cannot read `{name}`: {error}")))?;
            let tests: Vec<DecisionTest> =
                serde_saphyr::from_str(&text).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
            for (index, test) in tests.into_iter().enumerate() {
                match test.run(&config, format!("{name}[{index}]"))? {
                    None => report.passed += 1,
                    Some(failed) => report.failed.push(failed),
                }
                known.push(test);
            }
        }
        if self.coverage && report.failed.is_empty() {
            report.coverage = Some(Coverage::of(&known, &config));
        }
        task.console.show(&report, |out, paint| report.write(out, paint))?;
        let is_complete = report.coverage.as_ref().is_none_or(|coverage| coverage.unnoticed.is_empty());
        Ok((report.failed.is_empty() && is_complete).into())
    }
}

impl DecisionTest {
    /// Returns `true` if the policy decides otherwise than the test expects.
    fn notices(&self, policy: &Policy) -> bool {
        let parsed = self.request.split_once(' ').and_then(|(method, url)| {
            let method: Method = method.parse().ok()?;
            parse_target(&method, url.trim()).ok()
        });
        let Some(target) = parsed else { return false };
        let now = SystemClock::new().now();
        let principal = self.caller.as_ref().and_then(|caller| caller.principal(now).ok());
        let caller = principal.as_ref().map(|principal| CallerAt::new(principal, now));
        let found = match policy.decide(&target, caller) {
            Decision::Permit { .. } => "permit",
            Decision::Deny(refused) => refused.denial.reason().as_str(),
        };
        found != self.expect
    }

    /// Returns the failure, if the decision is not the expected one.
    fn run(&self, config: &Config, test: String) -> Result<Option<Failed>, Failure> {
        let (method, url) = self.request.split_once(' ').ok_or_else(|| {
            Failure::Usage(format!("{test}: expected a method and a path, found `{}`", self.request))
        })?;
        let method: Method = method
            .parse()
            .map_err(|_| Failure::Usage(format!("{test}: expected a method, found `{method}`")))?;
        let mut failed = Failed {
            test,
            request: self.request.clone(),
            expected: self.expect.clone(),
            found: "permit".to_owned(),
            route: None,
            place: None,
            message: None,
        };
        match parse_target(&method, url.trim()) {
            Ok(target) => {
                let now = SystemClock::new().now();
                let principal = self.caller.as_ref().map(|caller| caller.principal(now)).transpose();
                let principal =
                    principal.map_err(|error| Failure::Usage(format!("{}: {error}", failed.test)))?;
                let caller = principal.as_ref().map(|principal| CallerAt::new(principal, now));
                let explanation = config.rules.policy.explain(&target, caller);
                if let Some(reason) = explanation.reason {
                    reason.as_str().clone_into(&mut failed.found);
                }
                failed.message = explanation.message;
                failed.route = explanation.route.map(|route| format!("{}: {}", route.pattern, route.rule));
                let resolved = config.rules.policy.resolve(&target).ok();
                let place = resolved.and_then(|resolved| config.rules.place(resolved.route().source()));
                failed.place = place.map(ToString::to_string);
            }
            Err(error) => {
                error.reason().as_str().clone_into(&mut failed.found);
                failed.message = Some(error.to_string());
            }
        }
        Ok((failed.found != failed.expected).then_some(failed))
    }
}

impl Coverage {
    fn of(tests: &[DecisionTest], config: &Config) -> Self {
        let mut coverage = Self::default();
        for mutant in config.rules.policy.mutants() {
            if tests.iter().any(|test| test.notices(&mutant.policy)) {
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
            writeln!(out, "{} {}: {}", paint.bad("failed"), failed.test, failed.request)?;
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
