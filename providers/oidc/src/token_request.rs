//! Requests for tokens and revocations at the provider.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use openidconnect::{
    ExtraTokenFields, OAuth2TokenResponse, StandardErrorResponse, StandardTokenResponse,
    core::{CoreErrorResponseType, CoreTokenType},
};
use scopegate_provider::{
    BearerToken, Clock, HttpClient, Outage, OutageCause, ScopeSet, Secret, Timestamp, TokenRequestError,
    TokenResponse,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    client::{CannotSign, Client, Form},
    retry::asked_wait,
};

/// The time until a new attempt, if the provider names none.
const RETRY: Duration = Duration::from_secs(2);

type Granted = StandardTokenResponse<SignInFields, CoreTokenType>;
type Refused = StandardErrorResponse<CoreErrorResponseType>;

/// The member of a token response that a sign-in adds (OpenID Connect Core 1.0, section 3.1.3.3).
#[derive(Deserialize, Serialize)]
struct SignInFields {
    id_token: Option<String>,
}

impl fmt::Debug for SignInFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInFields")
    }
}

impl ExtraTokenFields for SignInFields {}

/// Okta's error object, which it sends in place of RFC 6749's when it throttles.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OktaError {
    error_code: String,
    error_summary: Option<String>,
}

/// A client of the token and revocation endpoints.
#[derive(Debug)]
pub(crate) struct Requester {
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Requester {
    /// Requests a token with the client-credentials grant (RFC 6749, section 4.4).
    pub(crate) async fn request_token(
        &self,
        client: &Client,
        endpoint: &Url,
        scopes: Option<&ScopeSet>,
        parameters: &[(&str, &str)],
    ) -> Result<TokenResponse, TokenRequestError> {
        let mut form = Form::default().with("grant_type", "client_credentials");
        if let Some(scopes) = scopes.filter(|scopes| !scopes.is_empty()) {
            form = form.with("scope", &scopes.to_string());
        }
        for (name, value) in parameters {
            form = form.with(name, value);
        }
        Ok(self.request(client, endpoint, form).await?.0)
    }

    /// Exchanges an authorization code for a token and an ID token (RFC 6749, section 4.1.3; RFC 7636, section 4.5).
    pub(crate) async fn redeem(
        &self,
        client: &Client,
        endpoint: &Url,
        code: &str,
        verifier: &Secret,
        redirect_uri: &str,
    ) -> Result<(TokenResponse, Option<Secret>), TokenRequestError> {
        let form = Form::default()
            .with("grant_type", "authorization_code")
            .with("code", code)
            .with("code_verifier", verifier.reveal())
            .with("redirect_uri", redirect_uri);
        self.request(client, endpoint, form).await
    }

    /// Posts a form to the token endpoint and reads the token, and the ID token if there is one.
    async fn request(
        &self,
        client: &Client,
        endpoint: &Url,
        form: Form,
    ) -> Result<(TokenResponse, Option<Secret>), TokenRequestError> {
        let request =
            client.post(endpoint, form, &*self.clock).map_err(|error| cannot_sign(error, endpoint))?;
        let answer = self.http.send(request).await.map_err(|error| out(&error, endpoint))?;
        if answer.status() == StatusCode::OK {
            granted(&answer, endpoint)
        } else {
            Err(refused(&answer, endpoint, self.clock.now()))
        }
    }

    /// Asks to revoke a token (RFC 7009, section 2.1). That the provider does not know it, or does not revoke tokens of
    /// this type (Auth0, Cognito), is no failure: section 2.2 asks for 200 in the first case, 2.2.1 names the second.
    pub(crate) async fn revoke(
        &self,
        client: &Client,
        endpoint: &Url,
        token: &BearerToken,
    ) -> Result<(), Outage> {
        let form = Form::default().with("token", token.reveal()).with("token_type_hint", "access_token");
        let request =
            client.post(endpoint, form, &*self.clock).map_err(|error| cannot_sign(error, endpoint))?;
        let answer = self.http.send(request).await.map_err(|error| out(&error, endpoint))?;
        let is_unsupported = serde_json::from_slice::<Refused>(answer.body())
            .is_ok_and(|refusal| refusal.error().as_ref() == "unsupported_token_type");
        if answer.status().is_success() || is_unsupported {
            return Ok(());
        }
        tracing::warn!(%endpoint, status = %answer.status(), "the provider did not revoke a token");
        Err(Outage::new(
            OutageCause::Provider,
            asked_wait(answer.headers(), self.clock.now()).unwrap_or(RETRY),
        ))
    }
}

fn malformed(endpoint: &Url, problem: &str) -> TokenRequestError {
    tracing::warn!(%endpoint, problem, "the token endpoint's answer cannot be used");
    TokenRequestError::Unavailable(Outage::new(OutageCause::Provider, RETRY))
}

fn granted(
    answer: &Response<Bytes>,
    endpoint: &Url,
) -> Result<(TokenResponse, Option<Secret>), TokenRequestError> {
    // The parser's own message could quote the token.
    let granted: Granted = serde_json::from_slice(answer.body())
        .map_err(|_| malformed(endpoint, "it is not as RFC 6749, section 5.1, defines it"))?;
    let token = granted.access_token().secret();
    let scope = granted
        .scopes()
        .map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" "));
    let id_token = granted.extra_fields().id_token.as_deref().map(Secret::new);
    let response = TokenResponse {
        access_token: BearerToken::parse(token)
            .map_err(|_| malformed(endpoint, "its token is not a bearer token"))?,
        token_type: match granted.token_type() {
            CoreTokenType::Bearer => "Bearer".to_owned(),
            other => other.as_ref().to_owned(),
        },
        expires_in: granted.expires_in(),
        scope,
    };
    Ok((response, id_token))
}

/// RFC 6749, section 5.2, told apart by `error` and not by the status, which differs from provider to provider.
fn refused(answer: &Response<Bytes>, endpoint: &Url, now: Timestamp) -> TokenRequestError {
    let status = answer.status();
    let retry_after = asked_wait(answer.headers(), now);
    let refused = |error: &str, description: Option<&str>| TokenRequestError::Refused {
        status: status.as_u16(),
        error: clean(error),
        description: description.map(clean),
        retry_after,
    };
    if let Ok(error) = serde_json::from_slice::<Refused>(answer.body()) {
        return refused(error.error().as_ref(), error.error_description().map(String::as_str));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        let okta = serde_json::from_slice::<OktaError>(answer.body()).ok();
        let summary = okta.as_ref().and_then(|error| error.error_summary.as_deref());
        return refused("too_many_requests", summary.or(Some("the provider throttles")));
    }
    if let (true, Ok(error)) = (status.is_client_error(), serde_json::from_slice::<OktaError>(answer.body()))
    {
        return refused("invalid_request", error.error_summary.as_deref().or(Some(&error.error_code)));
    }
    tracing::warn!(%endpoint, %status, "the token endpoint does not answer as it should");
    Outage::new(OutageCause::Provider, retry_after.unwrap_or(RETRY)).into()
}

/// Returns a text without control characters: Entra's descriptions hold line breaks, which must not get into a header or
/// a log line.
pub(crate) fn clean(text: &str) -> String {
    text.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn out(error: &scopegate_provider::HttpError, endpoint: &Url) -> Outage {
    tracing::warn!(%endpoint, %error, "the provider cannot be reached");
    Outage::new(OutageCause::Provider, RETRY)
}

fn cannot_sign(error: CannotSign, endpoint: &Url) -> Outage {
    tracing::error!(%endpoint, %error, "the provider cannot be asked");
    Outage::new(OutageCause::Provider, RETRY)
}
