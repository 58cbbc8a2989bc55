//! The sign-in at a provider: authorization code with PKCE. The node exchanges the code; the browser never sees the token.

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
    rand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use scopegate_provider::{BearerToken, Provider, ScopeSet, Secret, SignIn, SignInRequest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{problem::Problem, reason::Reason};

/// The longest time of a sign-in, in seconds.
pub(super) const LIFETIME: i64 = 600;

/// A sign-in that was begun, kept sealed in a cookie of the browser that began it.
#[derive(Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) provider: String,
    /// The screen to return to.
    pub(super) to: String,
    state: String,
    verifier: String,
    nonce: String,
    /// In milliseconds since 1970.
    ends: i64,
}

/// Errors of a sign-in.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignInError {
    /// The sign-in was not begun in this browser, or too long ago.
    #[error("the sign-in was not begun in this browser, or more than ten minutes ago: start again")]
    NotPending,
    /// The provider refused.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// The provider does not answer as it should.
    #[error("the provider cannot be reached now: try again, or paste a token")]
    Unavailable,
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        let reason = match &error {
            SignInError::NotPending | SignInError::Refused(_) => Reason::SignInRefused,
            SignInError::Unavailable => Reason::ProviderUnavailable,
        };
        Self::new(reason, error.to_string())
    }
}

/// Begins a sign-in. Returns the provider's page, and what the browser keeps meanwhile.
pub(super) async fn begin(
    provider: (&str, &dyn SignIn),
    redirect_uri: &str,
    to: String,
    scopes: Option<&ScopeSet>,
    now: Timestamp,
) -> Result<(String, Pending), SignInError> {
    let (name, sign_in) = provider;
    let state = random()?;
    let verifier = random()?;
    let nonce = random()?;
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let request = SignInRequest { redirect_uri, state: &state, nonce: &nonce, challenge: &challenge, scopes };
    let url = sign_in.authorization_url(request).await.map_err(|_| SignInError::Unavailable)?;
    let ends = now.millis().saturating_add(LIFETIME * 1000);
    Ok((url, Pending { provider: name.to_owned(), to, state, verifier, nonce, ends }))
}

impl Pending {
    /// Ends the sign-in: exchanges the code of the provider's answer, which holds the state that it was begun with.
    pub(super) async fn finish(
        self,
        provider: &dyn Provider,
        answer: &[u8],
        redirect_uri: &str,
        now: Timestamp,
    ) -> Result<BearerToken, SignInError> {
        let Some(sign_in) = provider.sign_in() else { return Err(SignInError::NotPending) };
        let state = super::parameter(answer, "state").unwrap_or_default();
        let is_ours = verify_slices_are_equal(state.as_bytes(), self.state.as_bytes()).is_ok();
        if !is_ours || now.millis() >= self.ends {
            return Err(SignInError::NotPending);
        }
        // RFC 9207: an answer of another issuer must not be taken for this provider's.
        if super::parameter(answer, "iss").is_some_and(|issuer| !provider.serves(&issuer)) {
            return Err(SignInError::Refused("the answer is that of another issuer".to_owned()));
        }
        if let Some(error) = super::parameter(answer, "error") {
            let description = super::parameter(answer, "error_description").unwrap_or(error);
            return Err(SignInError::Refused(description));
        }
        let code = super::parameter(answer, "code").ok_or(SignInError::NotPending)?;
        let verifier = Secret::new(self.verifier);
        match sign_in.redeem(&code, &verifier, redirect_uri, &self.nonce).await {
            Ok(granted) => Ok(granted.access_token),
            Err(scopegate_provider::TokenRequestError::Unavailable(_)) => Err(SignInError::Unavailable),
            Err(error) => Err(SignInError::Refused(error.to_string())),
        }
    }
}

fn random() -> Result<String, SignInError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| SignInError::Unavailable)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
