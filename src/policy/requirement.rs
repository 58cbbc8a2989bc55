//! One alternative of a rule: the terms that a caller must satisfy.

use std::sync::Arc;

use scopegate_provider::{
    Audience, ClaimPath, ClientId, Principal, ProviderName, Role, Scope, ScopeSet, Span, Timestamp,
};
use serde_json::{Map, Value};

use super::{
    CallerAt, Denial,
    hierarchy::Hierarchy,
    settings::{DetailSettings, ProofRequirement},
};

/// One alternative of a rule: all of its terms must hold. An empty term asks for nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alternative {
    /// All of these scopes.
    pub all: ScopeSet,
    /// One of these scopes, in the order written.
    pub any: Box<[Scope]>,
    /// One of these roles.
    pub roles: Box<[Role]>,
    /// All of these claims.
    pub claims: Box<[ClaimTest]>,
    /// One of these clients.
    pub clients: Box<[ClientId]>,
    /// One of these providers.
    pub providers: Box<[ProviderName]>,
    /// One of these audiences.
    pub audience: Box<[Audience]>,
    /// One of these authentication context classes, the preferred one first.
    pub acr: Box<[Box<str>]>,
    /// The longest time since the caller signed in.
    pub max_age: Option<Span>,
    /// The kind of key that the token is bound to.
    pub proof: Option<ProofRequirement>,
    /// The actor of the token.
    pub actor: Option<ActorTest>,
    /// All of these authorization details.
    pub details: Box<[DetailSettings]>,
    /// The scopes that satisfy narrower ones.
    pub(super) hierarchy: Arc<Hierarchy>,
}

/// A claim, and the values of which one must be there.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimTest {
    /// The path of the claim.
    pub path: ClaimPath,
    /// One of these.
    pub values: Box<[ClaimValue]>,
}

/// The value that a claim, or an element of one that is an array, must have.
#[derive(Debug, Clone)]
pub enum ClaimValue {
    /// This string, number or boolean.
    Equals(Value),
    /// A string that begins with this text.
    Prefix(Box<str>),
    /// The segment of the request's path.
    Segment {
        /// The index of the segment, from 0.
        index: usize,
        /// The name that the pattern gives it.
        name: Box<str>,
    },
}

/// The actor that a token must have. Only the outermost `act` counts (RFC 8693, section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActorTest {
    /// None: the subject acts itself.
    Absent,
    /// Any actor.
    Present,
    /// One of these.
    OneOf(Box<[Box<str>]>),
}

/// The part of an alternative that a caller can still obtain: scopes, and a stronger or fresher sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lack {
    /// The missing scopes.
    pub(super) missing: ScopeSet,
    /// The whole set of scopes.
    pub(super) required: ScopeSet,
    /// `true` if the sign-in is not strong or fresh enough.
    pub(super) sign_in: bool,
}

/// The latest plausible sign-in, the end of the year 9999: beyond it a number does not count seconds (T4.2).
const LAST_SIGN_IN: Timestamp = Timestamp::from_seconds(253_402_300_799);

impl Alternative {
    /// Returns `true` if the caller satisfies every term.
    pub fn permits(&self, caller: CallerAt<'_>) -> bool {
        self.is_granted_by(caller.principal.scopes())
            && self.obstacle(caller).is_none()
            && self.is_signed_in(caller)
    }

