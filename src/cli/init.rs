//! `scopegate init`: writes a first configuration.

use std::{
    fmt::Write as _,
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, ValueEnum};
use scopegate_oidc::{Discovery, Http};
use scopegate_provider::{
    BearerToken, Credentials, DEFAULT_MAX_TOKEN_LIFETIME, Freshness, Issuer, SystemClock,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    connect,
    failure::{Failure, Task, Verdict},
};
use crate::{
    authenticator::{Authenticator, NoRevocations, VerifiedTokens},
    config::{Config, ConfigSource},
};

#[derive(Debug, Args)]
pub(super) struct Init {
    /// The kind of the provider; guessed from the issuer if left out.
    #[arg(long, value_name = "KIND")]
    provider: Option<String>,
    /// The issuer, or the domain of the tenant.
    #[arg(long, value_name = "URL|DOMAIN")]
    issuer: Option<String>,
    /// The audience of the API.
    #[arg(long)]
    audience: Option<String>,
    /// A token as the API gets it, or `-` to read it from standard input. It is not stored.
    #[arg(long, value_name = "TOKEN")]
    from_token: Option<String>,
    /// The service that the requests are for.
    #[arg(long, value_enum)]
    behind: Option<Behind>,
    /// The URL of the API, with `--behind proxy`.
    #[arg(long, default_value = "http://127.0.0.1:9000")]
    upstream: String,
    /// The file to write; `-` prints it.
    #[arg(long, default_value = "scopegate.yaml")]
    output: PathBuf,
    /// Overwrite the file.
    #[arg(long)]
    force: bool,
}

/// The place of the gate.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Behind {
    /// The API is scopegate's own sample, or embeds the gate.
    Own,
    /// nginx asks about each request.
    Nginx,
    /// The gate is the reverse proxy before the API.
    Proxy,
}

/// The unverified parts of a sample token.
#[derive(Debug, Default)]
struct Sample {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

/// The outcome, for machines.
#[derive(Debug, Serialize)]
struct Written {
    file: String,
    configuration: String,
    /// The result of the sample token under the configuration.
    token: Option<String>,
    notes: Vec<String>,
}

impl Init {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let token = self.from_token.as_deref().map(super::token::read).transpose()?;
        let sample = token.as_ref().map(Sample::of).transpose()?.unwrap_or_default();
        let issuer = match (&self.issuer, sample.text("iss")) {
            (Some(given), _) => given.clone(),
            (None, Some(named)) => named.to_owned(),
            (None, None) => ask("The provider's issuer or domain", "--issuer")?,
        };
        let audience = match (&self.audience, sample.audience()) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(named)) => Some(named),
            (None, None) if token.is_some() => None,
            (None, None) => Some(ask("The audience of your API", "--audience")?),
        };
        let kind = self.provider.clone().unwrap_or_else(|| kind_of(&issuer).to_owned());
        let behind = self.behind()?;
        let settings = provider_settings(&kind, &issuer, audience.as_deref(), &sample)?;
        let mut notes = Vec::new();
        if kind == "oidc" {
            notes.extend(try_discovery(&issuer).await);
        }
        let text = self.configuration(behind, &kind, &settings, &sample);
        let source = ConfigSource::Text { name: "the new configuration".to_owned(), text: text.clone() };
        let config = task.loader.clone().without_environment().load(&source)?;
        let verdict = match token {
            Some(token) => Some(verify(config, token).await?),
            None => None,
        };
        let file = self.output.display().to_string();
        if file == "-" {
            write!(io::stdout().lock(), "{text}")?;
            return Ok(Verdict::Yes);
        }
        if self.output.exists() && !self.force {
            return Err(Failure::Usage(format!("`{file}` exists; write `--force` to replace it")));
        }
        std::fs::write(&self.output, &text)?;
        let written = Written { file, configuration: text, token: verdict, notes };
        task.console.show(&written, |out, _| written.write(out))?;
        Ok(Verdict::Yes)
    }

    /// Returns the place of the gate: as given, or as answered on a terminal.
    fn behind(&self) -> Result<Behind, Failure> {
        if self.behind.is_some() || self.from_token.is_some() || !io::stdin().is_terminal() {
            return Ok(self.behind.unwrap_or(Behind::Own));
        }
        let answer = ask("What the requests go to: own, nginx or proxy", "--behind")?;
        Behind::from_str(&answer, true).map_err(Failure::Usage)
    }

    /// Returns the configuration as commented YAML.
    fn configuration(
        &self,
        behind: Behind,
        kind: &str,
        settings: &Map<String, Value>,
        sample: &Sample,
    ) -> String {
        let mut text = String::from("# Written by `scopegate init`. Every key: config/scopegate.yaml\n");
        match behind {
            Behind::Own => text.push_str("server: { listen: 127.0.0.1:8080 }\n"),
            Behind::Nginx => text.push_str(
                "server: { listen: 127.0.0.1:8080, trusted_proxies: [127.0.0.1/32] }    # nginx on the same host\nforward_auth: { dialects: [nginx] }\n",
            ),
            Behind::Proxy => {
                let upstream = json!(self.upstream);
                let _ = writeln!(text, "server: {{ listen: 127.0.0.1:8080 }}\nupstreams: {{ api: {{ url: {upstream} }} }}");
            }
        }
        let _ = writeln!(text, "\nproviders:\n  {kind}:");
        for (key, value) in settings {
            let _ = writeln!(text, "    {key}: {value}{}", comment(key));
        }
        let scopes = sample.scopes();
        text.push_str("\n# The scopes that routes may require.\nscopes:");
        if scopes.is_empty() {
            text.push_str(" {}\n");
        } else {
            text.push('\n');
            for scope in &scopes {
                let _ = writeln!(text, "  {}: {}", json!(scope), json!(format!("The scope {scope}")));
            }
        }
        let rule = match scopes.first() {
            Some(scope) => format!("require: {}", json!(scope)),
            None => "allow: authenticated".to_owned(),
        };
        let (path, upstream) = match behind {
            Behind::Own => ("/items/**", ""),
            Behind::Nginx => ("/**", ""),
            // Paths that scopegate answers itself are not the upstream's.
            Behind::Proxy => ("/api/**", ", upstream: api"),
        };
        let _ = write!(
            text,
            "\n# Requests that no route matches are denied. The most specific pattern decides.\nroutes:\n  - {{ match: \"GET {path}\", {rule}{upstream} }}\n"
        );
        text
    }
}

