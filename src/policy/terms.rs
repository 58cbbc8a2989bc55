//! The terms of an alternative, one by one: for explanations and analysis.

use std::fmt;

use scopegate_provider::{Audience, ClientId, ProviderName, Role, Scope, ScopeSet, Span};
use serde_json::Value;

use super::{
    ActorTest, Alternative, CallerAt, ClaimTest,
    requirement::is_detail,
    settings::{DetailSettings, ProofRequirement},
};

/// One term of an alternative.
#[derive(Debug, Clone, Copy)]
pub enum Term<'a> {
    /// This scope.
    Scope(&'a Scope),
    /// One of these scopes.
    AnyScope(&'a [Scope]),
    /// One of these roles.
    Roles(&'a [Role]),
    /// One of these clients.
    Clients(&'a [ClientId]),
    /// One of these providers.
    Providers(&'a [ProviderName]),
    /// One of these audiences.
    Audience(&'a [Audience]),
    /// This claim.
    Claim(&'a ClaimTest),
    /// One of these authentication context classes.
    Acr(&'a [Box<str>]),
    /// A sign-in at most so long ago.
    MaxAge(Span),
    /// A bound token.
    Proof(ProofRequirement),
    /// This actor.
    Actor(&'a ActorTest),
    /// This authorization detail.
    Detail(&'a DetailSettings),
}

impl Alternative {
    /// Returns every term, scopes first.
    pub fn terms(&self) -> Vec<Term<'_>> {
        let mut terms: Vec<Term<'_>> = self.all.iter().map(Term::Scope).collect();
        let lists = [
            (!self.any.is_empty()).then_some(Term::AnyScope(&self.any)),
            (!self.roles.is_empty()).then_some(Term::Roles(&self.roles)),
            (!self.clients.is_empty()).then_some(Term::Clients(&self.clients)),
            (!self.providers.is_empty()).then_some(Term::Providers(&self.providers)),
            (!self.audience.is_empty()).then_some(Term::Audience(&self.audience)),
        ];
        terms.extend(lists.into_iter().flatten());
        terms.extend(self.claims.iter().map(Term::Claim));
        terms.extend((!self.acr.is_empty()).then_some(Term::Acr(&self.acr)));
        terms.extend(self.max_age.map(Term::MaxAge));
        terms.extend(self.proof.map(Term::Proof));
        terms.extend(self.actor.as_ref().map(Term::Actor));
        terms.extend(self.details.iter().map(Term::Detail));
        terms
    }
}

impl Term<'_> {
    /// Returns `true` if the caller satisfies this term of `alternative`.
    pub(super) fn holds(&self, alternative: &Alternative, caller: CallerAt<'_>) -> bool {
        let principal = caller.principal;
        let held = principal.scopes();
        match self {
            Self::Scope(scope) => alternative.granting(held, scope).is_some(),
            Self::AnyScope(scopes) => scopes.iter().any(|scope| alternative.granting(held, scope).is_some()),
            Self::Roles(roles) => principal.roles().iter().any(|role| roles.contains(role)),
            Self::Clients(clients) => principal.client().is_some_and(|client| clients.contains(client)),
            Self::Providers(providers) => providers.contains(principal.provider()),
            Self::Audience(audience) => principal.audience().iter().any(|one| audience.contains(one)),
            Self::Claim(test) => test.holds(caller),
            Self::Acr(acr) => {
                Alternative { acr: (*acr).into(), ..Alternative::default() }.is_signed_in(caller)
            }
            Self::MaxAge(max_age) => {
                Alternative { max_age: Some(*max_age), ..Alternative::default() }.is_signed_in(caller)
            }
            Self::Proof(proof) => proof.is_met_by(principal),
            Self::Actor(actor) => actor.holds(principal),
            Self::Detail(wanted) => {
                principal.authorization_details().iter().any(|one| is_detail(wanted, one, principal))
            }
        }
    }

    /// Returns the caller's value for this term, for people; `None` if the caller has none.
    pub(super) fn found(&self, caller: CallerAt<'_>) -> Option<String> {
        let principal = caller.principal;
        match self {
            Self::Scope(_) | Self::AnyScope(_) => listed(principal.scopes().iter().map(Scope::as_str)),
            Self::Roles(_) => listed(principal.roles().iter().map(Role::as_str)),
            Self::Clients(_) => principal.client().map(ToString::to_string),
            Self::Providers(_) => Some(principal.provider().to_string()),
            Self::Audience(_) => listed(principal.audience().iter().map(Audience::as_str)),
            Self::Claim(test) => {
                let claim = principal.claims().get(&test.path)?;
                Some(if is_secret(test.path.as_str()) { "(not shown)".to_owned() } else { excerpt(claim) })
            }
            Self::Acr(_) => principal.acr().map(str::to_owned),
            Self::MaxAge(_) => {
                let age = caller.now.since(principal.auth_time()?);
                Some(format!("signed in {} ago", Span::from_secs(age.as_secs())))
            }
            Self::Proof(_) => {
                let binding = principal.binding();
                let kinds = [("DPoP key", binding.key), ("client certificate", binding.certificate)];
                listed(kinds.into_iter().filter(|(_, print)| print.is_some()).map(|(kind, _)| kind))
            }
            Self::Actor(_) => principal.actor().map(|actor| actor.id.to_string()),
            Self::Detail(_) => {
                let kinds =
                    principal.authorization_details().iter().filter_map(|one| one.get("type")?.as_str());
                listed(kinds)
            }
        }
    }

    /// Returns the held scope by which a broader one satisfies this term; `None` if a named scope itself is held.
    pub(super) fn granted_by(&self, alternative: &Alternative, held: &ScopeSet) -> Option<Scope> {
        let wanted = match self {
            Self::Scope(scope) => std::slice::from_ref(*scope),
            Self::AnyScope(scopes) => scopes,
            _ => return None,
        };
        if wanted.iter().any(|scope| held.contains(scope)) {
            return None;
        }
        wanted.iter().find_map(|scope| alternative.granting(held, scope)).cloned()
    }
}

fn listed<'t>(texts: impl Iterator<Item = &'t str>) -> Option<String> {
    let texts: Vec<&str> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

/// Returns the JSON of a claim, cut to a line.
fn excerpt(claim: &Value) -> String {
    const LONGEST: usize = 120;
    let text = claim.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Returns `true` for a claim whose value may be a secret.
fn is_secret(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    ["secret", "password", "token", "nonce", "key", "code"].iter().any(|word| path.contains(word))
}

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope(scope) => scope.fmt(f),
            Self::AnyScope(scopes) => one_of(f, "", scopes),
            Self::Roles(roles) => one_of(f, "role ", roles),
            Self::Clients(clients) => one_of(f, "client ", clients),
            Self::Providers(providers) => one_of(f, "provider ", providers),
            Self::Audience(audience) => one_of(f, "audience ", audience),
            Self::Claim(test) => test.fmt(f),
            Self::Acr(acr) => one_of(f, "acr ", acr),
            Self::MaxAge(max_age) => write!(f, "signed in at most {max_age} ago"),
            Self::Proof(proof) => proof.fmt(f),
            Self::Actor(actor) => actor.fmt(f),
            Self::Detail(detail) => detail.fmt(f),
        }
    }
}

fn one_of<T: fmt::Display>(f: &mut fmt::Formatter<'_>, kind: &str, names: &[T]) -> fmt::Result {
    f.write_str(kind)?;
    if let [name] = names {
        return name.fmt(f);
    }
    f.write_str("one of")?;
    names.iter().try_for_each(|name| write!(f, " {name}"))
}
