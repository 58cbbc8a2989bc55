//! Fetching an issuer's metadata and keys, again and again.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use scopegate_provider::{Clock, HttpError};
use tokio::sync::Notify;
use url::Url;

use crate::{
    discovery::{DiscoveryError, get},
    key_set::{KeySet, KeySetError},
    keys::{LiveIssuer, Status},
    metadata::Metadata,
    retry::{asked_wait, back_off, shorten},
    settings::JwksSettings,
};

/// The least between two fetches that `Cache-Control` can bring about: Okta has sent `no-store`, Auth0 `max-age=15`.
const FLOOR: Duration = Duration::from_mins(5);

/// The longest between two tries while there are no keys.
const LONGEST_WITHOUT_KEYS: Duration = Duration::from_mins(1);

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    /// The metadata cannot be had.
    #[error("discovery: {0}")]
    Discovery(#[from] DiscoveryError),
    /// The metadata names no key set.
    #[error("the discovery document names no usable `jwks_uri`; set `jwks_uri`")]
    NoJwksUri,
    /// No answer from the key set's place.
    #[error("keys: {0}")]
    Http(#[from] HttpError),
    /// An answer, but not with success.
    #[error("keys: `{url}` answered {status}")]
    Status { url: Url, status: StatusCode, retry_after: Option<Duration> },
    /// An answer that is no key set.
    #[error("keys: at `{url}`: {problem}")]
    KeySet { url: Url, problem: KeySetError },
}

/// Fetches until the issuer is dropped: when it is time, and when somebody wakes it.
pub(crate) async fn run(issuer: Weak<LiveIssuer>) {
    let (mut failures, mut woken) = (0, false);
    while let Some(issuer) = issuer.upgrade() {
        issuer.begin();
        let outcome = fetch(&issuer, woken).await;
        let wait = conclude(&issuer, &outcome, &mut failures);
        if issuer.plan.jwks_uri.is_some() && issuer.plan.keys_wanted && !woken {
            // Keys can be had without it, token requests cannot.
            if let Err(error) = metadata(&issuer, false).await {
                tracing::debug!(issuer = %issuer.issuer, %error, "no discovery document beside the given keys");
            }
        }
        let (clock, wake) = (issuer.clock.clone(), issuer.wake.clone());
        // The task must not keep alive what it waits for the end of.
        drop(issuer);
        woken = woken_within(&*clock, &wake, wait).await;
    }
}

async fn woken_within(clock: &dyn Clock, wake: &Notify, wait: Duration) -> bool {
    tokio::select! {
        () = wake.notified() => true,
        () = clock.sleep(wait) => false,
    }
}

/// One fetch; how long what came may be used, as its headers say.
async fn fetch(issuer: &LiveIssuer, woken: bool) -> Result<Duration, RefreshError> {
    if !issuer.plan.keys_wanted {
        metadata(issuer, false).await?;
        return Ok(issuer.plan.jwks.refresh.get());
    }
    let url = match &issuer.plan.jwks_uri {
        Some(url) => url.clone(),
        None => metadata(issuer, woken).await?.jwks_uri.clone().ok_or(RefreshError::NoJwksUri)?,
    };
    let (set, wait) = keys(issuer, &url, woken).await?;
    issuer.accept(set);
    Ok(wait)
}

/// The metadata: anew when it is time, from memory when a key is in a hurry or the issuer does not answer.
async fn metadata(issuer: &LiveIssuer, hurry: bool) -> Result<Arc<Metadata>, RefreshError> {
    let known = issuer.metadata.load_full();
    if let (Some(known), true) = (&known, hurry) {
        return Ok(known.clone());
    }
    match (issuer.plan.discovery.fetch(&*issuer.http).await, known) {
        (Ok(metadata), _) => {
            let metadata = Arc::new(metadata);
            issuer.metadata.store(Some(metadata.clone()));
            Ok(metadata)
        }
        (Err(error), Some(known)) => {
            tracing::warn!(issuer = %issuer.issuer, %error, "the discovery document cannot be fetched anew");
            Ok(known)
        }
        (Err(error), None) => Err(error.into()),
    }
}

async fn keys(issuer: &LiveIssuer, url: &Url, woken: bool) -> Result<(KeySet, Duration), RefreshError> {
    let answer = issuer.http.send(request(url, woken)).await?;
    let (status, headers) = (answer.status(), answer.headers());
    if status != StatusCode::OK {
        return Err(RefreshError::Status {
            url: url.clone(),
            status,
            retry_after: asked_wait(headers, issuer.clock.now()),
        });
    }
    let set = KeySet::parse(answer.body(), &issuer.plan.algorithms)
        .map_err(|problem| RefreshError::KeySet { url: url.clone(), problem })?;
    Ok((set, interval(headers, &issuer.plan.jwks)))
}

/// Caches on the way are asked to look again only if somebody knows of a key that they don't.
fn request(url: &Url, woken: bool) -> http::Request<Bytes> {
    let mut request = get(url);
    if woken {
        request.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    request
}

/// Notes how a fetch ended; how long to wait for the next.
fn conclude(issuer: &LiveIssuer, outcome: &Result<Duration, RefreshError>, failures: &mut u32) -> Duration {
    let mut status = Status::clone(&issuer.status.load());
    let wait = match outcome {
        Ok(wait) => {
            if *failures > 0 {
                tracing::info!(issuer = %issuer.issuer, "the issuer answers again");
            }
            *failures = 0;
            status.last_refresh = Some(issuer.clock.now());
            status.last_error = None;
            status.refreshes += 1;
            shorten(*wait, 0.1)
        }
        Err(error) => {
            *failures = failures.saturating_add(1);
            tracing::warn!(issuer = %issuer.issuer, %error, failures, "the issuer's keys cannot be fetched");
            status.last_error = Some(error.to_string());
            status.failed_refreshes += 1;
            let longest = if issuer.ready() { FLOOR } else { LONGEST_WITHOUT_KEYS };
            back_off(*failures, longest).max(error.retry_after().unwrap_or_default())
        }
    };
    status.next_refresh = Some(issuer.clock.now() + wait);
    issuer.status.store(Arc::new(status));
    issuer.end(outcome.is_err());
    wait
}

/// How long keys are used before they are fetched again: `max-age` (RFC 9111, section 5.2.2.1) between [`FLOOR`] and
/// `jwks.refresh`; the floor if the answer is not to be kept.
fn interval(headers: &HeaderMap, jwks: &JwksSettings) -> Duration {
    let longest = jwks.refresh.get();
    let directives = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut wait = longest;
    for directive in
        directives.flat_map(|value| value.split(',')).map(|word| word.trim().to_ascii_lowercase())
    {
        match directive.split_once('=') {
            Some(("max-age", seconds)) => {
                wait = wait.min(Duration::from_secs(seconds.trim_matches('"').parse().unwrap_or(u64::MAX)));
            }
            None if directive == "no-store" || directive == "no-cache" => wait = Duration::ZERO,
            _ => {}
        }
    }
    wait.clamp(FLOOR.min(longest), longest)
}

impl RefreshError {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Discovery(error) => error.retry_after(),
            Self::NoJwksUri | Self::Http(_) | Self::KeySet { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(cache_control: &'static str) -> Duration {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
        interval(&headers, &JwksSettings::default())
    }

    #[test]
    fn cache_control_is_honoured_within_bounds() {
        assert_eq!(with("public, max-age=15, stale-while-revalidate=15, stale-if-error=86400"), FLOOR);
        assert_eq!(with("max-age=1200"), Duration::from_mins(20));
        assert_eq!(with("max-age=3832304"), Duration::from_hours(1));
        assert_eq!(with("no-cache, no-store"), FLOOR);
        assert_eq!(with("private"), Duration::from_hours(1));
    }
}
