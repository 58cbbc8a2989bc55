//! `scopegate token`: asks for a token; takes one apart and says what is wrong with it.

use std::io::{self, Read, Write};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use scopegate_provider::{
    BearerToken, ClientCredentials, ClientId, Credentials, Freshness, Principal, Scope, Secret, TokenRequest,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    connect,
    console::{Console, Paint},
    failure::{Failure, Task, Verdict},
    stored::Stored,
};
use crate::{config::Config, store::RevocationKey};

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Ask a provider for a token with the client-credentials grant, and print it.
    Get(Get),
    /// Take a token apart and verify it, saying what is wrong.
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

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The token; `-` reads it from standard input.
    #[arg(default_value = "-")]
    token: String,
}

impl Token {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        match self {
            Self::Get(get) => get.run(task).await,
            Self::Inspect(inspect) => inspect.run(task).await,
        }
    }
}

/// The token that was given, or that standard input holds.
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

#[derive(Debug, Serialize)]
struct Inspected {
    header: Option<Value>,
    claims: Option<Value>,
    good: bool,
    provider: Option<String>,
    reason: Option<String>,
    message: String,
    /// The properties by which a revocation can match the token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revocable_by: Vec<String>,
    /// The reason why a configured store was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
}

impl Inspect {
    async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let token = read(&self.token)?;
        let config = connect::config(task)?;
        let stored = Stored::of(&config).await;
        let inspected = inspect(token, config, &stored).await?;
        Console::note(stored.note.as_deref());
        task.console.show(&inspected, |out, paint| inspected.write(out, paint))?;
        Ok(inspected.good.into())
    }
}

async fn inspect(token: BearerToken, config: Config, stored: &Stored) -> Result<Inspected, Failure> {
    let header = part(&token, 0);
    let claims = part(&token, 1);
    let authenticator = connect::authenticator(config.providers, stored).await?;
    let credentials = Credentials::bearer(token);
    let provider = authenticator.provider_of(&credentials).ok();
    if let Some(connected) = provider {
        connect::settled(connected.provider().as_ref()).await;
    }
    let provider = provider.map(|connected| connected.name().to_string());
    let store = stored.note.clone();
    Ok(match authenticator.authenticate(&credentials, Freshness::Cached).await {
        Ok(principal) => Inspected {
            header,
            claims,
            good: true,
            provider,
            reason: None,
            message: format!("good; it gives the scopes `{}`", principal.scopes()),
            revocable_by: revocable_by(&principal),
            store,
        },
        Err(error) => Inspected {
            header,
            claims,
            good: false,
            provider,
            reason: Some(error.reason().to_owned()),
            message: error.to_string(),
            revocable_by: Vec::new(),
            store,
        },
    })
}

/// Returns the properties by which a revocation can match the token.
fn revocable_by(principal: &Principal) -> Vec<String> {
    let keys = RevocationKey::of_principal(principal);
    keys.iter().map(|key| format!("{} {}", key.kind(), key.value())).collect()
}

/// A part of a JWT, unverified.
fn part(token: &BearerToken, index: usize) -> Option<Value> {
    let part = token.reveal().split('.').nth(index)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

impl Inspected {
    fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        for (name, part) in [("header", &self.header), ("claims", &self.claims)] {
            match part {
                Some(part) => writeln!(out, "{name}\n{part:#}")?,
                None => writeln!(out, "{name}    not readable: not a JWT")?,
            }
        }
        writeln!(out, "provider  {}", self.provider.as_deref().unwrap_or("none"))?;
        let verdict = if self.good { paint.good("good") } else { paint.bad("bad") };
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        if !self.revocable_by.is_empty() {
            writeln!(out, "revocable by  {}", self.revocable_by.join(", "))?;
        }
        writeln!(out, "verdict   {verdict}{reason}: {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_jwt_are_shown_and_of_an_opaque_token_none() {
        let token = BearerToken::parse("eyJhIjoxfQ.eyJiIjoyfQ.c2ln").unwrap();
        assert_eq!(part(&token, 1), Some(serde_json::json!({ "b": 2 })));
        assert_eq!(part(&BearerToken::parse("opaque").unwrap(), 0), None);
    }
}
