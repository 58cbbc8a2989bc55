//! `scopegate explain`: which route decides a request, by which rule, and why.

use std::{
    io::{self, Write},
    time::Duration,
};

use clap::Args;
use http::Method;
use scopegate_provider::{
    Audience, AuthnError, Claims, ClientId, Clock, Credentials, Freshness, Issuer, Principal, ProviderName,
    Role, Scope, SystemClock, Verified,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    connect,
    console::{Console, Paint},
    failure::{Failure, Task, Verdict},
    stored::{Effective, Stored},
    token,
};
use crate::{
    config::{
        Config, Rules,
        own_endpoints::{Access, OwnEndpoint as OwnEndpointRow, ServedEndpoint},
    },
    policy::{CallerAt, Explanation, Policy, Reason, Target, TargetError, TermFacts, TokenUse},
};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The method, such as GET.
    method: Method,
    /// The URL, or a path for any host.
    url: String,
    /// A token: it is verified, then the rule is asked. `-` reads it from standard input.
    #[arg(long, conflicts_with_all = ["provider", "scope", "role", "client", "audience"])]
    token: Option<String>,
    /// The provider of a supposed caller.
    #[arg(long)]
    provider: Option<String>,
    /// A scope of a supposed caller.
    #[arg(long, num_args = 1..)]
    scope: Vec<Scope>,
    /// A role of a supposed caller.
    #[arg(long, num_args = 1..)]
    role: Vec<Role>,
    /// The client of a supposed caller.
    #[arg(long)]
    client: Option<ClientId>,
    /// An audience of a supposed caller's token; all of the provider's unless said.
    #[arg(long, num_args = 1..)]
    audience: Vec<Audience>,
}

/// The decision of the policy, the problem of the token, and the place of the route.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    explanation: Explanation,
    /// The place in the file that declares the route.
    place: Option<String>,
    /// The problem of the token that was given.
    token: Option<TokenProblem>,
    /// The reason why a configured store was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
}

/// A request that scopegate itself answers, before the policy decides.
#[derive(Debug, Serialize)]
struct OwnEndpoint {
    /// The path of the endpoint.
    #[serde(rename = "own_endpoint")]
    path: String,
    /// The callers that it answers.
    access: &'static str,
    /// `None` if that depends on more than a token.
    permitted: Option<bool>,
    message: String,
}

#[derive(Debug, Serialize)]
struct TokenProblem {
    reason: &'static str,
    message: String,
}

/// A request that is refused before the policy decides.
#[derive(Debug, Serialize)]
struct Unacceptable {
    permitted: bool,
    reason: Reason,
    message: String,
}

impl Explain {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let mut config = connect::config(task)?;
        let target = match Target::of_url(&self.method, &self.url) {
            Ok(target) => target,
            Err(error) => return unacceptable(task, error),
        };
        let stored = Stored::of(&config).await;
        let Effective { policy, .. } = stored.effective(&config);
        Console::note(stored.note.as_deref());
        if let Some(served) = config.own_endpoint_at(&policy, target.normal_path()) {
            return own_endpoint(task, &target, &served);
        }
        let freshness = policy.resolve(&target).map(|resolved| resolved.fresh());
        let freshness = if freshness.unwrap_or_default() { Freshness::Fresh } else { Freshness::Cached };
        let caller = self.caller(&mut config, &stored, freshness).await?;
        let report = Report::new(&target, &policy, &config.rules, caller, stored.note);
        task.console.show(&report, |out, paint| report.write(out, paint))?;
        Ok(report.explanation.permitted.into())
    }

    /// Returns the caller: anonymous by default.
    async fn caller(
        &self,
        config: &mut Config,
        stored: &Stored,
        freshness: Freshness,
    ) -> Result<Result<Option<Principal>, AuthnError>, Failure> {
        if let Some(token) = &self.token {
            return self.verified(token, config, stored, freshness).await.map(|caller| caller.map(Some));
        }
        let supposed = self.provider.is_some() || !self.scope.is_empty() || !self.role.is_empty();
        if supposed || self.client.is_some() { self.supposed(config).map(Some).map(Ok) } else { Ok(Ok(None)) }
    }

    async fn verified(
        &self,
        token: &str,
        config: &mut Config,
        stored: &Stored,
        freshness: Freshness,
    ) -> Result<Result<Principal, AuthnError>, Failure> {
        let credentials = Credentials::bearer(token::read(token)?);
        let authenticator = connect::authenticator(std::mem::take(&mut config.providers), stored).await?;
        if let Ok(connected) = authenticator.provider_of(&credentials) {
            connect::settled(connected.provider().as_ref()).await;
        }
        Ok(authenticator.authenticate(&credentials, freshness).await)
    }

    fn supposed(&self, config: &mut Config) -> Result<Principal, Failure> {
        let provider = connect::choose(std::mem::take(&mut config.providers), self.provider.as_deref())?;
        let now = SystemClock::new().now();
        let outline = provider.outline();
        let issuer = match outline.issuers.first() {
            Some(issuer) => issuer.clone(),
            None => Issuer::parse("unknown:").map_err(Failure::other)?,
        };
        // Supposed, not verified: it lives for this explanation only.
        Ok(Principal::assert_verified(Verified {
            provider: ProviderName::clone(provider.name()),
            issuer,
            subject: None,
            client: self.client.clone(),
            audience: if self.audience.is_empty() { &outline.audiences } else { &self.audience }
                .clone()
                .into(),
            scopes: self.scope.iter().cloned().collect(),
            roles: self.role.clone().into(),
            token_id: None,
            session: None,
            issued_at: Some(now),
            expires_at: now + Duration::from_mins(1),
            leeway: Duration::ZERO,
            cache_until: now,
            claims: Claims::from_json(*b"{}"),
        }))
    }
}

