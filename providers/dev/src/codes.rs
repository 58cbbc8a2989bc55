//! Authorization codes (RFC 6749, section 4.1.2).

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use scopegate_provider::{Audience, ClientId, ScopeSet};

/// The lifetime of a code, in seconds.
const LIFETIME: i64 = 60;

/// The most codes that may be unredeemed at a time.
const MOST: usize = 1_000;

/// An authorization that a person has granted and the client has not redeemed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorization {
    /// The client that sent the browser.
    pub(crate) client: String,
    pub(crate) redirect_uri: String,
    /// The code challenge (RFC 7636, section 4.2), by S256.
    pub(crate) challenge: String,
    /// The account that the person signed in with.
    pub(crate) account: ClientId,
    pub(crate) audience: Option<Vec<Audience>>,
    pub(crate) scopes: ScopeSet,
    /// `Some` if an ID token was requested, with the nonce that it carries.
    pub(crate) id_token: Option<IdTokenRequest>,
    /// The moment of the sign-in, in seconds since the epoch.
    pub(crate) signed_in: i64,
}

/// A request for an ID token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdTokenRequest {
    pub(crate) nonce: Option<String>,
}

/// The codes that were not redeemed yet. Each can be redeemed once, within a minute.
#[derive(Default)]
pub(crate) struct Codes(Mutex<HashMap<String, Authorization>>);

impl Codes {
    /// Keeps an authorization under a code. Returns `false` if too many wait already.
    pub(crate) fn insert(&self, code: String, authorization: Authorization) -> bool {
        let mut entries = self.entries();
        let oldest = authorization.signed_in - LIFETIME;
        entries.retain(|_, kept| kept.signed_in > oldest);
        if entries.len() >= MOST {
            return false;
        }
        entries.insert(code, authorization);
        true
    }

    /// Removes and returns the authorization of a code that is alive; `now` is in seconds since the epoch.
    pub(crate) fn take(&self, code: &str, now: i64) -> Option<Authorization> {
        self.entries().remove(code).filter(|kept| now < kept.signed_in + LIFETIME)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Authorization>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(signed_in: i64) -> Authorization {
        Authorization {
            client: "page".to_owned(),
            redirect_uri: "http://127.0.0.1/callback".to_owned(),
            challenge: "c".to_owned(),
            account: ClientId::parse("demo").unwrap(),
            audience: None,
            scopes: ScopeSet::default(),
            id_token: None,
            signed_in,
        }
    }

    #[test]
    fn a_code_is_good_once_and_for_a_minute() {
        let codes = Codes::default();
        for code in ["a", "b"] {
            assert!(codes.insert(code.to_owned(), authorization(100)));
        }
        assert_eq!(codes.take("a", 159), Some(authorization(100)));
        assert_eq!(codes.take("a", 159), None);
        assert_eq!(codes.take("b", 160), None);
    }

    #[test]
    fn codes_that_are_never_redeemed_make_room_when_they_expire() {
        let codes = Codes::default();
        for number in 0..MOST {
            assert!(codes.insert(number.to_string(), authorization(100)));
        }
        assert!(!codes.insert("one more".to_owned(), authorization(159)));
        assert!(codes.insert("later".to_owned(), authorization(160)));
    }
}
