//! `scopegate check`: says what is wrong with a configuration, without starting anything.

use std::io::{self, Write};

use clap::Args;
use scopegate_provider::Signals;
use serde::Serialize;

use super::{
    connect,
    console::Paint,
    failure::{Failure, Task, Verdict},
    stored::{Ignored, Stored},
};
use crate::config::{Config, Warning};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Also reach every provider, for its discovery document and its keys, and the store, which must be there then.
    #[arg(long)]
    online: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    good: bool,
    providers: Vec<ProviderReport>,
    scopes: usize,
    routes: usize,
    warnings: Vec<Warning>,
    /// The reason why a configured store was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    /// The stored entries that are ignored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<Ignored>,
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
        let report = self.report(task, &mut config).await;
        task.console.show(&report, |out, paint| report.write(out, paint))?;
        Ok(report.good.into())
    }

    async fn report(&self, task: &Task, config: &mut Config) -> Report {
        let stored = Stored::of(config).await;
        let effective = stored.effective(config);
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
                && (!self.online || !stored.is_away)
                && providers.iter().all(|provider| provider.reached != Some(false)),
            providers,
            scopes: effective.policy.scopes().len(),
            routes: effective.policy.routes().len(),
            warnings: std::mem::take(&mut config.warnings),
            store: stored.note,
            ignored: effective.ignored,
        }
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
    if !signals.takes_logout_tokens() && !signals.takes_security_events() {
        return facts;
    }
    let support = match signals.support().await {
        Ok(support) => support,
        Err(outage) => return vec![format!("its metadata cannot be had: {outage}")],
    };
    if signals.takes_logout_tokens() {
        let announced = match support.backchannel_logout {
            Some(true) => "it announces back-channel logout",
            Some(false) | None => "it does not announce back-channel logout (`backchannel_logout_supported`)",
        };
        let matched = match (support.backchannel_logout_session, &support.session_claim) {
            (Some(true), Some(claim)) => format!(
                "a logout names the session: it matches access tokens that hold the session's id in `{}`; see \
                 `revocable by` of `scopegate token inspect`",
                claim.as_str()
            ),
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
            self.counted(),
            many(self.scopes, "scope"),
            many(self.routes, "route")
        )
    }

    fn counted(&self) -> String {
        many(self.providers.len(), "provider")
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