/// Reports a request that scopegate itself answers.
fn own_endpoint(task: &Task, target: &Target, served: &ServedEndpoint) -> Result<Verdict, Failure> {
    let OwnEndpointRow { access, methods, .. } = served.endpoint;
    let (access, permitted) = match access {
        Access::Anyone => ("anyone", Some(true)),
        Access::Clients => ("clients that present their credentials", None),
        Access::Introspection => ("callers that `introspection` admits", None),
        Access::Holder => ("the holder of the token", None),
        Access::TrustedProxies => ("proxies of `server.trusted_proxies`", None),
        Access::Admin => ("callers that `admin` admits", None),
        Access::Provider => ("the provider, whose signature is checked", None),
        Access::Policy => ("callers that the policy admits", None),
    };
    let permitted =
        if methods.is_empty() || methods.contains(target.method()) { permitted } else { Some(false) };
    let report = OwnEndpoint {
        path: served.path.clone(),
        access,
        permitted,
        message: format!(
            "{} is scopegate's own endpoint: it answers {access}, before the policy decides",
            served.path
        ),
    };
    task.console.show(&report, |out, paint| {
        writeln!(out, "request   {} {}", target.method(), target.normal_path())?;
        let decision = match report.permitted {
            Some(true) => paint.good("answered"),
            Some(false) => paint.bad("denied (method_not_allowed)"),
            None => "depends on the caller".to_owned(),
        };
        writeln!(out, "decision  {decision}: {}", report.message)
    })?;
    Ok((report.permitted != Some(false)).into())
}

fn unacceptable(task: &Task, error: TargetError) -> Result<Verdict, Failure> {
    let told = Unacceptable { permitted: false, reason: error.reason(), message: error.to_string() };
    task.console.show(&told, |out, paint| {
        writeln!(
            out,
            "decision  {} ({}): never acceptable: {}",
            paint.bad("denied"),
            told.reason,
            told.message
        )
    })?;
    Ok(Verdict::No)
}

impl Report {
    fn new(
        target: &Target,
        policy: &Policy,
        rules: &Rules,
        caller: Result<Option<Principal>, AuthnError>,
        store: Option<String>,
    ) -> Self {
        let now = SystemClock::new().now();
        let principal = caller.as_ref().ok().and_then(Option::as_ref);
        let caller_now = principal.map(|principal| CallerAt::new(principal, now));
        let mut explanation = policy.explain(target, caller_now);
        let resolved = policy.resolve(target).ok();
        let place = resolved.as_ref().and_then(|resolved| rules.place(resolved.route().source()));
        let place = place.map(ToString::to_string);
        let looked_at = resolved.is_some_and(|resolved| resolved.token_use() != TokenUse::Ignored);
        let token = caller.err().filter(|_| looked_at);
        let token = token.map(|error| TokenProblem { reason: error.reason(), message: error.to_string() });
        explanation.permitted &= token.is_none();
        Self { explanation, place, token, store }
    }

    fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        let Explanation { target, route, .. } = &self.explanation;
        writeln!(out, "request   {} {}://{}{}", target.method, target.scheme, target.host, target.path)?;
        if let Some(route) = route {
            let place = self.place.as_deref().unwrap_or(&route.source);
            writeln!(out, "route     {}  {}", route.pattern, paint.faint(place))?;
            writeln!(out, "rule      {}", route.rule)?;
        }
        writeln!(out, "decision  {}", self.decision(paint))?;
        if let Some(scopes) = &self.explanation.missing_scopes {
            writeln!(out, "missing   {scopes}")?;
        }
        if !self.explanation.permitted {
            self.write_terms(out)?;
        }
        for reading in &self.explanation.interpretations {
            for other in &reading.considered {
                let line =
                    format!("{} read as {}: {}", other.route.pattern, reading.path, other.outcome.as_str());
                writeln!(out, "looked at {}", paint.faint(&line))?;
            }
        }
        Ok(())
    }

    /// Writes the terms of the rule, each beside the token's value. Alternatives are set apart by `or`.
    fn write_terms(&self, out: &mut dyn Write) -> io::Result<()> {
        for (index, alternative) in self.explanation.alternatives.iter().enumerate() {
            if index > 0 {
                writeln!(out, "or")?;
            }
            for TermFacts { term, has, met, .. } in &alternative.requirements {
                let name = if *met { "met" } else { "unmet" };
                match has {
                    Value::Null => writeln!(out, "{name:<9} {term}; the token has nothing")?,
                    has => writeln!(out, "{name:<9} {term}; the token has {has}")?,
                }
            }
        }
        Ok(())
    }

    fn decision(&self, paint: Paint) -> String {
        let Explanation { permitted, reason, message, .. } = &self.explanation;
        match (&self.token, reason, message) {
            _ if *permitted => paint.good("permitted"),
            (Some(token), ..) => format!("{} ({}): {}", paint.bad("denied"), token.reason, token.message),
            (None, Some(reason), Some(message)) => format!("{} ({reason}): {message}", paint.bad("denied")),
            (None, ..) => paint.bad("denied"),
        }
    }
}