impl Sample {
    fn of(token: &BearerToken) -> Result<Self, Failure> {
        let mut parts = token.reveal().split('.').map(|part| {
            let json = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice::<Map<String, Value>>(&json).ok()
        });
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(header), Some(claims)) => Ok(Self { header, claims }),
            _ => Err(Failure::Usage(
                "expected a JWT; an opaque token shows nothing of its provider".to_owned(),
            )),
        }
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }

    /// Returns the audience, of several the first that is not the provider's own.
    fn audience(&self) -> Option<String> {
        let audience = self.claims.get("aud")?;
        let mut all = audience.as_array().into_iter().flatten().filter_map(Value::as_str);
        let own = all.find(|name| !name.ends_with("/userinfo"));
        audience.as_str().or(own).map(str::to_owned)
    }

    /// Returns those of `claims` that the token has.
    fn present(&self, claims: &[&str]) -> Vec<String> {
        let has = claims.iter().filter(|claim| self.claims.contains_key(**claim));
        has.map(|claim| (*claim).to_owned()).collect()
    }

    /// Returns the claims with roles: those at the top, and those of realms and clients as Keycloak nests them.
    fn role_claims(&self) -> Vec<String> {
        let mut claims = self.present(&["roles", "groups", "permissions"]);
        if self.claims.get("realm_access").is_some_and(|realm| realm.get("roles").is_some()) {
            claims.push("/realm_access/roles".to_owned());
        }
        let clients = self.claims.get("resource_access").and_then(Value::as_object);
        let clients = clients.into_iter().flatten().filter(|(_, access)| access.get("roles").is_some());
        claims.extend(clients.map(|(client, _)| {
            format!("/resource_access/{}/roles", client.replace('~', "~0").replace('/', "~1"))
        }));
        claims
    }

    /// Returns the lifetime in whole days, if it is longer than tokens may live by default.
    fn long_lifetime(&self) -> Option<u64> {
        let issued_at = self.claims.get("iat").and_then(Value::as_u64)?;
        let expiry = self.claims.get("exp").and_then(Value::as_u64)?;
        let lifetime = Duration::from_secs(expiry.checked_sub(issued_at)?);
        (lifetime > DEFAULT_MAX_TOKEN_LIFETIME).then(|| lifetime.as_secs().div_ceil(86_400))
    }

    fn scopes(&self) -> Vec<String> {
        let value = self.claims.get("scope").or_else(|| self.claims.get("scp"));
        let texts = match value {
            Some(Value::String(text)) => text.split(' ').map(str::to_owned).collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        texts.into_iter().filter(|scope: &String| !scope.is_empty()).collect()
    }
}

