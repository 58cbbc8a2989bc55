//! `scopegate issuer`: the embedded issuer alone, for testing other software.

use std::{
    io::{self, Write},
    sync::Arc,
};

use clap::Args;
use scopegate_dev::{ClientSettings, Emulate, IssuerSettings, LoopbackAddress, Running};
use scopegate_provider::{Audience, ClientId, Scope, Secret, SystemClock};
use serde::Serialize;

use super::failure::{Failure, Task, Verdict};

#[derive(Debug, Args)]
pub(super) struct Issuer {
    /// The provider whose paths, token shapes and errors are emulated.
    #[arg(long, value_parser = parse_emulate, value_name = "auth0|okta|entra|keycloak|cognito")]
    emulate: Option<Emulate>,
    /// The id of Okta's authorization server, or `org` for the organisation's own; with `--emulate okta`.
    #[arg(long, value_name = "ID")]
    authorization_server: Option<String>,
    /// The address to listen on: loopback only; port 0 takes a free one.
    #[arg(long, value_parser = LoopbackAddress::parse, default_value = "127.0.0.1:9400")]
    listen: LoopbackAddress,
    /// The API that tokens are for; may be repeated.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    audience: Vec<Audience>,
    /// A client as ID:SECRET[:SCOPE,SCOPE]; may be repeated. These are secrets for tests: others can see them.
    #[arg(long, value_parser = parse_client, default_value = "demo:demo-secret:items,items:write")]
    client: Vec<ClientSettings>,
}

fn parse_emulate(text: &str) -> Result<Emulate, String> {
    match text {
        "auth0" => Ok(Emulate::Auth0),
        "okta" => Ok(Emulate::Okta),
        "entra" => Ok(Emulate::Entra),
        "keycloak" => Ok(Emulate::Keycloak),
        "cognito" => Ok(Emulate::Cognito),
        _ => Err("expected `auth0`, `okta`, `entra`, `keycloak` or `cognito`".to_owned()),
    }
}

fn parse_client(text: &str) -> Result<ClientSettings, String> {
    let mut parts = text.splitn(3, ':');
    let (Some(id), Some(secret)) = (parts.next(), parts.next().filter(|secret| !secret.is_empty())) else {
        return Err("expected ID:SECRET or ID:SECRET:SCOPE,SCOPE".to_owned());
    };
    let id = ClientId::parse(id).map_err(|error| error.to_string())?;
    let names = parts.next().unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let scopes: Vec<Scope> =
        names.map(Scope::parse).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    Ok(ClientSettings::new(id, Secret::new(secret), scopes))
}

#[derive(Debug, Serialize)]
struct Started {
    issuer: String,
    discovery: String,
    keys: String,
    token: String,
    introspection: Option<String>,
    revocation: String,
    overview: String,
}

impl Issuer {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let mut settings = IssuerSettings::new(self.audience.clone(), self.client.clone());
        settings.listen = self.listen;
        settings.emulate = self.emulate;
        settings.authorization_server.clone_from(&self.authorization_server);
        let running = settings.start(Arc::new(SystemClock::new())).await.map_err(Failure::other)?;
        let started = Started::new(&running);
        task.console.show(&started, |out, _| self.write(&started, out))?;
        tokio::signal::ctrl_c().await?;
        Ok(Verdict::Yes)
    }

    fn write(&self, started: &Started, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "issuer         {}", started.issuer)?;
        writeln!(out, "discovery      {}", started.discovery)?;
        writeln!(out, "keys           {}", started.keys)?;
        writeln!(out, "token          {}", started.token)?;
        if let Some(introspection) = &started.introspection {
            writeln!(out, "introspection  {introspection}")?;
        }
        writeln!(out, "revocation     {}", started.revocation)?;
        let Some(client) = self.client.first() else { return Ok(()) };
        // Auth0's token is opaque without an audience, Okta's server wants a scope.
        let asked = match (self.emulate, self.audience.first(), client.scopes.first()) {
            (Some(Emulate::Auth0), Some(audience), _) => format!(" -d audience={audience}"),
            (Some(Emulate::Okta), _, Some(scope)) => format!(" -d scope={scope}"),
            (Some(Emulate::Entra), Some(audience), _) => format!(" -d scope={audience}/.default"),
            _ => String::new(),
        };
        let Started { token, .. } = started;
        let id = &client.id;
        writeln!(out, "\nA first token (with the secret of `{id}`):\n")?;
        writeln!(out, "  curl -s {token} -u {id}:SECRET -d grant_type=client_credentials{asked}\n")?;
        writeln!(out, "More, such as rotating keys and broken tokens: {}\n", started.overview)?;
        writeln!(out, "ready; end it with Ctrl-C")
    }
}

impl Started {
    fn new(running: &Running) -> Self {
        Self {
            issuer: running.issuer().to_string(),
            discovery: running.discovery_url(),
            keys: running.jwks_url(),
            token: running.token_url(),
            introspection: running.introspection_url(),
            revocation: running.revocation_url(),
            overview: running.overview_url(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_an_id_a_secret_and_scopes_that_may_hold_colons() {
        let client = parse_client("demo:s:items,items:write").unwrap();
        assert_eq!((client.id.as_str(), client.secret.reveal(), client.scopes.len()), ("demo", "s", 2));
    }

    #[test]
    fn a_client_without_a_secret_is_refused() {
        for text in ["demo", "demo:"] {
            let refused = parse_client(text).err();
            assert_eq!(refused.as_deref(), Some("expected ID:SECRET or ID:SECRET:SCOPE,SCOPE"));
        }
    }
}
