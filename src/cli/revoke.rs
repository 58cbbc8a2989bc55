//! `scopegate revoke`: revokes tokens and blocks their holders, lists that and undoes it, in the store itself: for the day
//! when no admin token can be had. Changes are audited as the system's, and hold on every node within a second.

use clap::{Args, Subcommand};
use scopegate_provider::{BearerToken, Timestamp};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    connect,
    console::table,
    failure::{Failure, Task, Verdict},
    store::done,
    stored::open,
    token,
};
use crate::{
    api::withdraw,
    store::{Actor, NewRevocation, RecordId, Revocation, RevocationKey, Revocations, TokenHash},
};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Revoke {
    #[command(subcommand)]
    command: Option<Command>,
    /// The provider of the tokens; needed if there are several.
    #[arg(long)]
    provider: Option<String>,
    /// The reason, for the audit.
    #[arg(long)]
    reason: Option<String>,
    /// Block: also refuse tokens that are issued later, until `revoke undo`.
    #[arg(long)]
    block: bool,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the revocations and blocks in force, oldest first.
    List,
    /// Undo a revocation or lift a block.
    Undo(Undo),
}

#[derive(Debug, Args)]
struct Undo {
    /// The id, as `revoke list` prints it.
    id: String,
}

/// The tokens to revoke.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// This token; `-` reads it from standard input. It is not verified, and not stored.
    #[arg(long)]
    token: Option<String>,
    /// The token of this id (`jti`).
    #[arg(long)]
    token_id: Option<String>,
    /// The tokens of this session (`sid`).
    #[arg(long)]
    session: Option<String>,
    /// The tokens of this subject (`sub`).
    #[arg(long)]
    subject: Option<String>,
    /// The tokens that were issued to this client.
    #[arg(long)]
    client: Option<String>,
    /// The tokens with which this actor acts for others (`act.sub`).
    #[arg(long)]
    actor: Option<String>,
}

/// A revocation, to be printed.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    provider: String,
    kind: &'static str,
    value: String,
    until_lifted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams_cut: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    created_at: String,
}

/// The number of revocations that are read at once.
const PAGE: usize = 1000;

impl Revoke {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        match &self.command {
            Some(Command::List) => list(task).await,
            Some(Command::Undo(undo)) => undo.run(task).await,
            None => self.revoke(task).await,
        }
    }

    async fn revoke(&self, task: &Task) -> Result<Verdict, Failure> {
        let config = connect::config(task)?;
        let key = self.which.key()?;
        let store = open(&config).await?;
        let connected = connect::one(connect::choose(config.providers, self.provider.as_deref())?).await?;
        let provider = connected.name().clone();
        let record = if self.block {
            NewRevocation::block(provider, key, self.reason.clone())
        } else {
            let moment =
                store.revocation_moment(connected.provider().leeway()).await.map_err(Failure::store)?;
            NewRevocation {
                provider,
                key,
                issued_before: moment,
                expires_at: withdraw::end(&**connected.provider(), moment, store.now()),
                reason: self.reason.clone(),
            }
        };
        let advice = advice(&record);
        let made = store.revoke(&Actor::System, vec![record]).await.map_err(Failure::store)?;
        let ids: Vec<String> = made.iter().map(|revocation| revocation.id.to_string()).collect();
        let verb = if self.block { "blocked" } else { "revoked" };
        done(task, format!("{verb}, as {}{advice}", ids.join(", ")))
    }
}

/// Returns what a revocation does not do.
fn advice(record: &NewRevocation) -> String {
    if record.is_block() {
        return "; `scopegate revoke undo ID` lifts the block".to_owned();
    }
    if record.key.is_one_token() {
        return String::new();
    }
    format!(
        "; tokens issued before {} are refused, later ones are accepted: `--block` refuses them too",
        moment(record.issued_before)
    )
}

impl Which {
    fn key(&self) -> Result<RevocationKey, Failure> {
        if let Some(given) = &self.token {
            let token: BearerToken = token::read(given)?;
            return Ok(RevocationKey::TokenHash(TokenHash::of(&token)));
        }
        let parts = [
            ("token_id", &self.token_id),
            ("session", &self.session),
            ("subject", &self.subject),
            ("client", &self.client),
            ("actor", &self.actor),
        ];
        let given = parts.into_iter().find_map(|(kind, value)| Some((kind, value.as_ref()?)));
        let (kind, value) = given.ok_or_else(Failure::no_key)?;
        RevocationKey::from_parts(kind, value).ok_or_else(Failure::no_key)
    }
}

impl Failure {
    fn no_key() -> Self {
        let message = "expected a token, or a token's id, session, subject, client or actor";
        Self::Usage(message.to_owned())
    }
}

impl Undo {
    async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let store = open(&task.config()?).await?;
        let id = RecordId::from_text(&self.id);
        store.delete_revocation(&Actor::System, &id).await.map_err(Failure::store)?;
        done(task, format!("the revocation `{id}` is undone"))
    }
}

async fn list(task: &Task) -> Result<Verdict, Failure> {
    let store = open(&task.config()?).await?;
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = store.revocations(after.as_ref(), PAGE).await.map_err(Failure::store)?;
        after = page.items.last().map(|last| last.id.clone());
        listed.extend(page.items.into_iter().map(Listed::from));
        if !page.more || after.is_none() {
            break;
        }
    }
    task.console.show(&listed, |out, _| {
        let heads = ["ID", "PROVIDER", "KIND", "VALUE", "REFUSES", "REASON"].map(str::to_owned);
        let cells: Vec<_> = std::iter::once(heads).chain(listed.iter().map(Listed::cells)).collect();
        table(out, &cells)
    })?;
    Ok(Verdict::Yes)
}

impl From<Revocation> for Listed {
    fn from(found: Revocation) -> Self {
        let until_lifted = found.record.is_block();
        let record = found.record;
        Self {
            id: found.id.to_string(),
            provider: record.provider.to_string(),
            kind: record.key.kind(),
            value: record.key.value(),
            until_lifted,
            issued_before: (!until_lifted).then(|| moment(record.issued_before)),
            expires_at: (!until_lifted).then(|| moment(record.expires_at)),
            refused: until_lifted.then_some(found.refused),
            streams_cut: until_lifted.then_some(found.streams_cut),
            reason: record.reason,
            created_at: moment(found.created_at),
        }
    }
}

impl Listed {
    fn cells(&self) -> [String; 6] {
        let refuses = match (&self.issued_before, self.refused, self.streams_cut) {
            (Some(before), ..) => format!("issued before {before}"),
            (None, Some(refused), Some(cut)) => format!("all ({refused} requests, {cut} streams so far)"),
            (None, ..) => "all".to_owned(),
        };
        [
            self.id.clone(),
            self.provider.clone(),
            self.kind.to_owned(),
            self.value.clone(),
            refuses,
            self.reason.clone().unwrap_or_default(),
        ]
    }
}

/// Formats a moment for people and programs (RFC 3339).
fn moment(at: Timestamp) -> String {
    let seconds = OffsetDateTime::from_unix_timestamp(at.millis().div_euclid(1000));
    let text = seconds.ok().and_then(|moment| moment.format(&Rfc3339).ok());
    text.unwrap_or_else(|| at.millis().to_string())
}
