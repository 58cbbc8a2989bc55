//! Fetches a document by its URL, such as from the upstream itself.

use bytes::Bytes;
use scopegate_oidc::{Http, HttpSettings};
use scopegate_provider::{ByteSize, HttpClient, HttpError};
use url::Url;

use crate::config::diagnostics::DocumentError;

/// Parses the URL of a document; `None` for a file. It is shown in messages, so it may not hold a secret.
///
/// # Errors
/// Not a URL, or one that could hold a secret.
pub(super) fn url(text: &str) -> Result<Option<Url>, DocumentError> {
    if !text.contains("://") {
        return Ok(None);
    }
    let url = Url::parse(text).map_err(|_| DocumentError::Url)?;
    let has_no_user = url.username().is_empty() && url.password().is_none();
    let is_short = url.query().is_none() && url.fragment().is_none();
    if has_no_user && is_short && matches!(url.scheme(), "http" | "https") {
        Ok(Some(url))
    } else {
        Err(DocumentError::Url)
    }
}

/// Fetches a document of at most `limit`. Blocks, as reading a file does.
///
/// # Errors
/// The server cannot be reached, takes longer than `settings` allow, or answers with another status than 200.
pub(super) fn fetch(url: &Url, settings: HttpSettings, limit: ByteSize) -> Result<Vec<u8>, DocumentError> {
    let http = Http::new(settings).map_err(client_error)?.with_limit(limit.get());
    let request = http::Request::get(url.as_str()).body(Bytes::new()).map_err(|_| DocumentError::Url)?;
    // A thread of its own, since the caller's may be one of a runtime.
    let answer = std::thread::scope(|scope| {
        let fetching = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok::<_, std::io::Error>(runtime.block_on(http.send(request)))
        });
        fetching.join()
    });
    let answer = answer.map_err(|_| client_error("the request panicked"))?.map_err(client_error)?;
    let answer = answer.map_err(|error| match error {
        HttpError::TooLarge { .. } => DocumentError::TooLarge { limit, advice: larger(limit) },
        error => DocumentError::Http(error),
    })?;
    match answer.status() {
        http::StatusCode::OK => Ok(answer.into_body().into()),
        status => Err(DocumentError::Status { status: status.as_u16() }),
    }
}

fn client_error(error: impl std::fmt::Display) -> DocumentError {
    DocumentError::Client { detail: error.to_string() }
}

/// A limit to advise where `limit` was too small: four times as much.
pub(super) fn larger(limit: ByteSize) -> ByteSize {
    ByteSize::new(limit.get().saturating_mul(4))
}
