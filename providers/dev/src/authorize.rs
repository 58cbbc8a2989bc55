//! The authorization endpoint (RFC 6749, section 4.1) with PKCE (RFC 7636), and its sign-in page. The accounts are the
//! clients of the settings: a person signs in with the id and the secret of one of them.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use scopegate_oidc::is_loopback_in_browsers;
use scopegate_provider::ScopeSet;
use url::Url;

use crate::{
    client::Shown,
    codes::{Authorization, IdTokenRequest},
    form::Form,
    refusal::Refusal,
    service::{Service, random},
};

/// The scopes of OpenID Connect and `offline_access`, which are not those of an API.
const OPENID_SCOPES: [&str; 6] = ["openid", "profile", "email", "address", "phone", "offline_access"];

/// The parameters of the sign-in form that are not part of the authorization request.
const OWN_FIELDS: [&str; 2] = ["account", "secret"];

/// An authorization request of a known client, whose errors may be sent to its redirect URI.
pub(crate) struct AuthorizationRequest {
    client: String,
    redirect_uri: String,
    parameters: Form,
}

/// The answer to an authorization request.
pub(crate) enum Authorized {
    /// The sign-in page, with a refusal of the last attempt.
    Page(String),
    /// The browser returns to the client.
    Redirect(Url),
}

impl AuthorizationRequest {
    /// Checks the parameters that decide if the browser may be sent back at all (RFC 6749, section 4.1.2.1).
    ///
    /// # Errors
    /// The person is to see the refusal: the client does not.
    pub(crate) fn parse(service: &Service, parameters: Form) -> Result<Self, Refusal> {
        let client = parameters.required("client_id")?.to_owned();
        if !service.knows_client(&client) {
            return Err(Refusal::UnknownClient { found: client });
        }
        let redirect_uri = parameters.required("redirect_uri")?.to_owned();
        if !may_receive_code(&redirect_uri) {
            return Err(Refusal::RedirectUri { found: redirect_uri });
        }
        Ok(Self { client, redirect_uri, parameters })
    }

    /// Checks the other parameters.
    fn check(&self) -> Result<(), Refusal> {
        let response_type = self.parameters.required("response_type")?;
        if response_type != "code" {
            return Err(Refusal::UnsupportedResponseType { found: response_type.to_owned() });
        }
        self.parameters.required("code_challenge")?;
        if self.parameters.value("code_challenge_method") != Some("S256") {
            return Err(Refusal::ChallengeMethod);
        }
        if self.parameters.value("prompt") == Some("none") {
            return Err(Refusal::LoginRequired);
        }
        Ok(())
    }

    /// Returns the page at which a person signs in, or sends the browser back with an error.
    pub(crate) fn begin(&self, service: &Service) -> Authorized {
        match self.check() {
            Ok(()) => Authorized::Page(self.page(service, None)),
            Err(refusal) => self.send_back(service, &Err(refusal)),
        }
    }

    /// Takes the account and secret that the person has entered, and sends the browser back with a code.
    pub(crate) fn finish(&self, service: &Service) -> Authorized {
        match self.check().and_then(|()| self.authorize(service)) {
            Err(refusal @ (Refusal::WrongCredentials | Refusal::NoCredentials)) => {
                Authorized::Page(self.page(service, Some(&refusal)))
            }
            done => self.send_back(service, &done),
        }
    }

    /// Returns a code for what the person grants: the requested scopes that the account has.
    fn authorize(&self, service: &Service) -> Result<String, Refusal> {
        let account = self.parameters.value("account").zip(self.parameters.value("secret"));
        let (id, secret) = account.ok_or(Refusal::NoCredentials)?;
        let account = service.tenant.clients.authenticate(&Shown::new(id, secret))?;
        let asked = self.parameters.value("scope").unwrap_or_default();
        let openid = asked.split(' ').any(|scope| scope == "openid");
        let of_api: Vec<&str> = asked.split(' ').filter(|scope| !OPENID_SCOPES.contains(scope)).collect();
        // A person grants what they have, and no more; a scope that no account has is the client's error.
        let granted: Vec<&str> = of_api
            .iter()
            .copied()
            .filter(|scope| {
                let is_foreign = service.tenant.clients.iter().any(|other| holds(&other.scopes, scope));
                holds(&account.scopes, scope) || !is_foreign
            })
            .collect();
        if granted.is_empty() && !of_api.is_empty() {
            return Err(Refusal::AccessDenied { account: account.id.to_string(), scopes: of_api.join(" ") });
        }
        let scope = granted.join(" ");
        let grant =
            service.tenant.dialect.grant(&service.tenant, account, &self.parameters.with("scope", &scope))?;
        let authorization = Authorization {
            client: self.client.clone(),
            redirect_uri: self.redirect_uri.clone(),
            challenge: self.parameters.required("code_challenge")?.to_owned(),
            account: account.id.clone(),
            audience: grant.audience,
            scopes: grant.scopes,
            id_token: openid
                .then(|| IdTokenRequest { nonce: self.parameters.value("nonce").map(str::to_owned) }),
            signed_in: service.now(),
        };
        let code = random::<32>().ok_or(Refusal::NoRandomness)?;
        if service.memory.codes.insert(code.clone(), authorization) { Ok(code) } else { Err(Refusal::Busy) }
    }

