//! The background task that refreshes an issuer's metadata and keys.

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use scopegate_provider::{Clock, Excerpt, HttpError};
use tokio::sync::Notify;
use url::Url;

use crate::{
    discovery::{DiscoveryError, get, redirect_target},
    key_set::{KeySet, KeySetError},
    metadata::Metadata,
    remote_keys::{KeySource, RemoteKeySet, Status},
    retry::{asked_wait, back_off, shorten},
    settings::JwksSettings,
};

/// The shortest interval that `Cache-Control` can bring about: Okta has sent `no-store`, Auth0 `max-age=15`.
const FLOOR: Duration = Duration::from_mins(5);

/// The longest interval between two attempts while there are no keys, whatever `Retry-After` asks for: until then every
/// token is answered with an outage.
const LONGEST_WITHOUT_KEYS: Duration = Duration::from_secs(30);

/// The interval at which a key file is read anew.
const FILE_INTERVAL: Duration = Duration::from_secs(30);

/// An error of a fetch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    /// The metadata cannot be fetched.
    #[error("discovery: {0}")]
    Discovery(#[from] DiscoveryError),
    /// The metadata names no key set.
    #[error("the discovery document names no usable `jwks_uri`; set `jwks_uri`")]
    NoJwksUri,
    /// The key endpoint gives no answer.
    #[error("keys: {0}")]
    Http(#[from] HttpError),
    /// The key endpoint answers with a redirect, which is not followed.
    #[error(
        "keys: `{url}` redirects to {to}, which is not followed; if that is the right place, set `jwks_uri` to it"
    )]
    Redirect { url: Url, to: Excerpt },
    /// The key endpoint answers with an error.
    #[error("keys: `{url}` answered {status}")]
    Status { url: Url, status: StatusCode, retry_after: Option<Duration> },
    /// The answer is not a key set.
    #[error("keys: at `{url}`: {problem}")]
    KeySet { url: Url, problem: KeySetError },
    /// The key file cannot be read.
    #[error("keys: cannot read `{path}`: {problem}")]
    File { path: String, problem: String },
    /// The settings hold no usable keys.
    #[error("keys: `jwks.keys`: {0}")]
    Inline(KeySetError),
}

/// Fetches until the issuer is dropped: on schedule, and when woken.
pub(crate) async fn run(issuer: Weak<RemoteKeySet>) {
    let mut failures = 0;
    let mut woken = false;
    while let Some(issuer) = issuer.upgrade() {
        issuer.begin();
        let outcome = fetch(&issuer, woken).await;
        let wait = conclude(&issuer, &outcome, &mut failures);
        let has_own_keys = !matches!(issuer.plan.keys, KeySource::Discovery | KeySource::Unneeded);
        if has_own_keys && issuer.plan.discovery.is_some() && !woken {
            // Keys are configured, but token requests need the metadata.
            if let Err(error) = metadata(&issuer, false).await {
                tracing::debug!(issuer = %issuer.issuer, %error, "no discovery document beside the given keys");
            }
        }
        let (clock, wake) = (issuer.clock.clone(), issuer.wake.clone());
        // The task must not keep the issuer alive while it waits.
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

/// Fetches once. Returns the time for which the result may be used, as its headers say.
async fn fetch(issuer: &RemoteKeySet, woken: bool) -> Result<Duration, RefreshError> {
    let url = match &issuer.plan.keys {
        KeySource::Unneeded => {
            match metadata(issuer, false).await {
                Err(error) if issuer.plan.needs_metadata => return Err(error),
                Ok(_) | Err(_) => {}
            }
            return Ok(issuer.plan.jwks.refresh.get());
        }
        KeySource::File(path) => {
            issuer.accept(read_keys(issuer, path)?);
            return Ok(FILE_INTERVAL.min(issuer.plan.jwks.refresh.get()));
        }
        KeySource::Inline(json) => {
            issuer.accept(KeySet::parse(json, &issuer.plan.algorithms).map_err(RefreshError::Inline)?);
            return Ok(issuer.plan.jwks.refresh.get());
        }
        KeySource::Url(url) => url.clone(),
        KeySource::Discovery => {
            metadata(issuer, woken).await?.jwks_uri.clone().ok_or(RefreshError::NoJwksUri)?
        }
    };
    let (set, wait) = keys(issuer, &url, woken).await?;
    issuer.accept(set);
    Ok(wait)
}

fn read_keys(issuer: &RemoteKeySet, path: &Path) -> Result<KeySet, RefreshError> {
    let set = match std::fs::read(path) {
        Ok(json) => KeySet::parse(&json, &issuer.plan.algorithms).map_err(|problem| problem.to_string()),
        Err(problem) => Err(problem.to_string()),
    };
    set.map_err(|problem| RefreshError::File { path: path.display().to_string(), problem })
}

/// Returns the metadata: fetched on schedule, from memory while a token waits or the issuer does not answer.
async fn metadata(issuer: &RemoteKeySet, token_waits: bool) -> Result<Arc<Metadata>, RefreshError> {
    let known = issuer.metadata.load_full();
    if let (Some(known), true) = (&known, token_waits) {
        return Ok(known.clone());
    }
    let Some(discovery) = &issuer.plan.discovery else { return Err(RefreshError::NoJwksUri) };
    match (discovery.fetch(&*issuer.http).await, known) {
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

async fn keys(issuer: &RemoteKeySet, url: &Url, woken: bool) -> Result<(KeySet, Duration), RefreshError> {
    let answer = issuer.http.send(request(url, woken)).await?;
    let status = answer.status();
    let headers = answer.headers();
    if let Some(to) = redirect_target(&answer) {
        return Err(RefreshError::Redirect { url: url.clone(), to });
    }
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

/// Returns a request for the key set. Caches on the way are bypassed only for a key that is not in the set.
fn request(url: &Url, woken: bool) -> http::Request<Bytes> {
    let mut request = get(url);
    if woken {
        request.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    request
}

/// Records the end of a fetch. Returns the time until the next.
fn conclude(issuer: &RemoteKeySet, outcome: &Result<Duration, RefreshError>, failures: &mut u32) -> Duration {
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
            let asked = error.retry_after().unwrap_or_default();
            if issuer.ready() {
                back_off(*failures, FLOOR).max(asked)
            } else {
                back_off(*failures, LONGEST_WITHOUT_KEYS).max(asked).min(LONGEST_WITHOUT_KEYS)
            }
        }
    };
    status.next_refresh = Some(issuer.clock.now() + wait);
    issuer.status.store(Arc::new(status));
    issuer.end(outcome.is_err());
    wait
}

/// Returns the time for which keys are used before they are fetched again: `max-age` (RFC 9111, section 5.2.2.1) between [`FLOOR`] and
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
            Self::NoJwksUri
            | Self::Http(_)
            | Self::Redirect { .. }
            | Self::KeySet { .. }
            | Self::File { .. }
            | Self::Inline(_) => None,
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
