//! The search for a caller that one side permits and the other denies.
//!
//! A caller satisfies a term if one of its facts does, apart from `actor: none`, which the absence of a fact satisfies.
//! More facts therefore never help to be denied, and it is enough to try the smallest callers of each alternative that
//! the permitting side has. Of the facts that satisfy a term, one that satisfies all that another does is never needed.

use scopegate_provider::{
    Audience, ClaimPath, ClientId, Principal, ProviderName, Role, Scope, Span, Timestamp,
};
use serde_json::{Map, Value, json};

use super::{Side, generic::Generic};
use crate::policy::{
    ActorTest, Alternative, CallerAt, ClaimValue, Rule, SupposedCaller, Term,
    compare::Stripped,
    settings::{DetailSettings, ProofRequirement},
};

/// The moment of the decisions about examples.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The most callers that are tried for one combination of alternatives.
const MAX_TRIED: usize = 20_000;

/// The caller of an example.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Caller {
    /// No token.
    Anonymous,
    /// A token that its provider does not accept.
    Invalid,
    /// A good token.
    Supposed(Box<SupposedCaller>),
}

/// A fact about a caller.
#[derive(Debug, Clone)]
enum Fact {
    Scope(Scope),
    Role(Role),
    Client(ClientId),
    Provider(ProviderName),
    Audience(Audience),
    Claim(ClaimPath, Value),
    Acr(Box<str>),
    SignedIn(Span),
    Proof(ProofRequirement),
    Actor(Option<Box<str>>),
    Detail(Map<String, Value>),
}

/// The callers that were found.
#[derive(Debug)]
pub(super) struct Separating {
    pub(super) callers: Vec<Caller>,
    /// `false` if the search was given up.
    pub(super) is_complete: bool,
}

/// An alternative of each rule, `None` for a rule that every good token satisfies, and the path that the rule reads.
type Combination<'r> = Vec<(Option<&'r Alternative>, &'r str)>;

/// Finds callers that `permitting` permits and `denying` denies: one for each alternative that has any.
pub(super) fn separate(
    permitting: &Side<'_>,
    denying: &Side<'_>,
    providers: &[ProviderName],
    generic: &Generic,
) -> Separating {
    let mut found = Separating { callers: Vec::new(), is_complete: true };
    let Side::Decides(resolved) = permitting else { return found };
    let mut search = Search { permitting, denying, providers, generic, tried: 0 };
    // A request without a token has the least: what it gains, every request gains.
    if search.separates(&Caller::Anonymous) {
        found.callers.push(Caller::Anonymous);
        return found;
    }
    if search.separates(&Caller::Invalid) {
        found.callers.push(Caller::Invalid);
    }
    let rules: Vec<(&Rule, &str)> = resolved.rules().collect();
    let mut known: Vec<Combination<'_>> = Vec::new();
    for combination in combinations(&rules) {
        if known.iter().any(|other| is_subsumed(&combination, other)) {
            continue;
        }
        search.tried = 0;
        if let Some(caller) = search.first(&combination) {
            known.push(combination);
            found.callers.push(Caller::Supposed(Box::new(caller)));
        }
        found.is_complete &= search.tried < MAX_TRIED;
    }
    found
}

fn combinations<'r>(rules: &[(&'r Rule, &'r str)]) -> Vec<Combination<'r>> {
    let mut combined: Vec<Combination<'r>> = vec![Vec::new()];
    for (rule, path) in rules {
        let alternatives: Vec<Option<&'r Alternative>> = match rule {
            Rule::Nobody => Vec::new(),
            Rule::Anonymous | Rule::Optional | Rule::Authenticated => vec![None],
            Rule::Require(alternatives) => alternatives.iter().map(Some).collect(),
        };
        let mut longer = Vec::with_capacity(combined.len() * alternatives.len());
        for start in &combined {
            for one in &alternatives {
                longer.push(start.iter().copied().chain([(*one, *path)]).collect());
            }
        }
        combined = longer;
    }
    combined
}

/// Returns `true` if each alternative of `ours` asks for at least as much as that of `theirs`.
fn is_subsumed(ours: &Combination<'_>, theirs: &Combination<'_>) -> bool {
    ours.iter().zip(theirs).all(|((ours, _), (theirs, _))| match (ours, theirs) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(ours), Some(theirs)) => ours.asks_at_least(theirs, Stripped::default()),
    })
}

struct Search<'s, 'p> {
    permitting: &'s Side<'p>,
    denying: &'s Side<'p>,
    providers: &'s [ProviderName],
    generic: &'s Generic,
    tried: usize,
}

impl Search<'_, '_> {
    fn separates(&self, caller: &Caller) -> bool {
        self.permitting.permits(caller) && !self.denying.permits(caller)
    }

    /// Returns the first separating caller of a combination.
    fn first(&mut self, combination: &Combination<'_>) -> Option<SupposedCaller> {
        let mut slots = self.slots(combination);
        for slot in &mut slots {
            self.keep_least(slot);
        }
        self.fill(&slots, &SupposedCaller::default())
    }