    /// Returns the scope of `held` by which `scope` is satisfied: itself, or one that implies it.
    pub(super) fn granting<'h>(&self, held: &'h ScopeSet, scope: &Scope) -> Option<&'h Scope> {
        let same = held.iter().find(|one| *one == scope);
        same.or_else(|| held.iter().find(|one| self.hierarchy.implies(one, scope)))
    }

    /// Returns `true` if `held` satisfies the scopes.
    pub(super) fn is_granted_by(&self, held: &ScopeSet) -> bool {
        self.all.iter().all(|scope| self.grants(held, scope))
            && (self.any.is_empty() || self.any.iter().any(|scope| self.grants(held, scope)))
    }

    fn grants(&self, held: &ScopeSet, scope: &Scope) -> bool {
        held.contains(scope) || self.granting(held, scope).is_some()
    }

    /// Returns the first term that neither more scopes nor another sign-in satisfy. Terms for which a token is the
    /// wrong one altogether come first (401), then those for which it is not enough (403).
    pub(super) fn obstacle(&self, caller: CallerAt<'_>) -> Option<Denial> {
        let principal = caller.principal;
        if !self.audience.is_empty() && !principal.audience().iter().any(|one| self.audience.contains(one)) {
            return Some(Denial::AudienceNotAllowed);
        }
        if let Some(proof) = self.proof.filter(|proof| !proof.is_met_by(principal)) {
            return Some(Denial::ProofRequired { proof });
        }
        if !self.providers.is_empty() && !self.providers.contains(principal.provider()) {
            return Some(Denial::ProviderNotAllowed);
        }
        if !self.clients.is_empty() && principal.client().is_none_or(|client| !self.clients.contains(client))
        {
            return Some(Denial::ClientNotAllowed);
        }
        if !self.is_signed_in(caller) && !is_person(principal) {
            return Some(Denial::UserRequired);
        }
        if !self.roles.is_empty() && !principal.roles().iter().any(|role| self.roles.contains(role)) {
            let omitted = principal.groups_omitted();
            return Some(if omitted { Denial::GroupsOmitted } else { Denial::RoleMissing });
        }
        if !self.claims.iter().all(|test| test.holds(caller)) {
            return Some(Denial::ClaimMismatch);
        }
        if self.actor.as_ref().is_some_and(|actor| !actor.holds(principal)) {
            return Some(Denial::ActorNotAllowed);
        }
        let details = principal.authorization_details();
        let lacking =
            self.details.iter().any(|wanted| !details.iter().any(|one| is_detail(wanted, one, principal)));
        lacking.then_some(Denial::DetailsMissing)
    }

    /// Returns `true` if the caller signed in as strongly and as recently as required.
    pub(super) fn is_signed_in(&self, caller: CallerAt<'_>) -> bool {
        let strong = self.acr.is_empty()
            || caller.principal.acr().is_some_and(|acr| self.acr.iter().any(|wanted| **wanted == *acr));
        strong && self.max_age.is_none_or(|max_age| is_fresh(caller, max_age))
    }

    /// Returns the scopes and the sign-in that are lacking. Of `any`, one that is held counts, else the first written.
    pub(super) fn lack(&self, caller: CallerAt<'_>) -> Lack {
        let required = self.smallest_scopes(caller.principal.scopes());
        let held = caller.principal.scopes();
        let missing = required.iter().filter(|scope| !self.grants(held, scope)).cloned().collect();
        Lack { missing, required, sign_in: !self.is_signed_in(caller) }
    }

    /// Returns the denial of a caller that has to sign in again: with the missing scopes in the same challenge.
    pub(super) fn sign_in_denial(&self, lack: Lack) -> Denial {
        Denial::InsufficientUserAuthentication {
            acr_values: self.acr.clone(),
            max_age: self.max_age,
            missing: lack.missing,
            required: lack.required,
        }
    }

    /// Returns the smallest set of scopes that satisfies the alternative, given that those of `held` are there.
    pub(super) fn smallest_scopes(&self, held: &ScopeSet) -> ScopeSet {
        let mut required: Vec<Scope> = self.all.iter().cloned().collect();
        if !self.any.iter().any(|scope| self.grants(&self.all, scope)) {
            let granted = self.any.iter().find(|scope| self.grants(held, scope));
            required.extend(granted.or(self.any.first()).cloned());
        }
        required.into_iter().collect()
    }

    /// Returns `true` if it asks for scopes and nothing that only some callers can obtain.
    pub(super) fn is_scopes_only(&self) -> bool {
        self.roles.is_empty()
            && self.claims.is_empty()
            && self.clients.is_empty()
            && self.providers.is_empty()
            && self.actor.is_none()
            && self.details.is_empty()
    }

    /// The scopes that it names.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.all.iter().chain(&self.any)
    }

    /// Returns `true` if a term depends on the path of the request.
    pub(super) fn reads_path(&self) -> bool {
        self.claims.iter().any(|test| {
            test.values.iter().any(|value: &ClaimValue| matches!(value, ClaimValue::Segment { .. }))
        })
    }
}

/// Returns `true` if the caller signed in at most `max_age` ago. A missing time, an implausible one and one in the
/// future are no proof of a sign-in.
fn is_fresh(caller: CallerAt<'_>, max_age: Span) -> bool {
    let CallerAt { principal, now, .. } = caller;
    let leeway = principal.leeway();
    principal
        .auth_time()
        .filter(|time| *time <= LAST_SIGN_IN)
        .is_some_and(|time| time <= now + leeway && now <= time + max_age.get() + leeway)
}

