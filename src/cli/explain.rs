//! `scopegate explain`: which route decides a request, by which rule, and why.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use http::Method;
use scopegate_provider::{
    Audience, AuthnError, Claims, ClientId, Clock, Credentials, Freshness, Issuer, Principal, ProviderName,
    Role, Scope, SystemClock, Verified,
};
use serde::Serialize;

use super::{
    connect,
    console::Paint,
    failure::{Failure, Task, Verdict},
    token,
};
use crate::{
    authenticator::{Authenticator, NoRevocations, VerifiedTokens},
    config::{Config, Rules},
    policy::{Explanation, RawTarget, Reason, Scheme, Target, TargetError, TokenUse},
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

/// What the policy says, what is said of the token, and where the route stands.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    explanation: Explanation,
    /// Where the route is declared.
    place: Option<String>,
    /// What is wrong with the token that was given.
    token: Option<TokenProblem>,
}

#[derive(Debug, Serialize)]
struct TokenProblem {
    reason: &'static str,
    message: String,
}

/// What no policy is asked about.
#[derive(Debug, Serialize)]
struct Unacceptable {
    permitted: bool,
    reason: Reason,
    message: String,
}

impl Explain {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let mut config = connect::config(task)?;
        let target = match self.target() {
            Ok(target) => target,
            Err(error) => return unacceptable(task, error),
        };
        let freshness = config.rules.policy.resolve(&target).map(|resolved| resolved.fresh());
        let freshness = if freshness.unwrap_or_default() { Freshness::Fresh } else { Freshness::Cached };
        let caller = self.caller(&mut config, freshness).await?;
        let report = Report::new(&target, &config.rules, caller);
        task.console.show(&report, |out, paint| report.write(out, paint))?;
        Ok(report.explanation.permitted.into())
    }

    fn target(&self) -> Result<Target, TargetError> {
        let (scheme, rest) = match self.url.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, Some(rest)),
            Some((_, rest)) => (Scheme::Http, Some(rest)),
            None => (Scheme::Http, None),
        };
        // The path is taken as it is written: what is irregular about it matters.
        let (host, path) = match rest {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("localhost", self.url.as_str()),
        };
        let path = if path.is_empty() { "/" } else { path };
        Target::parse(RawTarget {
            method: &self.method,
            scheme,
            authority: None,
            hosts: [host],
            path_and_query: path.as_bytes(),
        })
    }

    /// Who asks: nobody unless said.
    async fn caller(
        &self,
        config: &mut Config,
        freshness: Freshness,
    ) -> Result<Result<Option<Principal>, AuthnError>, Failure> {
        if let Some(token) = &self.token {
            return self.verified(token, config, freshness).await.map(|caller| caller.map(Some));
        }
        let supposed = self.provider.is_some() || !self.scope.is_empty() || !self.role.is_empty();
        if supposed || self.client.is_some() { self.supposed(config).map(Some).map(Ok) } else { Ok(Ok(None)) }
    }

    async fn verified(
        &self,
        token: &str,
        config: &mut Config,
        freshness: Freshness,
    ) -> Result<Result<Principal, AuthnError>, Failure> {
        let credentials = Credentials::bearer(token::read(token)?);
        let connected = connect::all(std::mem::take(&mut config.providers)).await?;
        let clock = Arc::new(SystemClock::new());
        let revocations = Arc::new(NoRevocations);
        let authenticator = Authenticator::new(connected, VerifiedTokens::new(1), revocations, clock);
        let authenticator = authenticator.map_err(Failure::other)?;
        if let Ok(connected) = authenticator.provider_of(&credentials) {
            connect::settled(connected.provider().as_ref()).await;
        }
        Ok(authenticator.authenticate(&credentials, freshness).await)
    }

    fn supposed(&self, config: &mut Config) -> Result<Principal, Failure> {
        let provider = connect::choose(std::mem::take(&mut config.providers), self.provider.as_deref())?;
        let now = SystemClock::new().now();
        let outline = provider.outline();
        let unknown = || Issuer::parse("unknown:").map_err(Failure::other);
        // Supposed, not verified: it lives for this explanation only.
        Ok(Principal::assert_verified(Verified {
            provider: ProviderName::clone(provider.name()),
            issuer: outline.issuers.first().cloned().map_or_else(unknown, Ok)?,
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
    fn new(target: &Target, rules: &Rules, caller: Result<Option<Principal>, AuthnError>) -> Self {
        let principal = caller.as_ref().ok().and_then(Option::as_ref);
        let mut explanation = rules.policy.explain(target, principal);
        let resolved = rules.policy.resolve(target).ok();
        let place = resolved.as_ref().and_then(|resolved| rules.place(resolved.route().source()));
        let place = place.map(ToString::to_string);
        let looked_at = resolved.is_some_and(|resolved| resolved.token_use() != TokenUse::Ignored);
        let token = caller.err().filter(|_| looked_at);
        let token = token.map(|error| TokenProblem { reason: error.reason(), message: error.to_string() });
        explanation.permitted &= token.is_none();
        Self { explanation, place, token }
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
        for reading in &self.explanation.interpretations {
            for other in &reading.considered {
                let line =
                    format!("{} read as {}: {}", other.route.pattern, reading.path, other.outcome.as_str());
                writeln!(out, "looked at {}", paint.faint(&line))?;
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
