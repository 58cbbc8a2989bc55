//! Token Status Lists (draft-ietf-oauth-status-list-20): bits that an issuer publishes about its tokens.

use std::{
    collections::HashMap,
    io::Read,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::read::ZlibDecoder;
use scopegate_provider::{Excerpt, Issuer, Rejection, StatusListHealth, Timestamp};
use serde_json::Value;
use tokio::sync::Semaphore;
use url::Url;

use crate::{
    claims::{self, ClaimMap},
    settings::StatusListSettings,
};

/// The type of a status list.
pub(crate) const LIST_TYPE: &str = "statuslist+jwt";

/// The most bytes of an inflated list: 2^20 entries of 8 bits.
const MOST_BYTES: usize = 1 << 20;

/// The most lists that are kept; the oldest are forgotten first.
const MOST_LISTS: usize = 64;

/// The time for which a list that names no `ttl` is used before it is fetched again.
const DEFAULT_TTL: Duration = Duration::from_mins(5);

/// The shortest and the longest time for which a list is used before it is fetched again.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_hours(12);

/// The time for which a list without `exp` is used while it cannot be fetched again.
const STALE: Duration = Duration::from_hours(24);

/// The most fetches at one time.
const FETCHES: usize = 8;

/// The shortest time between two attempts to fetch a list.
pub(crate) const COOL_DOWN: Duration = Duration::from_secs(5);

/// The place of a token's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The list.
    pub(crate) uri: Url,
    /// The entry.
    index: usize,
}

/// A verified list.
#[derive(Debug)]
pub(crate) struct StatusList {
    bits: usize,
    bytes: Vec<u8>,
    /// The end of its use before it is fetched again.
    fresh_until: Timestamp,
    /// The end of its use altogether.
    valid_until: Timestamp,
}

/// The lists of a provider.
#[derive(Debug)]
pub(crate) struct StatusLists {
    held: Mutex<HashMap<Url, Held>>,
    /// Held during a fetch, so that lists that do not answer take a bounded number of connections.
    pub(crate) fetches: Semaphore,
    fetched: AtomicU64,
    failed: AtomicU64,
    unknown_mechanisms: AtomicU64,
}

