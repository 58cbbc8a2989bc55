//! A document that is served somewhere, such as by the upstream itself.

use bytes::Bytes;
use scopegate_oidc::{Http, HttpSettings};
use scopegate_provider::HttpClient;
use url::Url;

use super::error::DocumentError;

/// The longest document that is read: 8 MiB.
const MAX_DOCUMENT: usize = 8 << 20;

/// The URL of a document, if it is one and not a file. It is shown in messages, so it holds nothing secret.
///
/// # Errors
/// A URL that could hold a secret, or is none.
pub(super) fn url(text: &str) -> Result<Option<Url>, DocumentError> {
    if !text.contains("://") {
        return Ok(None);
    }
    let url = Url::parse(text).map_err(|_| DocumentError::Url)?;
    let plain = url.username().is_empty() && url.password().is_none();
    let short = url.query().is_none() && url.fragment().is_none();
    if plain && short && matches!(url.scheme(), "http" | "https") {
        Ok(Some(url))
    } else {
        Err(DocumentError::Url)
    }
}

/// Fetches a document, which may take as long as `settings` say. It blocks, as reading a file does.
///
/// # Errors
/// There is no answer, or another than 200.
pub(super) fn fetch(url: &Url, settings: HttpSettings) -> Result<Vec<u8>, DocumentError> {
    let client = |error: &dyn std::fmt::Display| DocumentError::Client { detail: error.to_string() };
    let http = Http::new(settings).map_err(|error| client(&error))?.with_limit(MAX_DOCUMENT);
    let request = http::Request::get(url.as_str()).body(Bytes::new()).map_err(|_| DocumentError::Url)?;
    // A thread of its own, since the caller's may be one of a runtime.
    let answer = std::thread::scope(|scope| {
        let fetching = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok::<_, std::io::Error>(runtime.block_on(http.send(request)))
        });
        fetching.join()
    });
    let answer = answer.map_err(|_| client(&"it failed"))?.map_err(|error| client(&error))?;
    let answer = answer.map_err(DocumentError::Http)?;
    match answer.status() {
        http::StatusCode::OK => Ok(answer.into_body().into()),
        status => Err(DocumentError::Status { status: status.as_u16() }),
    }
}