    /// Tries every choice of a fact for each slot.
    fn fill(&mut self, slots: &[Vec<Fact>], caller: &SupposedCaller) -> Option<SupposedCaller> {
        let Some((slot, others)) = slots.split_first() else {
            self.tried += 1;
            return self.separates(&Caller::Supposed(Box::new(caller.clone()))).then(|| caller.clone());
        };
        for fact in slot {
            if self.tried >= MAX_TRIED {
                return None;
            }
            if let Some(found) = self.fill(others, &fact.added_to(caller)) {
                return Some(found);
            }
        }
        None
    }

    /// Removes facts that satisfy all that another fact of the slot satisfies.
    fn keep_least(&self, slot: &mut Vec<Fact>) {
        if slot.len() < 2 {
            return;
        }
        let satisfied: Vec<Vec<bool>> = slot.iter().map(|fact| self.satisfied(fact)).collect();
        let is_within =
            |ours: &[bool], theirs: &[bool]| ours.iter().zip(theirs).all(|(ours, theirs)| ours <= theirs);
        let mut index = 0;
        let mut kept = Vec::new();
        slot.retain(|_| {
            let ours = satisfied.get(index).map(Vec::as_slice).unwrap_or_default();
            let mut others = satisfied.iter().enumerate();
            let dominated = others.any(|(other, theirs)| {
                other != index
                    && is_within(theirs, ours)
                    && (!is_within(ours, theirs) || kept.contains(&other))
            });
            if !dominated {
                kept.push(index);
            }
            index += 1;
            !dominated
        });
    }

    /// Returns for each term of the denying side whether the fact alone satisfies it.
    fn satisfied(&self, fact: &Fact) -> Vec<bool> {
        let Side::Decides(resolved) = self.denying else { return Vec::new() };
        let Ok(principal) = fact.added_to(&SupposedCaller::default()).principal(NOW) else {
            return Vec::new();
        };
        let mut satisfied = Vec::new();
        for (rule, path) in resolved.rules() {
            for alternative in rule.alternatives() {
                let caller = CallerAt::new(&principal, NOW).at_path(path);
                satisfied.extend(alternative.terms().iter().map(|term| term.holds(alternative, caller)));
            }
        }
        satisfied
    }

    /// Returns the facts of which a caller needs one each.
    fn slots(&self, combination: &Combination<'_>) -> Vec<Vec<Fact>> {
        let mut slots = Vec::new();
        let mut single = Single::default();
        for (alternative, path) in combination {
            let Some(alternative) = alternative else { continue };
            for term in alternative.terms() {
                match term {
                    Term::Scope(scope) => slots.push(granting(alternative, std::slice::from_ref(scope))),
                    Term::AnyScope(scopes) => slots.push(granting(alternative, scopes)),
                    Term::Roles(roles) => slots.push(roles.iter().cloned().map(Fact::Role).collect()),
                    Term::Audience(names) => slots.push(names.iter().cloned().map(Fact::Audience).collect()),
                    Term::Claim(test) => slots.push(
                        test.values
                            .iter()
                            .filter_map(|value| {
                                Some(Fact::Claim(test.path.clone(), self.claim(value, path)?))
                            })
                            .collect(),
                    ),
                    Term::Detail(wanted) => slots.push(vec![Fact::Detail(detail(wanted))]),
                    Term::Proof(ProofRequirement::Required) => slots.push(vec![
                        Fact::Proof(ProofRequirement::Dpop),
                        Fact::Proof(ProofRequirement::Certificate),
                    ]),
                    Term::Proof(proof) => slots.push(vec![Fact::Proof(proof)]),
                    Term::Clients(clients) => narrow(&mut single.clients, clients),
                    Term::Providers(providers) => narrow(&mut single.providers, providers),
                    Term::Acr(acr) => narrow(&mut single.acr, acr),
                    Term::MaxAge(age) => {
                        single.max_age = Some(single.max_age.map_or(age, |known: Span| known.min(age)));
                    }
                    Term::Actor(test) => single.actors.push(test),
                }
            }
        }
        slots.extend(single.clients.map(|names| names.into_iter().map(Fact::Client).collect()));
        slots.extend(single.acr.map(|names| names.into_iter().map(Fact::Acr).collect()));
        slots.extend(single.max_age.map(|age| vec![Fact::SignedIn(age)]));
        let providers = single.providers.unwrap_or_else(|| self.providers.to_vec());
        if !providers.is_empty() {
            slots.push(providers.into_iter().map(Fact::Provider).collect());
        }
        slots.push(self.actors(&single.actors));
        slots
    }