    /// Sends the browser back with a code or an error, the `state` as it came, and `iss` (RFC 9207).
    fn send_back(&self, service: &Service, result: &Result<String, Refusal>) -> Authorized {
        let Ok(mut url) = Url::parse(&self.redirect_uri) else {
            let refusal = Refusal::RedirectUri { found: self.redirect_uri.clone() };
            return Authorized::Page(error_page(&refusal));
        };
        let mut query = url.query_pairs_mut();
        match result {
            Ok(code) => query.append_pair("code", code),
            Err(refusal) => query
                .append_pair("error", refusal.code())
                .append_pair("error_description", &refusal.description()),
        };
        if let Some(state) = self.parameters.value("state") {
            query.append_pair("state", state);
        }
        query.append_pair("iss", service.issuer.as_str());
        drop(query);
        Authorized::Redirect(url)
    }

    /// Returns the origin to which the form of the page may lead.
    pub(crate) fn redirect_origin(&self) -> String {
        Url::parse(&self.redirect_uri).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }

    fn page(&self, service: &Service, refusal: Option<&Refusal>) -> String {
        let mut accounts: Vec<&str> =
            service.tenant.clients.iter().map(|client| client.id.as_str()).collect();
        accounts.sort_unstable();
        let chosen = self.parameters.value("account").unwrap_or_default();
        let mut options = String::new();
        for account in accounts {
            let selected = if account == chosen { " selected" } else { "" };
            options.extend(["<option", selected, ">", &escaped(account), "</option>"]);
        }
        let mut hidden = String::new();
        for (name, value) in self.parameters.pairs().filter(|(name, _)| !OWN_FIELDS.contains(name)) {
            let name = escaped(name);
            hidden.extend(["<input type=\"hidden\" name=\"", &name, "\" value=\"", &escaped(value), "\">\n"]);
        }
        let fault = refusal.map_or_else(String::new, |refusal| {
            format!("<p class=\"fault\" role=\"alert\">{}</p>\n", escaped(&refusal.description()))
        });
        let asked = self.parameters.value("scope").unwrap_or("every scope of the account");
        let body = format!(
            "<h1>Sign in</h1>\n<p>at the development issuer <code>{issuer}</code>, for <code>{client}</code></p>\n{fault}\
             <form method=\"post\">\n{hidden}\
             <label for=\"account\">Account</label>\n<select id=\"account\" name=\"account\" autofocus>{options}</select>\n\
             <label for=\"secret\">Secret</label>\n<input id=\"secret\" name=\"secret\" type=\"password\" \
             autocomplete=\"off\" required>\n\
             <p class=\"soft\">The accounts are the clients of the settings. Requested: <code>{asked}</code></p>\n\
             <button type=\"submit\">Sign in</button>\n</form>",
            issuer = escaped(service.issuer.as_str()),
            client = escaped(&self.client),
            asked = escaped(asked),
        );
        document("Sign in", &body)
    }
}

/// Returns the page with the reason why an authorization request cannot be answered at all.
pub(crate) fn error_page(refusal: &Refusal) -> String {
    let body = format!(
        "<h1>The sign-in cannot start</h1>\n<p class=\"fault\" role=\"alert\">{} (<code>{}</code>)</p>",
        escaped(&refusal.description()),
        refusal.code()
    );
    document("The sign-in cannot start", &body)
}

/// Returns the challenge of a code verifier by S256 (RFC 7636, section 4.2).
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// Returns `Content-Security-Policy` of the pages. A form's redirects fall under `form-action` in Chromium, too.
pub(crate) fn content_security_policy(redirect_origin: &str) -> String {
    format!(
        "default-src 'none'; style-src '{}'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' {redirect_origin}",
        *STYLE_HASH
    )
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/22px system-ui,sans-serif;max-width:440px;margin:12vh auto;padding:0 24px;\
color:light-dark(#1c1e1f,#ece9e2);background:light-dark(#faf9f6,#131516)}\
code,select,input{font-family:ui-monospace,monospace}code{overflow-wrap:anywhere}\
form{display:grid;gap:8px}\
select,input,button{font-size:15px;min-height:40px;padding:0 8px;color:inherit;\
background:light-dark(#fff,#1b1e1f);border:1px solid light-dark(#8b8679,#737a7c);border-radius:3px}\
:focus-visible{outline:2px solid light-dark(#1f5fd6,#8ab6ff);outline-offset:2px}\
.fault{color:light-dark(#a7330e,#ff9671)}.soft{color:light-dark(#4d5153,#bab9b3)}";

static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| format!("sha256-{}", STANDARD.encode(digest(&SHA256, STYLE.as_bytes()))));

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} · development issuer</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn holds(scopes: &ScopeSet, scope: &str) -> bool {
    scopes.iter().any(|held| held.as_str() == scope)
}

/// Returns `true` for a URL of this machine without a fragment: no other may receive a code.
fn may_receive_code(redirect_uri: &str) -> bool {
    let Ok(url) = Url::parse(redirect_uri) else { return false };
    is_loopback_in_browsers(&url) && matches!(url.scheme(), "http" | "https") && url.fragment().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_this_machine_may_receive_a_code() {
        for good in ["http://127.0.0.1:8000/callback", "https://api.localhost/x?y=z", "http://[::1]/"] {
            assert!(may_receive_code(good), "{good}");
        }
        for bad in [
            "https://evil.example/",
            "http://127.0.0.1.evil.example/",
            "http://127.0.0.1@evil.example/",
            "http://localhost/#fragment",
            "javascript:alert(1)",
            "myapp://localhost/",
            "/callback",
        ] {
            assert!(!may_receive_code(bad), "{bad}");
        }
    }

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_that_of_the_specification() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn markup_in_a_parameter_becomes_text() {
        assert_eq!(escaped("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
    }
}