/// Guesses the kind of a provider from its issuer.
fn kind_of(issuer: &str) -> &'static str {
    const SIGNS: [(&str, &str); 7] = [
        (".auth0.com", "auth0"),
        (".okta.com", "okta"),
        (".oktapreview.com", "okta"),
        ("login.microsoftonline.", "entra"),
        ("sts.windows.net", "entra"),
        ("/realms/", "keycloak"),
        ("cognito-idp.", "cognito"),
    ];
    SIGNS.iter().find(|(sign, _)| issuer.contains(sign)).map_or("oidc", |(_, kind)| kind)
}

/// Returns the settings of the provider. Those of the kind `oidc` follow the sample token.
fn provider_settings(
    kind: &str,
    issuer: &str,
    audience: Option<&str>,
    sample: &Sample,
) -> Result<Map<String, Value>, Failure> {
    let mut settings = Map::new();
    let mut set = |key: &str, value: Value| settings.insert(key.to_owned(), value);
    let is_domain = !issuer.contains("://");
    match kind {
        "auth0" if is_domain => set("domain", json!(issuer)),
        "okta" if is_domain => {
            set("domain", json!(issuer));
            set("authorization_server", json!("default"))
        }
        "oidc" if is_domain => set("issuer", json!(format!("https://{issuer}"))),
        _ => set("issuer", json!(issuer)),
    };
    if let Some(audience) = audience {
        set("audience", json!(audience));
    }
    let clients = sample.present(&["client_id", "azp", "cid", "appid"]);
    let client = clients.first().and_then(|claim| sample.text(claim));
    if audience.is_none() {
        let problem = "the token has no audience and no client; give `--audience`";
        let client = client.ok_or_else(|| Failure::Usage(problem.to_owned()))?;
        set(if kind == "cognito" { "app_clients" } else { "allowed_clients" }, json!([client]));
    }
    if kind != "oidc" || sample.header.is_empty() {
        return Ok(settings);
    }
    set("algorithms", json!([sample.header.get("alg")]));
    set("token_types", json!([sample.header.get("typ").cloned().unwrap_or_else(|| json!("none"))]));
    if !sample.present(&["nonce", "at_hash", "c_hash"]).is_empty() {
        set("token_use", json!("id"));
    }
    if !clients.is_empty() {
        set("client_claims", json!(clients));
    }
    let scopes = sample.present(&["scope", "scp"]);
    if !scopes.is_empty() {
        set("scope_claims", json!(scopes));
    }
    let roles = sample.role_claims();
    if !roles.is_empty() {
        set("role_claims", json!(roles));
    }
    if let Some(days) = sample.long_lifetime() {
        set("max_token_lifetime", json!(format!("{days}d")));
    }
    Ok(settings)
}

/// Returns the comment on a setting.
fn comment(key: &str) -> &'static str {
    match key {
        "issuer" => "    # byte for byte as in `iss` of the tokens",
        "audience" => "    # tokens for other APIs are refused",
        "allowed_clients" | "app_clients" => "    # the tokens carry no audience: their clients are pinned",
        "algorithms" => "    # never taken from the token",
        "max_token_lifetime" => "    # tokens of the provider live longer than the default of 31d",
        "role_claims" => "    # the claims whose values rules call roles",
        "token_use" => "    # the sample is an ID token; prefer access tokens where the provider issues them",
        _ => "",
    }
}

/// Tries the issuer's metadata. Returns a note if that fails.
async fn try_discovery(issuer: &str) -> Option<String> {
    let problem = match Issuer::parse(issuer) {
        Ok(issuer) => match Discovery::new(issuer, None) {
            Ok(discovery) => discovery.fetch(&Http::default()).await.err()?.to_string(),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    Some(format!("discovery: {problem}; set `jwks_uri` if the keys are elsewhere"))
}

/// Returns what the configuration makes of the sample token.
async fn verify(config: Config, token: BearerToken) -> Result<String, Failure> {
    let mut connected = Vec::new();
    for provider in config.providers {
        let provider = connect::one(provider).await?;
        connect::settled(provider.provider().as_ref()).await;
        connected.push(provider);
    }
    let clock = Arc::new(SystemClock::new());
    let authenticator = Authenticator::new(connected, VerifiedTokens::new(1), Arc::new(NoRevocations), clock);
    let authenticator = authenticator.map_err(Failure::other)?;
    let authenticated = authenticator.authenticate(&Credentials::bearer(token), Freshness::Cached).await;
    Ok(match authenticated {
        Ok(_) => "accepted".to_owned(),
        Err(error) => format!("{}: {error}", error.reason()),
    })
}

/// Asks on the terminal. Without one the flag is required.
fn ask(question: &str, flag: &str) -> Result<String, Failure> {
    let mut line = String::new();
    if io::stdin().is_terminal() {
        write!(io::stderr(), "{question}: ")?;
        io::stdin().lock().read_line(&mut line)?;
    }
    match line.trim() {
        "" => Err(Failure::Usage(format!("{question} is missing; give `{flag}` or `--from-token`"))),
        answer => Ok(answer.to_owned()),
    }
}

impl Written {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "wrote {}", self.file)?;
        if let Some(token) = &self.token {
            writeln!(out, "the sample token: {token}")?;
        }
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        writeln!(out, "\nNext:")?;
        writeln!(out, "  scopegate --config {} check --online", self.file)?;
        writeln!(out, "  scopegate --config {} explain GET http://localhost:8080/ --token TOKEN", self.file)?;
        writeln!(out, "  scopegate --config {} serve", self.file)
    }
}