    /// Returns the value of a claim that satisfies as little else as possible.
    fn claim(&self, value: &ClaimValue, path: &str) -> Option<Value> {
        match value {
            ClaimValue::Equals(value) => Some(value.clone()),
            ClaimValue::Prefix(prefix) => Some(json!(format!("{prefix}{}", self.generic.text()))),
            ClaimValue::Segment { index, .. } => {
                let segment = path.split('/').nth(index + 1).filter(|segment| !segment.is_empty())?;
                Some(json!(percent_encoding::percent_decode_str(segment).decode_utf8().ok()?))
            }
        }
    }

    /// Returns the actors that satisfy all of the tests.
    fn actors(&self, tests: &[&ActorTest]) -> Vec<Fact> {
        let mut actors: Vec<Option<Box<str>>> = vec![None, Some(self.generic.text().into())];
        for test in tests {
            if let ActorTest::OneOf(ids) = test {
                actors.extend(ids.iter().cloned().map(Some));
            }
        }
        actors.retain(|actor| {
            tests.iter().all(|test| match (test, actor) {
                (ActorTest::Absent, actor) => actor.is_none(),
                (ActorTest::Present, actor) => actor.is_some(),
                (ActorTest::OneOf(ids), actor) => actor.as_ref().is_some_and(|actor| ids.contains(actor)),
            })
        });
        actors.into_iter().map(Fact::Actor).collect()
    }
}

/// The terms of which a caller has one value only.
#[derive(Default)]
struct Single<'r> {
    clients: Option<Vec<ClientId>>,
    providers: Option<Vec<ProviderName>>,
    acr: Option<Vec<Box<str>>>,
    max_age: Option<Span>,
    actors: Vec<&'r ActorTest>,
}

/// Leaves the names that are in both lists.
fn narrow<T: Clone + PartialEq>(names: &mut Option<Vec<T>>, others: &[T]) {
    match names {
        Some(names) => names.retain(|name| others.contains(name)),
        None => *names = Some(others.to_vec()),
    }
}

/// Returns the scopes of which each grants one of `scopes`.
fn granting(alternative: &Alternative, scopes: &[Scope]) -> Vec<Fact> {
    let mut granting: Vec<&Scope> = scopes.iter().collect();
    for scope in scopes {
        granting.extend(alternative.hierarchy.broader(scope));
    }
    granting.into_iter().cloned().map(Fact::Scope).collect()
}

/// Returns the smallest authorization detail that satisfies `wanted`.
fn detail(wanted: &DetailSettings) -> Map<String, Value> {
    let mut detail = Map::new();
    detail.insert("type".to_owned(), json!(wanted.kind));
    for (name, list) in
        [("actions", &wanted.actions), ("datatypes", &wanted.datatypes), ("privileges", &wanted.privileges)]
    {
        if !list.is_empty() {
            detail.insert(name.to_owned(), json!(list));
        }
    }
    if let Some(identifier) = &wanted.identifier {
        detail.insert("identifier".to_owned(), json!(identifier));
    }
    detail
}

impl Fact {
    fn added_to(&self, caller: &SupposedCaller) -> SupposedCaller {
        let mut caller = caller.clone();
        match self {
            Self::Scope(scope) => add(&mut caller.scopes, scope),
            Self::Role(role) => add(&mut caller.roles, role),
            Self::Audience(audience) => add(&mut caller.audience, audience),
            Self::Proof(proof) => add(&mut caller.proof, proof),
            Self::Detail(detail) => add(&mut caller.details, detail),
            Self::Client(client) => caller.client = Some(client.clone()),
            Self::Provider(provider) => caller.provider = Some(provider.clone()),
            Self::Acr(acr) => caller.acr = Some(acr.to_string()),
            Self::SignedIn(age) => caller.signed_in = Some(*age),
            Self::Actor(actor) => caller.actor = actor.as_ref().map(ToString::to_string),
            Self::Claim(path, value) => add_claim(&mut caller.claims, path, value),
        }
        caller
    }
}

fn add<T: Clone + PartialEq>(values: &mut Vec<T>, value: &T) {
    if !values.contains(value) {
        values.push(value.clone());
    }
}

/// Adds a value to a claim. A claim that has another value already becomes an array of both.
fn add_claim(claims: &mut Map<String, Value>, path: &ClaimPath, value: &Value) {
    let steps: Vec<String> = match path.as_str().strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![path.as_str().to_owned()],
    };
    let Some((last, parents)) = steps.split_last() else { return };
    let mut members = claims;
    for step in parents {
        let member = members.entry(step.clone()).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = member else { return };
        members = inner;
    }
    match members.get_mut(last) {
        Some(Value::Array(items)) if !items.contains(value) => items.push(value.clone()),
        Some(held) if held != value => *held = json!([held.clone(), value]),
        Some(_) => {}
        None => {
            members.insert(last.clone(), value.clone());
        }
    }
}

/// Returns the principal of a supposed caller.
pub(super) fn principal(caller: &Caller) -> Option<Principal> {
    match caller {
        Caller::Anonymous | Caller::Invalid => None,
        Caller::Supposed(caller) => caller.principal(NOW).ok(),
    }
}
