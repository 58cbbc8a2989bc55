//! `token inspect` and `explain`: everything that a rule could use of a token.

use scopegate_testkit::{MintKey, TestIssuer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{now, run_in};

/// A provider, a configuration that takes its tokens, and a folder that holds it.
struct Site {
    issuer: TestIssuer,
    key: MintKey,
    folder: TempDir,
}

impl Site {
    async fn start() -> Self {
        let issuer = TestIssuer::start().await;
        let key = MintKey::es256("k1");
        issuer.publish(&[&key]);
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "providers: {{ idp: {{ kind: oidc, issuer: {}, audience: api, role_claims: [roles] }} }}\n\
             routes: [ {{ match: /verified, require: {{ claims: {{ email_verified: true, client_secret: a }} }} }} ]\n",
            issuer.url()
        );
        std::fs::write(folder.path().join("scopegate.yaml"), text).unwrap();
        Self { issuer, key, folder }
    }

    fn token(&self, claims: &Value) -> String {
        let mut all = json!({ "iss": self.issuer.url(), "aud": "api", "exp": now() + 7200 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        self.key.token(&all)
    }
}

/// Scopes, roles, groups, client, actor, times in words, by what a signal can match the token, and what is
/// unusual.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_rule_could_use_of_a_token_is_shown() {
    let site = Site::start().await;
    let token = site.token(&json!({
        "sub": "alice", "sid": "s-1", "azp": "web", "scope": "items profile", "roles": ["reader"], "groups": ["staff"],
        "act": { "sub": "agent-7" }, "acr": "urn:acme:mfa", "iat": now() - 90, "email_verified": "true",
        "auth_time": now() - 3600,
    }));
    let shown = run_in(site.folder.path(), &["token", "inspect", &token]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for line in [
        "subject     alice",
        "client      web",
        "actor       agent-7",
        "audience    api",
        "scopes      items profile",
        "roles       reader",
        "groups      staff",
        "acr         urn:acme:mfa",
        "matched by  session s-1, subject alice, client web, actor agent-7",
        "unusual     `email_verified` is the text \"true\"",
        "unusual     it has no id (`jti`)",
    ] {
        assert!(shown.stdout.contains(line), "{line}: {}", shown.stdout);
    }
    let line = |name: &str| shown.stdout.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(
        line("expires").contains("in 1 hour") && line("issued ").contains("1 minute"),
        "{}",
        shown.stdout
    );
    assert!(line("signed in").contains("1 hour"), "{}", shown.stdout);
    let bare = run_in(site.folder.path(), &["token", "inspect", "--json", &site.token(&json!({}))]);
    let bare: Value = serde_json::from_str(&bare.stdout).unwrap();
    let unusual = bare["unusual"].to_string();
    for part in ["no subject", "no session", "no client", "neither scopes nor roles", "`iat`"] {
        assert!(unusual.contains(part), "{part}: {unusual}");
    }
}

/// CASES V11: `explain` shows the token's value beside the one that is required, and not that of a claim that may be a
/// secret.
#[tokio::test(flavor = "multi_thread")]
async fn explain_shows_the_tokens_value_beside_the_required_one() {
    let site = Site::start().await;
    let token = site.token(&json!({ "sub": "alice", "email_verified": "true", "client_secret": "hunter2" }));
    let arguments = ["explain", "GET", "/verified", "--token", &token];
    let shown = run_in(site.folder.path(), &arguments);
    assert_eq!(shown.code, 1, "{shown:?}");
    let line = shown.stdout.lines().find(|line| line.contains("email_verified") && line.starts_with("unmet"));
    assert!(line.is_some_and(|line| line.ends_with("the token has \"true\"")), "{}", shown.stdout);
    assert!(!shown.stdout.contains("hunter2"), "{}", shown.stdout);
    let json = run_in(site.folder.path(), &[&arguments[..], &["--json"]].concat());
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let terms = json["alternatives"][0]["requirements"].as_array().unwrap();
    let term = terms.iter().find(|term| term["term"].to_string().contains("email_verified")).unwrap();
    assert_eq!((&term["has"], &term["met"]), (&json!("true"), &json!(false)), "{json}");
    assert!(term["needs"].to_string().contains("true"), "{json}");
    assert!(!json.to_string().contains("hunter2"), "{json}");
}
