//! ID tokens of a sign-in (OpenID Connect Core 1.0, section 3.1.3.7).

use aws_lc_rs::constant_time::verify_slices_are_equal;
use scopegate_provider::{Excerpt, Rejection, Timestamp};

use crate::{
    claims,
    jwt::Jwt,
    logout_token::{check_issuer, required_date},
    rules::{TokenRules, TokenType},
    verify::{Admitted, Signed},
};

impl TokenRules {
    /// Checks header and `iss` of an ID token.
    pub(crate) fn admit_id_token(&self, jwt: Jwt) -> Result<Admitted, Rejection> {
        let issuer = self.expected_issuer(jwt.unverified_issuer()?)?;
        self.admit_typed(jwt, &[TokenType::parse("JWT"), TokenType::Absent], issuer)
    }

    /// Checks the claims of an ID token that `client` has got for the sign-in with this nonce.
    pub(crate) fn validate_id_token(
        &self,
        signed: &Signed,
        client: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let map = signed.claims();
        check_issuer(map, signed.issuer())?;
        let audience = claims::audience(map, &[])?;
        let authorized = claims::text(map, "azp")?;
        let is_ours = audience.iter().any(|name| name.as_str() == client)
            && authorized.map_or(audience.len() == 1, |party| party == client);
        if !is_ours {
            let found = Excerpt::new(audience.first().map_or("", |name| name.as_str()));
            return Err(Rejection::AudienceMismatch { found, expected: client.into(), advice: "" });
        }
        let expiry = required_date(map, "exp")?;
        if now >= expiry + self.leeway {
            return Err(Rejection::Expired { expiry, now });
        }
        let found = claims::text(map, "nonce")?.unwrap_or_default();
        if verify_slices_are_equal(found.as_bytes(), nonce.as_bytes()).is_err() {
            return Err(Rejection::Malformed { detail: "expected the `nonce` of this sign-in" });
        }
        Ok(())
    }
}
