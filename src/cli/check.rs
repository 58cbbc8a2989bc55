//! `scopegate check`: says what is wrong with a configuration, without starting anything.

use std::io::{self, Write};

use clap::Args;
use scopegate_provider::{Clock, Signals, SystemClock};
use serde::Serialize;

use super::{
    connect,
    console::Paint,
    failure::{Failure, Task, Verdict},
    replay::{traffic, write_replay},
    stored::{Ignored, Stored},
};
use crate::{
    config::{Config, Warning},
    policy::{
        DecisionTest, Policy,
        replay::{RecordedDecision, Replayed},
    },
};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Also reach every provider, for its discovery document and its keys, and the store, which must be there then.
    #[arg(long)]
    online: bool,
    /// Also make recorded decisions again: a file of JSON lines, or the address of a node's administration, with an
    /// administrator's token in `$SCOPEGATE_ADMIN_TOKEN`. 1 if one of them changes.
    #[arg(long, value_name = "FILE|URL")]
    against_traffic: Option<String>,
    /// Fail where something is found that is often not meant and is not marked as intended.
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    good: bool,
    providers: Vec<ProviderReport>,
    scopes: usize,
    routes: usize,
    warnings: Vec<Warning>,
    /// What is allowed, and is often not meant.
    findings: Vec<Found>,
    /// The recorded decisions that change.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<Replayed>,
    /// The reason why a configured store was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    /// The stored entries that are ignored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<Ignored>,
}

/// A finding of the analysis.
#[derive(Debug, Serialize)]
struct Found {
    /// The kind, which `intended` lists.
    kind: String,
    place: String,
    message: String,
    example: String,
}

#[derive(Debug, Serialize)]
struct ProviderReport {
    name: String,
    kind: &'static str,
    issuers: Vec<String>,
    /// The place in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// `true` if its keys could be fetched; `None` without `--online`.
    reached: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// The facts about signals by which it withdraws tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signals: Vec<String>,
}

impl Check {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let mut config = if self.online { connect::config(task)? } else { task.config()? };
        let traffic = match &self.against_traffic {
            Some(source) => Some(traffic(source).await?),
            None => None,
        };
        let report = self.report(task, &mut config, traffic.as_deref()).await;
        task.console.show(&report, |out, paint| report.write(out, paint))?;
        Ok(report.good.into())
    }

    async fn report(&self, task: &Task, config: &mut Config, traffic: Option<&[RecordedDecision]>) -> Report {
        let stored = Stored::of(config).await;
        let effective = stored.effective(config);
        let findings = Found::all(&effective.policy, config);
        let replay = traffic.map(|records| effective.policy.replay(records, None, SystemClock::new().now()));
        let mut providers = Vec::new();
        for provider in std::mem::take(&mut config.providers) {
            let issuers = provider.outline().issuers.iter().map(ToString::to_string).collect();
            let name = provider.name().to_string();
            let kind = provider.kind();
            let place = provider.location().map(ToString::to_string);
            let mut signals = Vec::new();
            let (reached, problem) = if self.online {
                task.console.progress(&format!("reaching the provider {name} …"));
                reach(provider, &mut signals).await
            } else {
                (None, None)
            };
            providers.push(ProviderReport { name, kind, issuers, place, reached, problem, signals });
        }
        Report {
            good: !stored.is_broken
                && (!self.strict || findings.is_empty())
                && !replay.as_ref().is_some_and(Replayed::has_changes)
                && (!self.online || !stored.is_away)
                && providers.iter().all(|provider| provider.reached != Some(false)),
            providers,
            scopes: effective.policy.scopes().len(),
            routes: effective.policy.routes().len(),
            warnings: std::mem::take(&mut config.warnings),
            findings,
            replay,
            store: stored.note,
            ignored: effective.ignored,
        }
    }
}

impl Found {
    fn all(policy: &Policy, config: &Config) -> Vec<Self> {
        let tests: Vec<DecisionTest> = config.tests.iter().map(|located| located.test.clone()).collect();
        let mut found = Vec::new();
        for finding in policy.analyze(&config.rules.definition, &tests) {
            let place = config.rules.place(&finding.at).map(ToString::to_string);
            found.push(Self {
                kind: finding.kind.to_string(),
                place: place.unwrap_or_else(|| finding.at.to_string()),
                message: finding.message,
                example: finding.example,
            });
        }
        for (index, located) in config.tests.iter().enumerate() {
            let earlier = config.tests.iter().take(index);
            let Some(other) = earlier.into_iter().find(|other| other.test.contradicts(&located.test)) else {
                continue;
            };
            let expected = format!("{} and {}", other.test.expect, located.test.expect);
            found.push(Self {
                kind: "contradicting_tests".to_owned(),
                place: located.location.to_string(),
                message: format!(
                    "this test and the one at {} expect {expected} of the same request",
                    other.location
                ),
                example: located.test.request.to_string(),
            });
        }
        found
    }
}

