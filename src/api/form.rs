//! The forms of OAuth's endpoints (RFC 6749, section 2.3.1 and appendix B) and the client that sends them.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use poem::{Body, Request, error::ReadBodyError};
use scopegate_provider::{ClientCredentials, ClientId, Secret};

use super::body::body_error;
use crate::{problem::Problem, reason::Reason, server::RequestBodyError};

/// A token of 16 KiB and what belongs to it fit; nothing larger is a form of OAuth.
const LIMIT: usize = 32 * 1024;

/// A form that was sent: pairs in their order.
pub(super) struct Form(Vec<(String, String)>);

/// Errors of reading a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    #[error("expected a body of the type application/x-www-form-urlencoded")]
    ContentType,
    #[error("the form is longer than {LIMIT} bytes")]
    TooLong,
    #[error(transparent)]
    Body(#[from] RequestBodyError),
    #[error("the parameter `{name}` stands more than once (RFC 6749, section 3.2)")]
    Twice { name: &'static str },
}

/// Errors of reading a client's credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClientError {
    #[error("malformed Authorization header: expected Basic with a client id and secret")]
    Malformed,
    #[error("the client is named twice: by HTTP Basic and in the form (RFC 6749, section 2.3)")]
    Twice,
}

impl From<FormError> for Problem {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Body(error) => error.problem(),
            _ => Self::new(Reason::MalformedForm, error.to_string()),
        }
    }
}

impl Form {
    /// Reads a form; an empty body is an empty form.
    pub(super) async fn read(request: &Request, body: Body) -> Result<Self, FormError> {
        let bytes = body.into_bytes_limit(LIMIT).await.map_err(|error| match error {
            ReadBodyError::PayloadTooLarge => FormError::TooLong,
            error => FormError::Body(body_error(&error)),
        })?;
        let kind = request.content_type().and_then(|kind| kind.split(';').next()).map(str::trim);
        let is_form = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        if !bytes.is_empty() && !is_form {
            return Err(FormError::ContentType);
        }
        Ok(Self(url::form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    /// The parameter of this name; one without a value counts as left out (RFC 6749, section 3.1).
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, FormError> {
        let mut values = self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(FormError::Twice { name }),
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
        }
    }

    /// All values of a parameter that may be repeated.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(found, value)| found == name && !value.is_empty());
        values.map(|(_, value)| value.clone()).collect()
    }

    /// The client that sends it: by HTTP Basic or in the form, not both.
    pub(super) fn client(&self, headers: &HeaderMap) -> Result<Option<ClientCredentials>, ClientError> {
        let in_form = match (self.one("client_id"), self.one("client_secret")) {
            (Ok(Some(id)), Ok(Some(secret))) => Some(credentials(id, secret)?),
            (Ok(_), Ok(_)) => None,
            _ => return Err(ClientError::Malformed),
        };
        match (basic(headers)?, in_form) {
            (Some(_), Some(_)) => Err(ClientError::Twice),
            (basic, in_form) => Ok(basic.or(in_form)),
        }
    }
}

fn basic(headers: &HeaderMap) -> Result<Option<ClientCredentials>, ClientError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(header::AUTHORIZATION) {
            Err(ClientError::Malformed)
        } else {
            Ok(None)
        };
    };
    let text = value.to_str().map_err(|_| ClientError::Malformed)?;
    let (scheme, encoded) = text.split_once(' ').ok_or(ClientError::Malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(ClientError::Malformed);
    }
    let pair = STANDARD.decode(encoded.trim()).map_err(|_| ClientError::Malformed)?;
    let pair = String::from_utf8(pair).map_err(|_| ClientError::Malformed)?;
    let (id, secret) = pair.split_once(':').ok_or(ClientError::Malformed)?;
    credentials(&unescape(id), &unescape(secret)).map(Some)
}

/// RFC 6749 wants id and secret form-encoded before Basic's base64; most clients do not, so `+` is left alone.
fn unescape(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), Into::into)
}

fn credentials(id: &str, secret: &str) -> Result<ClientCredentials, ClientError> {
    let id = ClientId::parse(id).map_err(|_| ClientError::Malformed)?;
    if secret.is_empty() {
        Err(ClientError::Malformed)
    } else {
        Ok(ClientCredentials { id, secret: Secret::new(secret) })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn form(text: &str) -> Form {
        Form(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    fn with_basic(pair: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(pair));
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
    }

    fn pair(client: &ClientCredentials) -> (&str, &str) {
        (client.id.as_str(), client.secret.reveal())
    }

    #[test]
    fn a_client_comes_by_basic_or_in_the_form() {
        let by_basic = form("").client(&with_basic("demo:s:e%2Bc+ret")).unwrap().unwrap();
        assert_eq!(pair(&by_basic), ("demo", "s:e+c+ret"));
        let in_form = form("client_id=demo&client_secret=x").client(&HeaderMap::new()).unwrap().unwrap();
        assert_eq!(pair(&in_form), ("demo", "x"));
    }

    #[test]
    fn a_client_that_comes_twice_is_refused() {
        let refused = form("client_id=demo&client_secret=x").client(&with_basic("demo:x")).unwrap_err();
        assert_eq!(refused, ClientError::Twice);
    }

    #[test]
    fn a_parameter_that_stands_twice_is_refused() {
        assert_eq!(form("scope=a&scope=b").one("scope"), Err(FormError::Twice { name: "scope" }));
    }

    #[test]
    fn a_bearer_token_is_no_client() {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer abc"))]);
        assert_eq!(form("").client(&headers).unwrap_err(), ClientError::Malformed);
    }
}
