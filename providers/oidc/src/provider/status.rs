//! The status of verified tokens, in the lists that their issuer publishes.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, header};
use scopegate_provider::{
    AuthnError, AuthnFailure, BearerToken, Issuer, Outage, OutageCause, Principal, Timestamp,
};
use url::Url;

use super::OidcProvider;
use crate::{
    discovery::get,
    jwt::Jwt,
    rules::TokenType,
    status_list::{COOL_DOWN, Known, LIST_TYPE, Reference, StatusList},
};

/// The most bytes of a list as it is published: more than a list that inflates to 1 MiB of random bits.
const LONGEST_LIST: usize = 1 << 20;

/// The time until a new attempt if a list cannot be had.
const RETRY: Duration = Duration::from_secs(5);

impl OidcProvider {
    /// Checks the status of a token that holds otherwise, if the settings say where lists are. The principal is answered
    /// from memory for as long as the list is fresh.
    pub(super) async fn check_status(&self, principal: Principal) -> Result<Principal, AuthnFailure> {
        let Some(settings) = self.settings.status_list() else { return Ok(principal) };
        let until = match Reference::of(principal.claims().map(), settings) {
            Ok(None) => {
                if principal.claims().map().contains_key("status") {
                    self.status_lists.count_unknown_mechanism();
                }
                return Ok(principal);
            }
            Ok(Some(reference)) => self.status_until(&reference, principal.issuer()).await,
            Err(rejection) => Err(rejection.into()),
        };
        match until {
            Ok(until) => Ok(principal.cached_until(until)),
            Err(error) => Err(AuthnFailure { error, client: principal.client().cloned() }),
        }
    }

    /// Checks an entry. Returns the moment until which the answer counts.
    async fn status_until(&self, reference: &Reference, issuer: &Issuer) -> Result<Timestamp, AuthnError> {
        let list = self.list(&reference.uri, issuer).await?;
        list.check(reference)?;
        // A list that is used beyond its time because no newer one can be had is looked at again soon.
        Ok(list.used_until(self.clock.now() + COOL_DOWN))
    }

    /// Returns a list: from memory, or fetched. One that cannot be fetched again is used until it expires, and not beyond
    /// (T9.4).
    async fn list(&self, uri: &Url, issuer: &Issuer) -> Result<Arc<StatusList>, AuthnError> {
        if let Known::Fresh(list) = self.status_lists.known(uri, self.clock.now()) {
            return Ok(list);
        }
        let fetching = self.status_lists.fetching(uri);
        let _fetching = fetching.lock().await;
        let now = self.clock.now();
        // Another token may have waited for the same list.
        let earlier = match self.status_lists.known(uri, now) {
            Known::Fresh(list) => return Ok(list),
            Known::Outdated(earlier) => earlier,
        };
        if !self.status_lists.is_cooling(uri, now) {
            let _permit = self.status_lists.fetches.acquire().await;
            let fetched = self.fetch_list(uri, issuer).await;
            if let Err(problem) = &fetched {
                tracing::warn!(provider = %self.rules.provider, %uri, %problem, "cannot use the status list");
            }
            let list = fetched.ok().map(Arc::new);
            self.status_lists.put(uri, list.clone(), now);
            if let Some(list) = list {
                return Ok(list);
            }
        }
        earlier.ok_or_else(|| Outage::new(OutageCause::StatusList, RETRY).into())
    }

    /// Fetches a list and verifies it with the keys of the token's issuer.
    async fn fetch_list(&self, uri: &Url, issuer: &Issuer) -> Result<StatusList, String> {
        let mut request = get(uri);
        let accept = HeaderValue::from_static("application/statuslist+jwt");
        request.headers_mut().insert(header::ACCEPT, accept);
        let response = self.requester.http.send(request).await.map_err(|error| error.to_string())?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("it answered {}", response.status()));
        }
        let text = std::str::from_utf8(response.body()).map_err(|_| "expected a JWT".to_owned())?;
        let token = BearerToken::parse(text.trim_ascii()).map_err(|error| error.to_string())?;
        let verified = async {
            let jwt = Jwt::parse_document(&token, LONGEST_LIST)?;
            let admitted = self.rules.admit_typed(jwt, &[TokenType::parse(LIST_TYPE)], issuer.clone())?;
            let signed = self.check_signature(admitted).await?;
            let list = StatusList::parse(signed.claims(), uri, issuer, self.clock.now(), self.rules.leeway);
            Ok(list?)
        };
        verified.await.map_err(|error: AuthnError| error.to_string())
    }
}