#[derive(Debug, Clone, Default)]
struct Held {
    list: Option<Arc<StatusList>>,
    tried: Option<Timestamp>,
    /// Held while this list is fetched, so that it is fetched once and keeps no other waiting.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

/// The state of a list in memory.
pub(crate) enum Known {
    /// It is used.
    Fresh(Arc<StatusList>),
    /// It is to be fetched; the one in memory is used if that fails.
    Outdated(Option<Arc<StatusList>>),
}

impl Reference {
    /// Reads the claim `status` of a verified token. Returns nothing if the token has no status, or one of another
    /// mechanism that the settings do not require.
    ///
    /// # Errors
    /// The claim has the wrong type, is missing though it is required, or names a list that the settings do not allow: a
    /// token does not decide to which host this server connects.
    pub(crate) fn of(claims: &ClaimMap, settings: &StatusListSettings) -> Result<Option<Self>, Rejection> {
        let wrong = || Rejection::WrongType {
            claim: "status".into(),
            expected: "an object with `status_list`, an object with `idx` and `uri`",
        };
        let status = claims.get("status").map(|status| status.as_object().ok_or_else(wrong)).transpose()?;
        let Some(list) = status.and_then(|status| status.get("status_list")) else {
            let missing = Rejection::MissingClaim { claim: "status".into(), advice: "" };
            return if settings.required { Err(missing) } else { Ok(None) };
        };
        let list = list.as_object().ok_or_else(wrong)?;
        let index = list.get("idx").and_then(Value::as_u64).ok_or_else(wrong)?;
        let uri = claims::text(list, "uri")?.and_then(|uri| Url::parse(uri).ok()).ok_or_else(wrong)?;
        if !settings.prefixes.iter().any(|prefix| below(&uri, &prefix.0)) {
            let expected = "the URI of a list below one of `status_list.prefixes`";
            return Err(Rejection::WrongType { claim: "status".into(), expected });
        }
        Ok(Some(Self { uri, index: usize::try_from(index).map_err(|_| wrong())? }))
    }
}

/// Returns `true` if `uri` has the origin of `prefix` and a path below that of `prefix`.
fn below(uri: &Url, prefix: &Url) -> bool {
    let root = prefix.path().trim_end_matches('/');
    let rest = uri.path().strip_prefix(root);
    uri.origin() == prefix.origin()
        && uri.username().is_empty()
        && uri.password().is_none()
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl StatusList {
    /// Reads the claims of a list whose signature was checked.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) fn parse(
        claims: &ClaimMap,
        uri: &Url,
        issuer: &Issuer,
        now: Timestamp,
        leeway: Duration,
    ) -> Result<Self, Rejection> {
        if let Some(found) = claims::text(claims, "iss")?.filter(|found| *found != issuer.as_str()) {
            let expected = issuer.as_str().into();
            return Err(Rejection::IssuerMismatch { expected, found: Excerpt::new(found) });
        }
        if claims::text(claims, "sub")? != Some(uri.as_str()) {
            return Err(wrong("sub", "the URI of the list"));
        }
        let missing = Rejection::MissingClaim { claim: "iat".into(), advice: "" };
        let issued_at = claims::date(claims, "iat")?.ok_or(missing)?;
        if issued_at > now + leeway {
            return Err(Rejection::IssuedInFuture { issued_at, now });
        }
        let expiry = claims::date(claims, "exp")?;
        if let Some(expiry) = expiry.filter(|expiry| now >= *expiry) {
            return Err(Rejection::Expired { expiry, now });
        }
        let ttl = match claims.get("ttl") {
            Some(ttl) => {
                Duration::from_secs(ttl.as_u64().ok_or_else(|| wrong("ttl", "a number of seconds"))?)
            }
            None => DEFAULT_TTL,
        };
        let valid_until = expiry.unwrap_or(now + STALE);
        let fresh_until = (now + ttl.clamp(*TTL.start(), *TTL.end())).min(valid_until);
        let expected = "an object with `bits` (1, 2, 4 or 8) and `lst`, zlib in base64url";
        let list = claims.get("status_list").and_then(Value::as_object);
        let list = list.ok_or_else(|| wrong("status_list", expected))?;
        let bits = list.get("bits").and_then(Value::as_u64).filter(|bits| matches!(bits, 1 | 2 | 4 | 8));
        let bits =
            bits.and_then(|bits| usize::try_from(bits).ok()).ok_or_else(|| wrong("status_list", expected))?;
        let packed = claims::text(list, "lst")?.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let bytes =
            packed.and_then(|packed| inflate(&packed)).ok_or_else(|| wrong("status_list", expected))?;
        Ok(Self { bits, bytes, fresh_until, valid_until })
    }

    /// Returns the end of the time for which an answer of the list counts: until it is fetched again, or until `soon` if
    /// that has failed, and never beyond its expiry.
    pub(crate) fn used_until(&self, soon: Timestamp) -> Timestamp {
        self.fresh_until.max(soon).min(self.valid_until)
    }

    /// Checks that a token is valid: its entry is 0.
    ///
    /// # Errors
    /// [`Rejection::Revoked`] for every other entry, and a rejection for an index beyond the end.
    pub(crate) fn check(&self, reference: &Reference) -> Result<(), Rejection> {
        match self.status(reference.index) {
            Some(0) => Ok(()),
            Some(_) => Err(Rejection::Revoked),
            None => Err(wrong("status", "an index within the list")),
        }
    }

    /// Returns an entry: the least significant bits of a byte come first.
    fn status(&self, index: usize) -> Option<u8> {
        let per_byte = 8 / self.bits;
        let byte = self.bytes.get(index / per_byte)?;
        let mask = u8::MAX >> (8 - self.bits);
        Some((byte >> (index % per_byte * self.bits)) & mask)
    }
}

/// Inflates a list. Returns nothing if it is not zlib, or longer than [`MOST_BYTES`].
fn inflate(packed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MOST_BYTES).ok()? + 1;
    ZlibDecoder::new(packed).take(limit).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= MOST_BYTES).then_some(bytes)
}

