//! `scopegate migrate`, `revoke` and `provider`: act on the store itself, for the day when no admin token can be had. What
//! they change is audited as the system's, and holds on every node within a second.

use std::{sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use scopegate_provider::{BearerToken, Clock, ProviderName, SystemClock};
use serde::Serialize;

use super::{
    connect,
    failure::{Failure, Task, Verdict},
    token,
};
use crate::{
    config::Config,
    store::{
        Actor, NewRevocation, ProviderStates, RevocationKey, Revocations, StateChange, Store, StoreSettings,
        StoreUrl, TokenHash,
    },
};

/// The most that clocks may differ: a token is taken that long after its end.
const LEEWAY: Duration = Duration::from_mins(5);

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The provider of the tokens; needed where there are several.
    #[arg(long)]
    provider: Option<String>,
    /// Why, for the audit.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// Which tokens.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// This token; `-` reads it from standard input. It is not verified, and not kept.
    #[arg(long)]
    token: Option<String>,
    /// The token of this id (`jti`).
    #[arg(long)]
    token_id: Option<String>,
    /// The tokens of this session (`sid`).
    #[arg(long)]
    session: Option<String>,
    /// The tokens that speak for this subject (`sub`).
    #[arg(long)]
    subject: Option<String>,
    /// The tokens that were issued to this client.
    #[arg(long)]
    client: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Provider {
    /// Take no tokens of a provider any more.
    Disable(Named),
    /// Take its tokens again.
    Enable(Named),
    /// Distrust a key of a provider, whatever it publishes.
    Distrust(Key),
    /// Trust a key again.
    Trust(Key),
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

#[derive(Debug, Serialize)]
struct Done {
    good: bool,
    message: String,
}

pub(super) async fn migrate(task: &Task) -> Result<Verdict, Failure> {
    let mut settings = durable(&task.config()?)?;
    settings.migrate = true;
    Store::open(Some(&settings), Arc::new(SystemClock::new())).await.map_err(Failure::other)?;
    done(task, format!("{} has every migration", settings.url))
}

impl Revoke {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let config = connect::config(task)?;
        let store = open(&config).await?;
        let connected = connect::one(connect::choose(config.providers, self.provider.as_deref())?).await?;
        let now = SystemClock::new().now();
        let record = NewRevocation {
            provider: connected.name().clone(),
            key: self.which.key()?,
            issued_before: now,
            // Kept as long as a token that it matches can be valid.
            expires_at: now + connected.provider().max_token_lifetime() + LEEWAY,
            reason: self.reason.clone(),
        };
        let made = store.revoke(&Actor::System, vec![record]).await.map_err(Failure::other)?;
        let ids: Vec<String> = made.iter().map(|revocation| revocation.id.to_string()).collect();
        done(task, format!("revoked, as {}", ids.join(", ")))
    }
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
        ];
        let given = parts.into_iter().find_map(|(kind, value)| Some((kind, value.as_ref()?)));
        let wrong =
            || Failure::Usage("expected a token, or a token's id, session, subject or client".to_owned());
        let (kind, value) = given.ok_or_else(wrong)?;
        RevocationKey::from_parts(kind, value).ok_or_else(wrong)
    }
}

impl Provider {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let (name, change, told) = match self {
            Self::Disable(named) => (&named.name, StateChange::Disable, "is disabled".to_owned()),
            Self::Enable(named) => (&named.name, StateChange::Enable, "is enabled".to_owned()),
            Self::Distrust(key) => (
                &key.name,
                StateChange::Distrust(key.kid.clone()),
                format!("has its key `{}` distrusted", key.kid),
            ),
            Self::Trust(key) => {
                (&key.name, StateChange::Trust(key.kid.clone()), format!("has its key `{}` trusted", key.kid))
            }
        };
        let config = task.config()?;
        let store = open(&config).await?;
        let provider: ProviderName = connect::choose(config.providers, Some(name))?.name().clone();
        store.change_provider(&Actor::System, &provider, change).await.map_err(Failure::other)?;
        done(task, format!("the provider `{provider}` {told}"))
    }
}

pub(super) fn done(task: &Task, message: String) -> Result<Verdict, Failure> {
    let done = Done { good: true, message };
    task.console.show(&done, |out, _| writeln!(out, "{}", done.message))?;
    Ok(Verdict::Yes)
}

pub(super) async fn open(config: &Config) -> Result<Store, Failure> {
    let settings = durable(config)?;
    Store::open(Some(&settings), Arc::new(SystemClock::new())).await.map_err(Failure::other)
}

/// A store that other processes see.
fn durable(config: &Config) -> Result<StoreSettings, Failure> {
    let settings = config.store.clone().filter(|settings| settings.url != StoreUrl::Memory);
    let message = "this acts on a store that lasts: expected `store.url` with `sqlite://…` or `postgres://…`";
    settings.ok_or_else(|| Failure::Usage(message.to_owned()))
}
