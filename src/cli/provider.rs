//! `scopegate provider`: lists providers, disables and enables them, distrusts and trusts their keys, in the store itself;
//! manages streams of security events.

mod signals;

use clap::{Args, Subcommand};
use scopegate_provider::HealthReport;
use serde::Serialize;

use self::signals::ManageStream;
use super::{
    connect,
    console::{Console, table},
    failure::{Failure, Task, Verdict},
    store::done,
    stored::{Stored, open},
};
use crate::{
    store::{Actor, ProviderStates, StateChange, Store},
    yaml::one_of,
};

#[derive(Debug, Subcommand)]
pub(super) enum Provider {
    /// List the providers with their states.
    List,
    /// Take no tokens of a provider any more.
    Disable(Named),
    /// Take its tokens again.
    Enable(Named),
    /// Distrust a key of a provider, even if the provider publishes it.
    Distrust(Distrust),
    /// Trust a key again.
    Trust(Key),
    /// Manage a provider's stream of security events at its transmitter.
    Signals(ManageStream),
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// The provider's name in the configuration.
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Key {
    /// The provider's name in the configuration.
    name: String,
    /// The key's id (`kid`).
    kid: String,
}

#[derive(Debug, Args)]
pub(super) struct Distrust {
    #[command(flatten)]
    key: Key,
    /// Distrust it even if the provider does not publish a key of this id.
    #[arg(long)]
    force: bool,
}

/// A provider, to be printed.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    kind: &'static str,
    issuers: Vec<String>,
    /// `None` if the store was not looked at.
    disabled: Option<bool>,
    distrusted: Vec<String>,
}

impl Provider {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        match self {
            Self::List => list(task).await,
            Self::Disable(named) => change(task, &named.name, StateChange::Disable, "is disabled").await,
            Self::Enable(named) => change(task, &named.name, StateChange::Enable, "is enabled").await,
            Self::Distrust(distrust) => distrust.run(task).await,
            Self::Trust(Key { name, kid }) => {
                let message = format!("has its key `{kid}` trusted");
                change(task, name, StateChange::Trust(kid.clone()), &message).await
            }
            Self::Signals(manage) => manage.run(task).await,
        }
    }
}

impl Distrust {
    async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let Key { name, kid } = &self.key;
        if !self.force {
            let config = connect::config(task)?;
            let connected = connect::one(connect::choose(config.providers, Some(name))?).await?;
            let report = connect::settled(connected.provider().as_ref()).await;
            check_key(name, kid, report.as_ref())?;
        }
        let message = format!("has its key `{kid}` distrusted");
        change(task, name, StateChange::Distrust(kid.clone()), &message).await
    }
}

/// Checks that the provider publishes a key of this id: a mistyped id would have no effect.
fn check_key(name: &str, kid: &str, report: Option<&HealthReport>) -> Result<(), Failure> {
    let issuers = report.map(|report| report.issuers.as_slice()).unwrap_or_default();
    let known: Vec<&str> =
        issuers.iter().flat_map(|issuer| &issuer.keys).filter_map(|key| key.id.as_deref()).collect();
    if known.contains(&kid) {
        return Ok(());
    }
    if !known.is_empty() {
        return Err(Failure::UnknownKey {
            name: name.to_owned(),
            kid: kid.to_owned(),
            known: one_of(&known),
        });
    }
    let problem = issuers.iter().find_map(|issuer| issuer.last_error.clone());
    let problem = problem.unwrap_or_else(|| "it publishes none with an id".to_owned());
    Err(Failure::NoKeys { name: name.to_owned(), problem })
}

async fn change(task: &Task, name: &str, change: StateChange, message: &str) -> Result<Verdict, Failure> {
    let config = task.config()?;
    let store = open(&config).await?;
    let provider = connect::choose(config.providers, Some(name))?.name().clone();
    store.change_provider(&Actor::System, &provider, change).await.map_err(Failure::store)?;
    done(task, format!("the provider `{provider}` {message}"))
}

async fn list(task: &Task) -> Result<Verdict, Failure> {
    let config = task.config()?;
    let stored = Stored::of(&config).await;
    let states = stored.store.as_ref().map(Store::providers);
    let mut listed = Vec::new();
    for provider in &config.providers {
        let state =
            states.as_ref().and_then(|states| states.iter().find(|it| it.provider == *provider.name()));
        listed.push(Listed {
            name: provider.name().to_string(),
            kind: provider.kind(),
            issuers: provider.outline().issuers.iter().map(ToString::to_string).collect(),
            disabled: states.as_ref().map(|_| state.is_some_and(|state| state.disabled)),
            distrusted: state.map(|state| state.distrusted.iter().cloned().collect()).unwrap_or_default(),
        });
    }
    Console::note(stored.note.as_deref());
    task.console.show(&listed, |out, _| {
        let heads = ["NAME", "KIND", "STATE", "DISTRUSTED KEYS", "ISSUERS"].map(str::to_owned);
        let cells: Vec<_> = std::iter::once(heads).chain(listed.iter().map(Listed::cells)).collect();
        table(out, &cells)
    })?;
    Ok(Verdict::Yes)
}

impl Listed {
    fn cells(&self) -> [String; 5] {
        let state = match self.disabled {
            Some(true) => "disabled",
            Some(false) => "enabled",
            None => "unknown",
        };
        [
            self.name.clone(),
            self.kind.to_owned(),
            state.to_owned(),
            self.distrusted.join(", "),
            self.issuers.join(" "),
        ]
    }
}