/// Returns `true` if the token has the `sub` of a person. The `sub` of a client's own token is the client's id (RFC
/// 9068, section 2.2), at Auth0 followed by `@clients`.
fn is_person(principal: &Principal) -> bool {
    principal.subject().is_some_and(|subject| {
        let subject = subject.as_str();
        let own = subject.strip_suffix("@clients").unwrap_or(subject);
        principal.client().is_none_or(|client| client.as_str() != own && client.as_str() != subject)
    })
}

impl ClaimTest {
    /// Returns `true` if the claim has one of the values, or is an array that holds one.
    pub(super) fn holds(&self, caller: CallerAt<'_>) -> bool {
        let Some(claim) = caller.principal.claims().get(&self.path) else { return false };
        let held = match claim {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(claim),
        };
        held.iter().any(|one| self.values.iter().any(|value| value.holds(one, caller.path)))
    }
}

impl ClaimValue {
    fn holds(&self, claim: &Value, path: &str) -> bool {
        match (self, claim) {
            (Self::Equals(value), _) => claim == value,
            (Self::Prefix(prefix), Value::String(text)) => text.starts_with(&**prefix),
            (Self::Segment { index, .. }, Value::String(text)) => is_segment(text, path, *index),
            (Self::Segment { index, .. }, Value::Number(number)) => {
                (number.is_u64() || number.is_i64()) && is_segment(&number.to_string(), path, *index)
            }
            (Self::Prefix(_) | Self::Segment { .. }, _) => false,
        }
    }
}

/// Returns `true` if a segment of a path in normal form decodes to `text`. Nothing equals an empty segment.
fn is_segment(text: &str, path: &str, index: usize) -> bool {
    let segment = path.split('/').nth(index + 1).unwrap_or_default();
    !segment.is_empty() && percent_encoding::percent_decode_str(segment).eq(text.bytes())
}

/// Two segments are equal wherever they have the same index: the name of a parameter means nothing.
impl PartialEq for ClaimValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Equals(ours), Self::Equals(theirs)) => ours == theirs,
            (Self::Prefix(ours), Self::Prefix(theirs)) => ours == theirs,
            (Self::Segment { index: ours, .. }, Self::Segment { index: theirs, .. }) => ours == theirs,
            _ => false,
        }
    }
}

impl ProofRequirement {
    /// Returns `true` if the token is bound in this way. The proof itself was checked with the token.
    pub(super) fn is_met_by(self, principal: &Principal) -> bool {
        let binding = principal.binding();
        match self {
            Self::Required => binding.is_bound(),
            Self::Dpop => binding.key.is_some(),
            Self::Certificate => binding.certificate.is_some(),
        }
    }
}

impl ActorTest {
    pub(super) fn holds(&self, principal: &Principal) -> bool {
        match (self, principal.actor()) {
            (Self::Absent, actor) => actor.is_none(),
            (Self::Present, actor) => actor.is_some(),
            (Self::OneOf(ids), actor) => actor.is_some_and(|actor| ids.contains(&actor.id)),
        }
    }
}

/// Returns `true` if one element of `authorization_details` satisfies `wanted` alone (RFC 9396, section 2). An element
/// with `locations` must name an audience of the token. Unknown members do not widen it.
pub(super) fn is_detail(wanted: &DetailSettings, detail: &Map<String, Value>, principal: &Principal) -> bool {
    let here = match detail.get("locations") {
        None => true,
        Some(Value::Array(locations)) => {
            let audience = principal.audience();
            locations
                .iter()
                .filter_map(Value::as_str)
                .any(|one| audience.iter().any(|ours| ours.as_str() == one))
        }
        Some(_) => false,
    };
    here && text_of(detail, "type") == Some(&wanted.kind)
        && has_all(detail, "actions", &wanted.actions)
        && has_all(detail, "datatypes", &wanted.datatypes)
        && has_all(detail, "privileges", &wanted.privileges)
        && wanted.identifier.as_deref().is_none_or(|wanted| text_of(detail, "identifier") == Some(wanted))
}

fn text_of<'d>(detail: &'d Map<String, Value>, name: &str) -> Option<&'d str> {
    detail.get(name).and_then(Value::as_str)
}

fn has_all(detail: &Map<String, Value>, name: &str, wanted: &[String]) -> bool {
    let held = detail.get(name).and_then(Value::as_array);
    wanted.iter().all(|wanted| held.is_some_and(|held| held.iter().any(|one| one.as_str() == Some(wanted))))
}