#[cfg(test)]
mod tests {
    use scopegate_testkit::MintKey;

    use super::*;
    use crate::config::Loader;

    fn sample(claims: &Value) -> Sample {
        Sample::of(&BearerToken::parse(&MintKey::es256("k1").token(claims)).unwrap()).unwrap()
    }

    fn init() -> Init {
        Init {
            provider: None,
            issuer: None,
            audience: None,
            from_token: None,
            behind: None,
            upstream: "http://127.0.0.1:9000".to_owned(),
            output: PathBuf::from("-"),
            force: false,
        }
    }

    /// Each configuration that is written loads, whatever the kind and the place of the gate.
    #[test]
    fn every_configuration_that_is_written_loads() {
        let issuers = [
            ("https://acme.eu.auth0.com/", "auth0"),
            ("https://acme.okta.com/oauth2/default", "okta"),
            ("https://login.microsoftonline.com/3f0c1a52-7e7b-4f1e-9a55-0d2b6c8e1f90/v2.0", "entra"),
            ("https://sso.acme.example/realms/acme", "keycloak"),
            ("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AcmePool1", "cognito"),
            ("https://id.acme.example", "oidc"),
        ];
        for (issuer, kind) in issuers {
            assert_eq!(kind_of(issuer), kind);
            let sample = sample(&json!({ "iss": issuer, "aud": "items-api", "scope": "items items:write" }));
            let settings = provider_settings(kind, issuer, Some("items-api"), &sample).unwrap();
            for behind in [Behind::Own, Behind::Nginx, Behind::Proxy] {
                let text = init().configuration(behind, kind, &settings, &sample);
                let source = ConfigSource::Text { name: "new.yaml".to_owned(), text: text.clone() };
                let loaded = Loader::new().without_environment().load(&source);
                assert!(loaded.is_ok(), "{text}\n{}", loaded.err().unwrap());
            }
        }
    }

    #[test]
    fn the_settings_follow_the_sample_token() {
        let sample =
            sample(&json!({ "iss": "https://id.example", "azp": "web", "scp": ["a"], "groups": [] }));
        let settings = provider_settings("oidc", "https://id.example", None, &sample).unwrap();
        assert_eq!(settings["allowed_clients"], json!(["web"]));
        assert_eq!(settings["algorithms"], json!(["ES256"]));
        assert_eq!(settings["token_types"], json!(["JWT"]));
        assert_eq!(settings["scope_claims"], json!(["scp"]));
        assert_eq!(settings["role_claims"], json!(["groups"]));
        assert_eq!(settings.get("max_token_lifetime"), None);
    }

    #[test]
    fn nested_roles_and_long_lives_are_taken_over() {
        let sample = sample(&json!({
            "iss": "https://id.example", "aud": "api", "iat": 0, "exp": 3_456_000 + 1,
            "realm_access": { "roles": ["a"] }, "resource_access": { "a/b": { "roles": ["c"] }, "d": {} },
        }));
        let settings = provider_settings("oidc", "https://id.example", Some("api"), &sample).unwrap();
        assert_eq!(settings["role_claims"], json!(["/realm_access/roles", "/resource_access/a~1b/roles"]));
        assert_eq!(settings["max_token_lifetime"], json!("41d"));
    }

    #[test]
    fn an_opaque_token_shows_nothing_of_its_provider() {
        let refused = Sample::of(&BearerToken::parse("opaque").unwrap()).unwrap_err();
        assert!(refused.is_wrong_use(), "{refused}");
    }
}
