//! `scopegate token inspect`: takes a token apart and verifies it.

use std::{
    io::{self, Write},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use scopegate_provider::{
    Actor, BearerToken, ClaimPath, Clock, Credentials, Freshness, Principal, SystemClock, Timestamp,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    super::{
        connect,
        console::{Console, Paint},
        failure::{Failure, Task, Verdict},
        stored::Stored,
    },
    read,
};
use crate::{config::Config, store::RevocationKey};

#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The token; `-` reads it from standard input.
    #[arg(default_value = "-")]
    token: String,
}

/// A token, taken apart.
#[derive(Debug, Serialize)]
struct Inspected {
    header: Option<Value>,
    claims: Option<Value>,
    good: bool,
    provider: Option<String>,
    reason: Option<String>,
    message: String,
    /// The facts that rules can use, of a token that was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<TokenFacts>,
    /// The properties by which a revocation, a logout or a security event can match the token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revocable_by: Vec<String>,
    /// Properties that most tokens do not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unusual: Vec<String>,
    /// The reason why a configured store was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
}

/// The facts of a verified token that rules can use.
#[derive(Debug, Serialize)]
struct TokenFacts {
    issuer: String,
    subject: Option<String>,
    client: Option<String>,
    actor: Option<String>,
    audience: Vec<String>,
    scopes: Vec<String>,
    roles: Vec<String>,
    groups: Vec<String>,
    acr: Option<String>,
    authorization_details: Vec<String>,
    bound_to: Vec<&'static str>,
    signed_in: Option<String>,
    issued: Option<String>,
    expires: String,
}

/// A lifetime above which an access token counts as unusual: revocations and changed scopes take that long to matter
/// where no signal tells of them.
const LONG: Duration = Duration::from_hours(24);

/// A size above which proxies may refuse a header: nginx takes 8 KB by default.
const LARGE: usize = 7 * 1024;

impl Inspect {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
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
    let size = token.reveal().len();
    let credentials = Credentials::bearer(token);
    let provider = authenticator.provider_of(&credentials).ok();
    if let Some(connected) = provider {
        connect::settled(connected.provider().as_ref()).await;
    }
    let provider = provider.map(|connected| connected.name().to_string());
    let authenticated = authenticator.authenticate(&credentials, Freshness::Cached).await;
    let now = SystemClock::new().now();
    let mut inspected = Inspected {
        unusual: unusual_form(header.as_ref(), claims.as_ref(), size),
        header,
        claims,
        good: authenticated.is_ok(),
        provider,
        reason: None,
        message: String::new(),
        facts: None,
        revocable_by: Vec::new(),
        store: stored.note.clone(),
    };
    match authenticated {
        Ok(principal) => {
            inspected.message = format!("good; it gives the scopes `{}`", principal.scopes());
            inspected.revocable_by = RevocationKey::of_principal(&principal)
                .iter()
                .map(|key| format!("{} {}", key.kind(), key.value()))
                .collect();
            inspected.unusual.extend(unusual_facts(&principal));
            inspected.facts = Some(TokenFacts::new(&principal, now));
        }
        Err(error) => {
            inspected.reason = Some(error.reason().to_owned());
            inspected.message = error.to_string();
        }
    }
    Ok(inspected)
}