async fn reach(
    provider: crate::config::ProviderConfig,
    signals: &mut Vec<String>,
) -> (Option<bool>, Option<String>) {
    let connected = match connect::one(provider).await {
        Ok(connected) => connected,
        Err(failure) => return (Some(false), Some(failure.to_string())),
    };
    match connect::settled(connected.provider().as_ref()).await {
        Some(report) => {
            let problem = report.issuers.into_iter().find_map(|issuer| issuer.last_error);
            if !report.ready {
                return (Some(false), problem);
            }
            if let Some(capability) = connected.provider().signals() {
                *signals = signal_facts(capability).await;
            }
            let probed = match connected.provider().health() {
                Some(health) => health.probe().await,
                None => None,
            };
            match probed {
                Some(Err(problem)) => (Some(false), Some(problem)),
                Some(Ok(())) | None => (Some(true), None),
            }
        }
        None => (None, Some("this kind of provider does not say how it is".to_owned())),
    }
}

/// Returns the facts about a provider's signals: whether it announces them, and by what they match tokens.
async fn signal_facts(signals: &dyn Signals) -> Vec<String> {
    let mut facts = Vec::new();
    let support = match signals.support().await {
        Ok(support) => support,
        Err(outage) => return vec![format!("its metadata cannot be had: {outage}")],
    };
    if !signals.takes_logout_tokens() && support.backchannel_logout == Some(true) {
        facts.push("it announces back-channel logout; `backchannel_logout: true` takes it".to_owned());
    }
    if signals.takes_logout_tokens() {
        let announced = match support.backchannel_logout {
            Some(true) => "it announces back-channel logout",
            Some(false) | None => "it does not announce back-channel logout (`backchannel_logout_supported`)",
        };
        let matched = match (support.backchannel_logout_session, &support.session_claim) {
            (Some(true), Some(claim)) => format!(
                "a logout names the session: it matches access tokens that hold the session's id in `{}`, and none of \
                 the others unless it names the subject too; see `matched by` of `scopegate token inspect`",
                claim.as_str()
            ),
            (Some(true), None) => {
                "a logout names the session, and no `session_claim` is set: it matches no token \
                                   unless it names the subject too"
                    .to_owned()
            }
            _ => "a logout names the subject: it matches access tokens by `sub`".to_owned(),
        };
        facts.push(format!("{announced}; {matched}"));
    }
    if let Some(problem) = support.transmitter_problem {
        facts.push(format!("the keys of its security events cannot be fetched: {problem}"));
    }
    facts
}

impl Report {
    fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        for warning in &self.warnings {
            writeln!(out, "{}: {warning}\n", paint.warning("warning"))?;
        }
        for Found { kind, place, message, example } in &self.findings {
            writeln!(out, "{}: {message}", paint.warning(kind))?;
            writeln!(out, "  for example {example} {}\n", paint.faint(place))?;
        }
        if let Some(replay) = &self.replay {
            write_replay(out, paint, replay)?;
        }
        for provider in &self.providers {
            provider.write(out, paint)?;
        }
        if let Some(note) = &self.store {
            writeln!(out, "{}: {note}", paint.warning("store"))?;
        }
        for Ignored { source, ignored } in &self.ignored {
            writeln!(out, "{}: {source} is ignored: {ignored}", paint.warning("store"))?;
        }
        let verdict = if self.good { paint.good("good") } else { paint.bad("not good") };
        writeln!(
            out,
            "{verdict}: {}, {}, {}",
            many(self.providers.len(), "provider"),
            many(self.scopes, "scope"),
            many(self.routes, "route")
        )
    }
}

fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl ProviderReport {
    fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        let reached = match self.reached {
            Some(true) => paint.good("reached"),
            Some(false) => paint.bad("not reached"),
            None => String::new(),
        };
        let problem = self.problem.as_deref().unwrap_or_default();
        let place = self.place.as_ref().filter(|_| self.reached == Some(false));
        let place = place.map(|place| format!(" [{place}]")).unwrap_or_default();
        let line = format!(
            "provider {} ({}) {} {reached} {problem}{place}",
            self.name,
            self.kind,
            self.issuers.join(" ")
        );
        writeln!(out, "{}", line.trim_end())?;
        self.signals.iter().try_for_each(|fact| writeln!(out, "  signals: {fact}"))
    }
}
