//! The terms of an alternative, one by one: for explanations and analysis.

use std::fmt;

use scopegate_provider::{Audience, ClientId, ProviderName, Role, Scope, ScopeSet, Span};
use serde_json::{Value, json};

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

    /// Returns the name of the kind of term.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Scope(_) => "all_scopes",
            Self::AnyScope(_) => "any_scope",
            Self::Roles(_) => "roles",
            Self::Clients(_) => "clients",
            Self::Providers(_) => "providers",
            Self::Audience(_) => "audience",
            Self::Claim(_) => "claim",
            Self::Acr(_) => "acr",
            Self::MaxAge(_) => "max_age",
            Self::Proof(_) => "proof",
            Self::Actor(_) => "actor",
            Self::Detail(_) => "details",
        }
    }

    /// Returns the values that the term asks for.
    pub fn needs(&self) -> Value {
        match self {
            Self::Scope(scope) => json!([scope]),
            Self::AnyScope(scopes) => json!(scopes),
            Self::Roles(roles) => json!(roles),
            Self::Clients(clients) => json!(clients),
            Self::Providers(providers) => json!(providers),
            Self::Audience(audience) => json!(audience),
            Self::Claim(test) => json!(test.to_string()),
            Self::Acr(acr) => json!(acr),
            Self::MaxAge(max_age) => json!(max_age.to_string()),
            Self::Proof(proof) => json!(proof),
            Self::Actor(actor) => json!(actor.to_string()),
            Self::Detail(detail) => json!(detail),
        }
    }

    /// Returns the caller's value for this term.
    pub(super) fn has(&self, caller: CallerAt<'_>) -> Value {
        let principal = caller.principal;
        match self {
            Self::Scope(_) | Self::AnyScope(_) => json!(principal.scopes()),
            Self::Roles(_) => json!(principal.roles()),
            Self::Clients(_) => json!(principal.client()),
            Self::Providers(_) => json!(principal.provider()),
            Self::Audience(_) => json!(principal.audience()),
            Self::Claim(test) => match principal.claims().get(&test.path) {
                Some(_) if is_secret(test.path.as_str()) => json!("(not shown)"),
                Some(claim) => excerpt(claim),
                None => Value::Null,
            },
            Self::Acr(_) => json!(principal.acr()),
            Self::MaxAge(_) => principal.auth_time().map_or(Value::Null, |time| {
                json!(format!("{} ago", Span::from_secs(caller.now.since(time).as_secs())))
            }),
            Self::Proof(_) => {
                let binding = principal.binding();
                let kinds = [("dpop", binding.key), ("certificate", binding.certificate)];
                kinds.into_iter().filter(|(_, print)| print.is_some()).map(|(kind, _)| kind).collect()
            }
            Self::Actor(_) => json!(principal.actor().map(|actor| &actor.id)),
            Self::Detail(_) => {
                principal.authorization_details().iter().filter_map(|one| one.get("type").cloned()).collect()
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

/// Returns the value of a claim, cut to a line if it is long.
fn excerpt(claim: &Value) -> Value {
    const LONGEST: usize = 120;
    let text = claim.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => json!(format!("{}…", text.get(..end).unwrap_or_default())),
        None => claim.clone(),
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
