//! What a principal must have: one alternative of a rule.

use scopegate_provider::{Audience, ClaimPath, ClientId, Principal, ProviderName, Role, Scope, ScopeSet};
use serde_json::Value;

use super::Denial;

/// One alternative of a rule: all of its parts must hold. An empty part asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alternative {
    /// All of these scopes.
    pub all: ScopeSet,
    /// One of these scopes, in the order written.
    pub any: Box<[Scope]>,
    /// One of these roles.
    pub roles: Box<[Role]>,
    /// All of these.
    pub claims: Box<[ClaimTest]>,
    /// One of these clients.
    pub clients: Box<[ClientId]>,
    /// One of these providers.
    pub providers: Box<[ProviderName]>,
    /// One of these audiences.
    pub audience: Box<[Audience]>,
}

/// What a claim must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimTest {
    /// Where it stands.
    pub path: ClaimPath,
    /// One of these: strings, numbers or booleans.
    pub values: Box<[Value]>,
}

/// The scopes by which a principal that meets all else would satisfy an alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lack {
    /// What is missing.
    pub(super) missing: ScopeSet,
    /// The whole set.
    pub(super) required: ScopeSet,
}

impl Alternative {
    /// Whether the principal has all of it.
    pub fn permits(&self, principal: &Principal) -> bool {
        let held = principal.scopes();
        held.is_superset(&self.all)
            && (self.any.is_empty() || self.any.iter().any(|scope| held.contains(scope)))
            && self.obstacle(principal).is_none()
    }

    /// What no further scope would help with.
    pub(super) fn obstacle(&self, principal: &Principal) -> Option<Denial> {
        let among = |client: &ClientId| self.clients.contains(client);
        if !self.providers.is_empty() && !self.providers.contains(principal.provider()) {
            return Some(Denial::ProviderNotAllowed);
        }
        if !self.audience.is_empty() && !principal.audience().iter().any(|one| self.audience.contains(one)) {
            return Some(Denial::AudienceNotAllowed);
        }
        if !self.clients.is_empty() && !principal.client().is_some_and(among) {
            return Some(Denial::ClientNotAllowed);
        }
        if !self.roles.is_empty() && !principal.roles().iter().any(|role| self.roles.contains(role)) {
            return Some(Denial::RoleMissing);
        }
        let mismatch =
            |test: &ClaimTest| !principal.claims().get(&test.path).is_some_and(|held| test.holds(held));
        self.claims.iter().any(mismatch).then_some(Denial::ClaimMismatch)
    }

    /// The scopes that are lacking if these are held. Of `any`, one that is held, else the first written.
    pub(super) fn lack(&self, held: &ScopeSet) -> Lack {
        let mut required: Vec<Scope> = self.all.iter().cloned().collect();
        if !self.any.iter().any(|scope| self.all.contains(scope)) {
            required.extend(self.any.iter().find(|scope| held.contains(scope)).or(self.any.first()).cloned());
        }
        let required: ScopeSet = required.into_iter().collect();
        let missing = required.iter().filter(|scope| !held.contains(scope)).cloned().collect();
        Lack { missing, required }
    }

    /// Whether it asks for scopes and nothing else.
    pub(super) fn is_scopes_only(&self) -> bool {
        self.roles.is_empty()
            && self.claims.is_empty()
            && self.clients.is_empty()
            && self.providers.is_empty()
    }

    /// Every scope that it names.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.all.iter().chain(&self.any)
    }
}

impl ClaimTest {
    /// Whether the claim equals one of the values, or is an array that holds one.
    fn holds(&self, claim: &Value) -> bool {
        match claim {
            Value::Array(held) => held.iter().any(|one| self.values.contains(one)),
            _ => self.values.contains(claim),
        }
    }
}