/// Returns a part of a JWT, unverified.
fn part(token: &BearerToken, index: usize) -> Option<Value> {
    let part = token.reveal().split('.').nth(index)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

impl TokenFacts {
    fn new(principal: &Principal, now: Timestamp) -> Self {
        let binding = principal.binding();
        let bound_to = [
            ("a key (DPoP)", binding.key.is_some()),
            ("a client certificate", binding.certificate.is_some()),
        ];
        let groups = ClaimPath::parse("groups").ok();
        let groups = groups.and_then(|path| principal.claims().get(&path).map(ClaimPath::values));
        let details = principal.authorization_details();
        Self {
            issuer: principal.issuer().to_string(),
            subject: principal.subject().map(ToString::to_string),
            client: principal.client().map(ToString::to_string),
            actor: principal.actor().map(named_actor),
            audience: texts(principal.audience()),
            scopes: principal.scopes().iter().map(ToString::to_string).collect(),
            roles: texts(principal.roles()),
            groups: groups.unwrap_or_default().into_iter().map(str::to_owned).collect(),
            acr: principal.acr().map(str::to_owned),
            authorization_details: details.iter().filter_map(detail_type).collect(),
            bound_to: bound_to.into_iter().filter(|(_, is_bound)| *is_bound).map(|(name, _)| name).collect(),
            signed_in: principal.auth_time().map(|at| in_words(at, now)),
            issued: principal.issued_at().map(|at| in_words(at, now)),
            expires: in_words(principal.expires_at(), now),
        }
    }

    /// Returns the facts as lines, in the order of the rule language.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("issuer", self.issuer.clone()),
            ("subject", optional(self.subject.as_ref())),
            ("client", optional(self.client.as_ref())),
            ("actor", optional(self.actor.as_ref())),
            ("audience", list(&self.audience)),
            ("scopes", list(&self.scopes)),
            ("roles", list(&self.roles)),
            ("groups", list(&self.groups)),
        ];
        if let Some(acr) = &self.acr {
            lines.push(("acr", acr.clone()));
        }
        if !self.authorization_details.is_empty() {
            lines.push(("details", self.authorization_details.join(" ")));
        }
        if !self.bound_to.is_empty() {
            lines.push(("bound to", self.bound_to.join(", ")));
        }
        if let Some(at) = &self.signed_in {
            lines.push(("signed in", at.clone()));
        }
        lines.push(("issued", optional(self.issued.as_ref())));
        lines.push(("expires", self.expires.clone()));
        lines
    }
}

fn optional(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| "none".to_owned())
}

