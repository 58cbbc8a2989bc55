//! The limit of bodies that scopegate's own operations read.

use poem::{Request, Result, error::ReadBodyError};

use crate::{problem::Problem, reason::Reason, server::RequestBodyError};

/// The longest body in bytes: no JSON that these operations take is nearly as long.
const MOST: usize = 256 << 10;

/// It has a limit of its own, and reads as it goes.
const IMPORT: &str = "/admin/revocations/import";

/// [`bounded`], for the administration's operations: an import of revocations is handed on unread.
///
/// # Errors
/// As of [`bounded`].
pub async fn bounded_administration(request: Request) -> Result<Request> {
    if request.uri().path() == IMPORT { Ok(request) } else { bounded(request).await }
}

/// The request with its body read, so that whoever reads it after this reads no more than may come.
///
/// # Errors
/// [`Problem`]: 413 if the body is longer, 408 if it is slow, 400 if it is malformed or incomplete.
pub async fn bounded(mut request: Request) -> Result<Request> {
    let body = request.take_body();
    if !body.is_empty() {
        request.set_body(body.into_bytes_limit(MOST).await.map_err(|error| refused(&error))?);
    }
    Ok(request)
}

fn refused(error: &ReadBodyError) -> Problem {
    match error {
        ReadBodyError::PayloadTooLarge => {
            let description = format!("the body is longer than {MOST} bytes");
            Problem::new(Reason::BodyTooLarge, description)
        }
        error => body_error(error).problem(),
    }
}

/// Returns the reason why a body could not be read, as the listener answers it.
pub(super) fn body_error(error: &ReadBodyError) -> RequestBodyError {
    RequestBodyError::find(error).unwrap_or(RequestBodyError::Incomplete)
}

#[cfg(test)]
mod tests {
    use poem::Body;

    use http::StatusCode;

    use super::*;

    fn request(path: &'static str, body: Body) -> Request {
        Request::builder().uri(path.parse().unwrap()).body(body)
    }

    async fn length(bounded: Result<Request>) -> Result<usize, StatusCode> {
        let mut request = bounded.map_err(|error| error.status())?;
        Ok(request.take_body().into_vec().await.unwrap().len())
    }

    async fn read(body: Body) -> Result<usize, StatusCode> {
        length(bounded(request("/items", body)).await).await
    }

    fn too_long() -> Body {
        Body::from_vec(vec![b' '; MOST + 1])
    }

    /// A body that says no length.
    fn endless() -> Body {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 4096]));
        Body::from_bytes_stream(chunks)
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_handed_on() {
        assert_eq!(read(Body::empty()).await, Ok(0));
        assert_eq!(read(Body::from_vec(vec![b' '; MOST])).await, Ok(MOST));
    }

    #[tokio::test]
    async fn a_longer_body_is_413_even_if_it_says_no_length() {
        assert_eq!(read(too_long()).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(read(endless()).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test]
    async fn only_the_administrations_import_has_a_limit_of_its_own() {
        let administration =
            async |path| length(bounded_administration(request(path, too_long())).await).await;
        assert_eq!(administration(IMPORT).await, Ok(MOST + 1));
        for other in ["/admin/scopes/x", "/x/admin/revocations/import", "/admin/revocations/import/"] {
            assert_eq!(administration(other).await, Err(StatusCode::PAYLOAD_TOO_LARGE), "{other}");
        }
        assert_eq!(
            length(bounded(request(IMPORT, too_long())).await).await,
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        );
    }
}
