//! `scopegate migrate` and `scopegate store`: backup, restore, moving to another database, and signing keys.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use scopegate_provider::SystemClock;
use serde::Serialize;

use super::{
    console::table,
    failure::{Failure, Task, Verdict},
    stored::{durable, open},
};
use crate::store::{self, SigningKeys, Store as Opened, StoreSettings, StoreUrl, TransferError, Transferred};

#[derive(Debug, Subcommand)]
pub(super) enum Store {
    /// Write everything that the store holds to a new file, while nodes may be running.
    Backup(File),
    /// Replace everything that the store holds by a backup. Running nodes notice.
    Restore(File),
    /// Copy everything that the store holds to another store, such as from SQLite to PostgreSQL.
    Copy(Copy),
    /// List and remove the keys that tokens for services are signed with.
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Debug, Args)]
pub(super) struct File {
    /// The file of the backup.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Copy {
    /// The other store: `postgres://…` or `sqlite://PATH`. A URL with a password is better given as `$SCOPEGATE_COPY_TO`.
    #[arg(long, env = "SCOPEGATE_COPY_TO", hide_env_values = true)]
    to: String,
    /// Replace what the other store holds.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// List the keys.
    List,
    /// Remove keys, such as those that were sealed with a secret that is lost.
    Remove {
        /// The numbers of the keys, as `store keys list` prints them.
        #[arg(required = true)]
        numbers: Vec<i64>,
    },
}

#[derive(Debug, Serialize)]
struct Done {
    good: bool,
    message: String,
}

/// The result of a copy.
#[derive(Debug, Serialize)]
struct Copied {
    good: bool,
    message: String,
    rows: serde_json::Map<String, serde_json::Value>,
}

/// A signing key, to be printed: without the key itself.
#[derive(Debug, Serialize)]
struct Listed {
    number: i64,
    active_from: i64,
    sealed: bool,
}

pub(super) async fn migrate(task: &Task) -> Result<Verdict, Failure> {
    let settings = StoreSettings { migrate: true, ..durable(&task.config()?)? };
    Opened::open_now(&settings, Arc::new(SystemClock::new())).await.map_err(Failure::other)?;
    done(task, format!("{} has every migration", settings.url))
}

impl Store {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        if let Self::Keys(keys) = self {
            return keys.run(task).await;
        }
        let settings = durable(&task.config()?)?;
        let (outcome, message) = match self {
            Self::Backup(File { file }) => (
                store::backup(&settings, file).await,
                format!("{} is backed up to {}", settings.url, file.display()),
            ),
            Self::Restore(File { file }) => (
                store::restore(&settings, file).await,
                format!("{} is restored from {}", settings.url, file.display()),
            ),
            Self::Copy(copy) => {
                let target = copy.target()?;
                let message = format!("{} is copied to {}", settings.url, target.url);
                (store::copy(&settings, &target, copy.force).await, message)
            }
            Self::Keys(_) => return Ok(Verdict::Yes),
        };
        show(task, outcome, message)
    }
}

impl Copy {
    fn target(&self) -> Result<StoreSettings, Failure> {
        let url: StoreUrl = self.to.parse().map_err(|error| Failure::Usage(format!("--to: {error}")))?;
        Ok(StoreSettings::new(url))
    }
}

fn show(
    task: &Task,
    outcome: Result<Transferred, TransferError>,
    message: String,
) -> Result<Verdict, Failure> {
    let transferred = outcome.map_err(Failure::other)?;
    let rows = transferred.iter().map(|(table, rows)| ((*table).to_owned(), (*rows).into())).collect();
    let copied = Copied { good: true, message, rows };
    task.console.show(&copied, |out, _| {
        writeln!(out, "{}", copied.message)?;
        for (table, rows) in &transferred {
            writeln!(out, "  {table}: {rows}")?;
        }
        Ok(())
    })?;
    Ok(Verdict::Yes)
}

impl Keys {
    async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let store = open(&task.config()?).await?;
        match self {
            Self::List => list_keys(task, &store).await,
            Self::Remove { numbers } => {
                for number in numbers {
                    store.remove_signing_key(*number).await.map_err(Failure::store)?;
                }
                let numbers = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
                done(
                    task,
                    format!("removed the signing keys {numbers}; nodes make a new one within a minute"),
                )
            }
        }
    }
}

async fn list_keys(task: &Task, store: &Opened) -> Result<Verdict, Failure> {
    let keys = store.signing_keys().await.map_err(Failure::store)?;
    let listed: Vec<Listed> = keys
        .iter()
        .map(|key| Listed {
            number: key.number,
            active_from: key.active_from.millis(),
            sealed: key.private_key.reveal().starts_with("sealed:"),
        })
        .collect();
    task.console.show(&listed, |out, _| {
        let heads = ["NUMBER", "SEALED"].map(str::to_owned);
        let rows = listed.iter().map(|key| {
            let sealed = if key.sealed { "yes" } else { "no" };
            [key.number.to_string(), sealed.to_owned()]
        });
        table(out, &std::iter::once(heads).chain(rows).collect::<Vec<_>>())
    })?;
    Ok(Verdict::Yes)
}

/// Prints that something was done.
pub(super) fn done(task: &Task, message: String) -> Result<Verdict, Failure> {
    let done = Done { good: true, message };
    task.console.show(&done, |out, _| writeln!(out, "{}", done.message))?;
    Ok(Verdict::Yes)
}