fn list(values: &[String]) -> String {
    if values.is_empty() { "none".to_owned() } else { values.join(" ") }
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn named_actor(actor: &Actor) -> String {
    match &actor.issuer {
        Some(issuer) => format!("{} of {issuer}", actor.id),
        None => actor.id.to_string(),
    }
}

fn detail_type(detail: &Map<String, Value>) -> Option<String> {
    detail.get("type").and_then(Value::as_str).map(str::to_owned)
}

/// Returns a moment and its distance from `now`.
fn in_words(at: Timestamp, now: Timestamp) -> String {
    let ahead = at.since(now);
    if ahead.is_zero() {
        format!("{at}, {} ago", span_in_words(now.since(at)))
    } else {
        format!("{at}, in {}", span_in_words(ahead))
    }
}

/// Returns a span in its two largest units, such as `3 hours 20 minutes`.
fn span_in_words(span: Duration) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let mut rest = span.as_secs();
    let mut words = Vec::new();
    for (seconds, unit) in units {
        let count = rest / seconds;
        rest %= seconds;
        if count > 0 {
            words.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    words.truncate(2);
    if words.is_empty() { "less than a second".to_owned() } else { words.join(" ") }
}

/// Returns what is unusual about the form of a token, verified or not.
fn unusual_form(header: Option<&Value>, claims: Option<&Value>, size: usize) -> Vec<String> {
    let mut unusual = Vec::new();
    if size > LARGE {
        unusual.push(format!("it has {size} bytes: proxies with default limits refuse the request"));
    }
    let (Some(header), Some(claims)) = (header, claims) else { return unusual };
    if header.get("kid").is_none() {
        unusual.push("the header names no key (`kid`)".to_owned());
    }
    if header.get("typ").and_then(Value::as_str).is_some_and(|typ| !is_usual_type(typ)) {
        unusual.push(format!("the header's `typ` is {}", header["typ"]));
    }
    if claims.get("iat").is_none() {
        unusual.push(
            "it does not state when it was issued (`iat`): every revocation \"issued before\" matches it"
                .to_owned(),
        );
    }
    let members = claims.as_object().into_iter().flatten();
    for (name, value) in members {
        match value.as_str() {
            Some("true" | "false") => {
                unusual.push(format!(
                    "`{name}` is the text {value}: a rule has to ask for the text, not the boolean"
                ));
            }
            _ if value.is_null() => unusual.push(format!("`{name}` is null")),
            _ => {}
        }
    }
    unusual
}

fn is_usual_type(typ: &str) -> bool {
    ["JWT", "at+jwt", "application/at+jwt"].iter().any(|usual| usual.eq_ignore_ascii_case(typ))
}

/// Returns what is unusual about the facts of a verified token.
fn unusual_facts(principal: &Principal) -> Vec<String> {
    let mut unusual = Vec::new();
    let absent = [
        (
            principal.subject().is_none(),
            "it names no subject (`sub`): no logout or event of a user matches it",
        ),
        (principal.session().is_none(), "it names no session: a logout of one session does not match it"),
        (principal.token_id().is_none(), "it has no id (`jti`): it is revoked by its hash"),
        (principal.client().is_none(), "it names no client: it cannot be revoked or blocked by client"),
    ];
    unusual.extend(absent.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text.to_owned()));
    if principal.groups_omitted() {
        unusual.push("the provider left its groups out: a missing role or group says nothing".to_owned());
    }
    if principal.scopes().is_empty() && principal.roles().is_empty() {
        unusual.push("it has neither scopes nor roles".to_owned());
    }
    let lifetime = principal.issued_at().map(|at| principal.expires_at().since(at));
    if let Some(lifetime) = lifetime.filter(|lifetime| *lifetime > LONG) {
        unusual.push(format!("it lives for {}", span_in_words(lifetime)));
    }
    unusual
}

impl Inspected {
    fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        for (name, part) in [("header", &self.header), ("claims", &self.claims)] {
            match part {
                Some(part) => writeln!(out, "{name}\n{part:#}")?,
                None => writeln!(out, "{name}    not readable: not a JWT")?,
            }
        }
        line(out, "provider", self.provider.as_deref().unwrap_or("none"))?;
        for (name, value) in self.facts.iter().flat_map(TokenFacts::lines) {
            line(out, name, &value)?;
        }
        if !self.revocable_by.is_empty() {
            line(out, "matched by", &self.revocable_by.join(", "))?;
        }
        for text in &self.unusual {
            line(out, "unusual", &paint.warning(text))?;
        }
        let verdict = if self.good { paint.good("good") } else { paint.bad("bad") };
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        line(out, "verdict", &format!("{verdict}{reason}: {}", self.message))
    }
}

fn line(out: &mut dyn Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{name:<10}  {value}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_a_jwt_are_shown_and_of_an_opaque_token_none() {
        let token = BearerToken::parse("eyJhIjoxfQ.eyJiIjoyfQ.c2ln").unwrap();
        assert_eq!(part(&token, 1), Some(json!({ "b": 2 })));
        assert_eq!(part(&BearerToken::parse("opaque").unwrap(), 0), None);
    }

    #[test]
    fn times_are_shown_in_words() {
        let now = Timestamp::from_seconds(1_790_000_000);
        assert_eq!(
            in_words(now + Duration::from_mins(200), now),
            "2026-09-21T17:33:20Z, in 3 hours 20 minutes"
        );
        assert_eq!(
            in_words(now - Duration::from_secs(61), now),
            "2026-09-21T14:12:19Z, 1 minute 1 second ago"
        );
        assert_eq!(span_in_words(Duration::ZERO), "less than a second");
    }

    #[test]
    fn unusual_forms_are_named() {
        let header = json!({ "alg": "RS256", "typ": "x" });
        let claims = json!({ "email_verified": "true", "org": null, "sub": "a" });
        let unusual = unusual_form(Some(&header), Some(&claims), LARGE + 1).join("\n");
        for part in
            ["bytes", "`kid`", "`typ` is \"x\"", "`iat`", "`email_verified` is the text", "`org` is null"]
        {
            assert!(unusual.contains(part), "{part}: {unusual}");
        }
        let usual =
            unusual_form(Some(&json!({ "kid": "k", "typ": "at+JWT" })), Some(&json!({ "iat": 1 })), 900);
        assert!(usual.is_empty(), "{usual:?}");
    }
}
