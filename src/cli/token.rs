//! `scopegate token`: requests a token; takes one apart.

mod inspect;

use std::io::{self, Read};

use clap::{Args, Subcommand};
use scopegate_provider::{BearerToken, ClientCredentials, ClientId, Scope, Secret, TokenRequest};
use serde::Serialize;

use self::inspect::Inspect;
use super::{
    connect,
    failure::{Failure, Task, Verdict},
};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Request a token from a provider with the client-credentials grant, and print it.
    Get(Get),
    /// Take a token apart and verify it: everything that a rule or a revocation could use, what is unusual, and what is wrong.
    Inspect(Inspect),
}

#[derive(Debug, Args)]
pub(super) struct Get {
    /// The provider; needed where there are several.
    #[arg(long)]
    provider: Option<String>,
    /// The scopes to request; those of the settings by default.
    #[arg(long, num_args = 1..)]
    scope: Vec<Scope>,
    /// The client; the one of the settings unless given. Its secret is read from `$SCOPEGATE_CLIENT_SECRET`.
    #[arg(long)]
    client: Option<ClientId>,
}

impl Token {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        match self {
            Self::Get(get) => get.run(task).await,
            Self::Inspect(inspect) => inspect.run(task).await,
        }
    }
}

/// Returns the token that was given, or that standard input holds.
pub(super) fn read(given: &str) -> Result<BearerToken, Failure> {
    let mut text = given.to_owned();
    if given == "-" {
        text.clear();
        io::stdin().lock().take(1 << 20).read_to_string(&mut text)?;
    }
    BearerToken::parse(text.trim()).map_err(|error| Failure::Usage(error.to_string()))
}

#[derive(Debug, Serialize)]
struct Got {
    access_token: String,
    token_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl Get {
    async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let config = connect::config(task)?;
        let chosen = connect::choose(config.providers, self.provider.as_deref())?;
        let connected = connect::one(chosen).await?;
        let asked = connected
            .provider()
            .request_token()
            .ok_or_else(|| Failure::NoTokens { name: connected.name().to_string() })?;
        let scopes = (!self.scope.is_empty()).then(|| self.scope.iter().cloned().collect());
        let response = asked
            .request_token(TokenRequest { client: self.client()?, scopes, ..TokenRequest::default() })
            .await?;
        let got = Got {
            access_token: response.access_token.reveal().to_owned(),
            token_type: response.token_type,
            expires_in: response.expires_in.map(|duration| duration.as_secs()),
            scope: response.scope,
        };
        // What was asked for is printed: alone, so that it can be put into a variable.
        task.console.show(&got, |out, _| writeln!(out, "{}", got.access_token))?;
        Ok(Verdict::Yes)
    }

    fn client(&self) -> Result<Option<ClientCredentials>, Failure> {
        let Some(id) = self.client.clone() else { return Ok(None) };
        let secret = std::env::var("SCOPEGATE_CLIENT_SECRET");
        let missing =
            |_| Failure::Usage("put the secret of `--client` into $SCOPEGATE_CLIENT_SECRET".to_owned());
        Ok(Some(ClientCredentials { id, secret: Secret::new(secret.map_err(missing)?) }))
    }
}