fn wrong(claim: &str, expected: &'static str) -> Rejection {
    Rejection::WrongType { claim: claim.into(), expected }
}

impl StatusLists {
    /// Returns a list from memory, or what is to be done about it.
    pub(crate) fn known(&self, uri: &Url, now: Timestamp) -> Known {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(uri).cloned();
        let Held { list, tried, .. } = held.unwrap_or_default();
        let list = list.filter(|list| now < list.valid_until);
        let is_cooling = tried.is_some_and(|tried| now.since(tried) < COOL_DOWN);
        match list {
            Some(list) if now < list.fresh_until || is_cooling => Known::Fresh(list),
            list => Known::Outdated(list),
        }
    }

    /// Returns the lock that is held while a list is fetched.
    pub(crate) fn fetching(&self, uri: &Url) -> Arc<tokio::sync::Mutex<()>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut held, uri);
        held.entry(uri.clone()).or_default().fetching.clone()
    }

    /// Notes an attempt to fetch a list, and the list if that succeeded.
    pub(crate) fn put(&self, uri: &Url, list: Option<Arc<StatusList>>, now: Timestamp) {
        let count = if list.is_some() { &self.fetched } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut held, uri);
        let entry = held.entry(uri.clone()).or_default();
        entry.tried = Some(now);
        if list.is_some() {
            entry.list = list;
        }
    }

    /// Counts a token whose status is of other mechanisms only.
    pub(crate) fn count_unknown_mechanism(&self) {
        self.unknown_mechanisms.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts.
    pub(crate) fn health(&self) -> StatusListHealth {
        StatusListHealth {
            fetched: self.fetched.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            unknown_mechanisms: self.unknown_mechanisms.load(Ordering::Relaxed),
        }
    }

    /// Returns `true` if an attempt to fetch a list has failed a moment ago.
    pub(crate) fn is_cooling(&self, uri: &Url, now: Timestamp) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = held.get(uri).and_then(|held| held.tried);
        tried.is_some_and(|tried| now.since(tried) < COOL_DOWN)
    }
}

impl Default for StatusLists {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            fetches: Semaphore::new(FETCHES),
            fetched: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unknown_mechanisms: AtomicU64::new(0),
        }
    }
}

