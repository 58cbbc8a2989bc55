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
    routes::Row,
    token,
};
use crate::{
    authenticator::{Authenticator, NoRevocations, VerifiedTokens},
    config::{Config, Rules},
    policy::{Decision, Policy, RawTarget, Refused, Route, Scheme, Target},
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

#[derive(Debug, Serialize)]
struct Explanation {
    target: String,
    /// The route that decides.
    route: Option<Row>,
    permitted: bool,
    reason: Option<String>,
    message: String,
    missing_scopes: Vec<String>,
    /// Every route whose pattern matches, the most specific first, and why it does or does not decide.
    considered: Vec<Considered>,
}

#[derive(Debug, Serialize)]
struct Considered {
    pattern: String,
    why: &'static str,
}

impl Explain {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let mut config = connect::config(task)?;
        let target = match self.target() {
            Ok(target) => target,
            Err(error) => {
                let explanation = Explanation::unacceptable(&self.url, error);
                task.console.show(&explanation, |out, paint| explanation.write(out, paint))?;
                return Ok(Verdict::No);
            }
        };
        let caller = self.caller(&mut config).await?;
        let explanation = Explanation::new(&target, &config.rules, caller);
        task.console.show(&explanation, |out, paint| explanation.write(out, paint))?;
        Ok(explanation.permitted.into())
    }

    fn target(&self) -> Result<Target, crate::policy::TargetError> {
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
    async fn caller(&self, config: &mut Config) -> Result<Result<Option<Principal>, AuthnError>, Failure> {
        if let Some(token) = &self.token {
            return self.verified(token, config).await.map(|caller| caller.map(Some));
        }
        let supposed = self.provider.is_some() || !self.scope.is_empty() || !self.role.is_empty();
        if supposed || self.client.is_some() { self.supposed(config).map(Some).map(Ok) } else { Ok(Ok(None)) }
    }

    async fn verified(
        &self,
        token: &str,
        config: &mut Config,
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
        Ok(authenticator.authenticate(&credentials, Freshness::Cached).await)
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
            cache_until: now,
            claims: Claims::from_json(*b"{}"),
        }))
    }
}

impl Explanation {
    fn new(target: &Target, rules: &Rules, caller: Result<Option<Principal>, AuthnError>) -> Self {
        let mut explanation = match caller {
            Ok(principal) => Self::decided(rules.policy.decide(target, principal.as_ref()), rules),
            Err(error) => match rules.policy.resolve(target) {
                // The token is not looked at, or no rule is asked.
                Ok(resolved) if resolved.token_use() == crate::policy::TokenUse::Ignored => {
                    Self::decided(resolved.decide(None), rules)
                }
                Ok(resolved) => Self::token(resolved.route(), rules, &error),
                Err(refused) => Self::decided(Decision::Deny(refused), rules),
            },
        };
        explanation.target = target.to_string();
        explanation.considered = considered(target, &rules.policy);
        explanation
    }

    fn empty(route: Option<Row>, message: String) -> Self {
        let (missing_scopes, considered) = (Vec::new(), Vec::new());
        Self {
            target: String::new(),
            route,
            permitted: false,
            reason: None,
            message,
            missing_scopes,
            considered,
        }
    }

    fn decided(decision: Decision<'_>, rules: &Rules) -> Self {
        match decision {
            Decision::Permit { route } => {
                let message = format!("`{}` is satisfied", route.rule());
                Self { permitted: true, ..Self::empty(Some(Row::new(route, rules)), message) }
            }
            Decision::Deny(Refused { route, denial }) => Self {
                reason: Some(denial.reason().to_string()),
                missing_scopes: denial
                    .missing_scopes()
                    .iter()
                    .flat_map(|set| set.iter())
                    .map(ToString::to_string)
                    .collect(),
                ..Self::empty(route.map(|route| Row::new(route, rules)), denial.to_string())
            },
        }
    }

    fn token(route: &Route, rules: &Rules, error: &AuthnError) -> Self {
        let reason = Some(error.reason().to_owned());
        Self { reason, ..Self::empty(Some(Row::new(route, rules)), error.to_string()) }
    }

    fn unacceptable(url: &str, error: crate::policy::TargetError) -> Self {
        let reason = Some(error.reason().to_string());
        let target = scopegate_provider::Excerpt::new(url).as_str().to_owned();
        Self { target, reason, ..Self::empty(None, format!("never acceptable: {error}")) }
    }

    fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        writeln!(out, "request   {}", self.target)?;
        if let Some(route) = &self.route {
            writeln!(
                out,
                "route     {} {} {}",
                route.methods,
                route.r#match,
                paint.faint(route.place.as_deref().unwrap_or(&route.source))
            )?;
            writeln!(out, "rule      {}", route.rule)?;
        }
        let verdict = if self.permitted { paint.good("permitted") } else { paint.bad("denied") };
        let reason = self.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        writeln!(out, "decision  {verdict}{reason}: {}", self.message)?;
        if !self.missing_scopes.is_empty() {
            writeln!(out, "missing   {}", self.missing_scopes.join(" "))?;
        }
        for other in &self.considered {
            writeln!(out, "{}", paint.faint(&format!("pattern   {}: {}", other.pattern, other.why)))?;
        }
        Ok(())
    }
}

fn considered(target: &Target, policy: &Policy) -> Vec<Considered> {
    let mut most_specific = None;
    let mut considered = Vec::new();
    for route in policy.routes_by_precedence() {
        let pattern = route.pattern();
        if !pattern.place.matches(target) {
            continue;
        }
        let first = most_specific.get_or_insert_with(|| pattern.place.clone());
        let why = match (*first == pattern.place, route.methods().contains(target.method())) {
            (false, _) => "does not decide, a more specific pattern does",
            (true, true) => "decides",
            (true, false) => "does not name the method",
        };
        considered.push(Considered { pattern: pattern.to_string(), why });
    }
    considered
}
