//! The issuers, their keys, and tokens good and bad.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use scopegate_testkit::{MintKey, TestIssuer, base64url};
use serde_json::{Value, json};

use crate::support::Chance;

/// An issuer and what it signs with.
pub(super) struct Authority {
    pub(super) name: &'static str,
    pub(super) issuer: TestIssuer,
    /// The first one is never withdrawn.
    keys: Mutex<Vec<Arc<Key>>>,
    /// Published by nobody.
    stranger: MintKey,
}

/// A key, and what nodes know of it.
pub(super) struct Key {
    mint: MintKey,
    history: Mutex<History>,
}

#[derive(Default)]
pub(super) struct History {
    /// When the issuer stopped publishing it.
    pub(super) withdrawn: Option<Instant>,
    /// The nodes that have let a token of it pass.
    pub(super) known: HashSet<u64>,
    /// The nodes that have read since then that it was withdrawn.
    pub(super) forgotten: HashMap<u64, Instant>,
}

/// A good token, for as long as its key is.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) key: Arc<Key>,
}

/// What can be wrong with a token.
pub(super) const FLAWS: [&str; 13] = [
    "bad: a changed signature",
    "bad: expired",
    "bad: for another audience",
    "bad: of an unknown key",
    "bad: of a stranger's key",
    "bad: unsigned",
    "bad: garbage",
    "bad: of an unknown issuer",
    "bad: without an expiry",
    "bad: not valid yet",
    "bad: bound to a key",
    "bad: of another issuer's key",
    "bad: an ID token",
];

pub(super) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn unique() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

impl Key {
    fn new() -> Arc<Self> {
        Arc::new(Self { mint: MintKey::es256(&format!("key-{}", unique())), history: Mutex::default() })
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }
}

impl Authority {
    pub(super) async fn start(name: &'static str) -> Self {
        let keys = Mutex::new(vec![Key::new(), Key::new()]);
        let stranger = MintKey::es256("stranger");
        let this = Self { name, issuer: TestIssuer::start().await, keys, stranger };
        this.publish();
        this
    }

    /// The key that is never withdrawn.
    pub(super) fn stable(&self) -> Arc<Key> {
        self.keys.lock().unwrap()[0].clone()
    }

    fn any_key(&self, chance: &mut Chance) -> Arc<Key> {
        let keys = self.keys.lock().unwrap();
        keys[chance.of(0..keys.len())].clone()
    }

    fn publish(&self) {
        let keys = self.keys.lock().unwrap().clone();
        self.issuer.publish(&keys.iter().map(|key| &key.mint).collect::<Vec<_>>());
    }

    /// Publishes another key beside those that there are.
    pub(super) fn add_key(&self) {
        // Published before it signs anything.
        let key = Key::new();
        let keys: Vec<_> = self.keys.lock().unwrap().iter().cloned().chain([key.clone()]).collect();
        self.issuer.publish(&keys.iter().map(|key| &key.mint).collect::<Vec<_>>());
        self.keys.lock().unwrap().push(key);
    }

    /// Withdraws the oldest key but the first, if there is another beside them.
    pub(super) fn withdraw_key(&self) -> Option<Arc<Key>> {
        let key = {
            let mut keys = self.keys.lock().unwrap();
            (keys.len() > 2).then(|| keys.remove(1))?
        };
        key.history().withdrawn = Some(Instant::now());
        self.publish();
        Some(key)
    }

    pub(super) fn claims(&self, scope: &str, issued_at: i64) -> Value {
        json!({
            "iss": self.issuer.url(), "aud": "http://api.example", "sub": "somebody", "client_id": "client",
            "scope": scope, "iat": issued_at, "exp": issued_at + 3600, "jti": format!("token-{}", unique()),
        })
    }

    /// A good token by a key that is published now.
    pub(super) fn token(&self, chance: &mut Chance) -> Token {
        let key = self.any_key(chance);
        Token { text: key.mint.token(&self.claims("items", now())), key }
    }

    /// A good token by the key that is never withdrawn.
    pub(super) fn stable_token(&self, scope: &str) -> Token {
        self.stable_token_of(scope, now())
    }

    pub(super) fn stable_token_of(&self, scope: &str, issued_at: i64) -> Token {
        let key = self.stable();
        Token { text: key.mint.token(&self.claims(scope, issued_at)), key }
    }

    /// A token with this flaw.
    pub(super) fn flawed(&self, flaw: usize, other: &Authority, chance: &mut Chance) -> String {
        let (mint, now) = (&self.stable().mint, now());
        let mut claims = self.claims("items", now);
        let unknown = format!("unknown-{}", chance.number());
        match FLAWS[flaw] {
            "bad: a changed signature" => return changed(&mint.token(&claims)),
            "bad: expired" => claims["exp"] = json!(now - 120),
            "bad: for another audience" => claims["aud"] = json!("http://other.example"),
            "bad: of an unknown key" => return self.stranger.called(Some(&unknown)).token(&claims),
            "bad: of a stranger's key" => return self.stranger.called(mint.id()).token(&claims),
            "bad: unsigned" => {
                let header = json!({ "alg": "none", "typ": "JWT", "kid": mint.id() }).to_string();
                return format!("{}.{}.", base64url(header), base64url(claims.to_string()));
            }
            "bad: garbage" => return format!("{unknown}.{}.{}", chance.number(), chance.number()),
            "bad: of an unknown issuer" => claims["iss"] = json!("https://nobody.example"),
            "bad: without an expiry" => drop(claims.as_object_mut().unwrap().remove("exp")),
            "bad: not valid yet" => claims["nbf"] = json!(now + 600),
            "bad: bound to a key" => claims["cnf"] = json!({ "jkt": "x" }),
            "bad: of another issuer's key" => return other.stable().mint.token(&claims),
            "bad: an ID token" => claims["nonce"] = json!("n"),
            flaw => unreachable!("{flaw}"),
        }
        mint.token(&claims)
    }
}

/// The token with another character in the middle of its signature.
fn changed(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (before, after) = signature.split_at(signature.len() / 2);
    let other = if after.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{before}{other}{}", &after[1..])
}