/// Forgets the list that was tried the longest ago, if there is no room for another. Those that are being fetched for the
/// first time stay.
fn make_room(held: &mut HashMap<Url, Held>, uri: &Url) {
    if held.len() < MOST_LISTS || held.contains_key(uri) {
        return;
    }
    let tried = held.iter().filter(|(_, held)| held.tried.is_some());
    let oldest = tried.min_by_key(|(_, held)| held.tried).or_else(|| held.iter().next());
    if let Some(oldest) = oldest.map(|(uri, _)| uri.clone()) {
        held.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const URI: &str = "https://idp.example/statuslists/1";

    fn uri() -> Url {
        Url::parse(URI).unwrap()
    }

    fn claims(bits: u8, lst: &str) -> Value {
        json!({
            "iss": "https://idp.example", "sub": URI, "iat": NOW.seconds(), "ttl": 300,
            "status_list": { "bits": bits, "lst": lst },
        })
    }

    fn parse(claims: &Value) -> Result<StatusList, Rejection> {
        let issuer = Issuer::parse("https://idp.example").unwrap();
        StatusList::parse(claims.as_object().unwrap(), &uri(), &issuer, NOW, Duration::from_secs(30))
    }

    fn settings(required: bool) -> StatusListSettings {
        serde_json::from_value(
            json!({ "prefixes": ["https://idp.example/statuslists"], "required": required }),
        )
        .unwrap()
    }

    fn reference(status: &Value, required: bool) -> Result<Option<Reference>, Rejection> {
        Reference::of(json!({ "status": status }).as_object().unwrap(), &settings(required))
    }

    /// The vectors of the draft.
    #[test]
    fn the_entries_of_the_drafts_examples_are_read() {
        for (bits, lst, expected) in [
            (1, "eNrbuRgAAhcBXQ", vec![1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]),
            (2, "eNo76fITAAPfAgc", vec![1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]),
        ] {
            let list = parse(&claims(bits, lst)).unwrap();
            let found: Vec<u8> = (0..expected.len()).map(|index| list.status(index).unwrap()).collect();
            assert_eq!(found, expected);
            assert_eq!(list.status(expected.len()), None);
        }
    }

    #[test]
    fn an_entry_other_than_valid_or_beyond_the_end_is_refused() {
        let list = parse(&claims(1, "eNrbuRgAAhcBXQ")).unwrap();
        let at = |index| list.check(&Reference { uri: uri(), index });
        assert_eq!(at(1), Ok(()));
        assert_eq!(at(0), Err(Rejection::Revoked));
        assert!(matches!(at(16), Err(Rejection::WrongType { .. })));
    }

    /// T9.1: a token does not decide to which host this server connects.
    #[test]
    fn a_list_outside_of_the_configured_prefixes_is_refused() {
        let list = |uri: &str| reference(&json!({ "status_list": { "idx": 1, "uri": uri } }), false);
        assert!(list(URI).is_ok_and(|found| found.is_some()));
        for uri in [
            "https://evil.example/statuslists/1",
            "http://idp.example/statuslists/1",
            "https://idp.example:8443/statuslists/1",
            "https://idp.example/statuslists-evil/1",
            "https://idp.example/statuslists/../admin",
            "https://a@idp.example/statuslists/1",
            "http://169.254.169.254/",
            "file:///etc/passwd",
        ] {
            assert!(matches!(list(uri), Err(Rejection::WrongType { .. })), "{uri}");
        }
    }

    /// T9.2: a list that inflates beyond the limit is refused.
    #[test]
    fn a_list_that_inflates_without_end_is_refused() {
        use std::io::Write as _;
        let packed = |length| {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&vec![0; length]).unwrap();
            URL_SAFE_NO_PAD.encode(encoder.finish().unwrap())
        };
        assert!(parse(&claims(8, &packed(MOST_BYTES))).is_ok());
        assert!(matches!(parse(&claims(8, &packed(MOST_BYTES + 1))), Err(Rejection::WrongType { .. })));
    }

    /// T9.3: an unknown mechanism alone is refused only if a status is required.
    #[test]
    fn an_unknown_mechanism_is_refused_only_where_a_status_is_required() {
        assert_eq!(reference(&json!({ "other": {} }), false), Ok(None));
        assert!(matches!(reference(&json!({ "other": {} }), true), Err(Rejection::MissingClaim { .. })));
        assert!(matches!(reference(&json!("x"), false), Err(Rejection::WrongType { .. })));
    }

    /// T9.4: a list is used until it expires while it cannot be fetched again, and no longer.
    #[test]
    fn a_list_is_stale_until_it_expires() {
        let lists = StatusLists::default();
        let mut claims = claims(1, "eNrbuRgAAhcBXQ");
        claims["exp"] = json!(NOW.seconds() + 3600);
        lists.put(&uri(), Some(parse(&claims).unwrap().into()), NOW);
        let known = |after| lists.known(&uri(), NOW + Duration::from_secs(after));
        assert!(matches!(known(299), Known::Fresh(_)));
        assert!(matches!(known(301), Known::Outdated(Some(_))));
        assert!(matches!(known(3600), Known::Outdated(None)));
    }

    /// T9.5: a list of another issuer or with another URI is refused.
    #[test]
    fn another_list_is_refused() {
        let mut foreign = claims(1, "eNrbuRgAAhcBXQ");
        foreign["iss"] = json!("https://other.example");
        assert!(matches!(parse(&foreign), Err(Rejection::IssuerMismatch { .. })));
        let mut other = claims(1, "eNrbuRgAAhcBXQ");
        other["sub"] = json!("https://idp.example/statuslists/2");
        assert!(matches!(parse(&other), Err(Rejection::WrongType { .. })));
        let mut expired = claims(1, "eNrbuRgAAhcBXQ");
        expired["exp"] = json!(NOW.seconds());
        assert!(matches!(parse(&expired), Err(Rejection::Expired { .. })));
    }
}
