//! `scopegate init`: a first configuration, written from nothing but a token.

use scopegate_testkit::{MintKey, TestIssuer, bad_variants};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Client, Run, Server, Upstream, now, run, run_in};

/// An issuer that no kind of provider knows, and a token of it.
struct Unknown {
    _issuer: TestIssuer,
    key: MintKey,
    header: Value,
    claims: Value,
}

impl Unknown {
    async fn start(typ: &Value, claims: &Value) -> Self {
        let issuer = TestIssuer::start().await;
        let key = MintKey::es256("k1");
        issuer.publish(&[&key]);
        let mut header = json!({ "alg": key.algorithm(), "kid": "k1" });
        if !typ.is_null() {
            header["typ"] = typ.clone();
        }
        let mut all = json!({ "iss": issuer.url(), "sub": "alice", "iat": now() - 60, "exp": now() + 3000 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        Self { _issuer: issuer, key, header, claims: all }
    }

    fn token(&self) -> String {
        self.key.token_with(&self.header, &self.claims)
    }

    /// Writes a configuration from the token alone, and asserts that `check --online` accepts it.
    fn configuration(&self, folder: &TempDir, upstream: &Upstream) -> String {
        let file = folder.path().join("new.yaml");
        let file = file.to_str().unwrap();
        let service = format!("http://{}", upstream.address);
        let token = self.token();
        let arguments = ["init", "--from-token", &token, "--output", file, "--behind", "proxy", "--upstream"];
        let written = run_in(folder.path(), &[&arguments[..], &[&service]].concat());
        assert_eq!(written.code, 0, "{written:?}");
        assert!(written.stdout.contains("the sample token: accepted"), "{written:?}");
        assert!(written.stdout.contains("check --online") && written.stdout.contains("serve"), "{written:?}");
        let checked: Run = run_in(folder.path(), &["--config", file, "check", "--online"]);
        assert_eq!(checked.code, 0, "{checked:?}");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.starts_with('#') && !text.contains(&token), "{text}");
        text
    }
}

/// Given only a token of an unknown issuer, the configuration that is written accepts the token and refuses the
/// corpus of its bad variants, each with its own reason, whatever the token looks like.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_unknown_issuer_is_enough_for_a_configuration_that_refuses_its_bad_variants() {
    let shapes = [
        (
            json!("at+jwt"),
            json!({ "aud": "https://api.example", "client_id": "web", "scope": "items profile" }),
        ),
        (
            Value::Null,
            json!({ "aud": ["api", "https://idp.example/userinfo"], "scp": ["items"], "groups": ["a"] }),
        ),
        (json!("JWT"), json!({ "azp": "web", "jti": "1", "realm_access": { "roles": ["reader"] } })),
        (json!("JWT"), json!({ "aud": "web", "nonce": "n", "email": "alice@acme.example" })),
    ];
    for (typ, claims) in shapes {
        let unknown = Unknown::start(&typ, &claims).await;
        let upstream = Upstream::start();
        let folder = tempfile::tempdir().unwrap();
        let text = unknown.configuration(&folder, &upstream);
        let text = text.replace("127.0.0.1:8080", "127.0.0.1:0");
        let server = Server::start(&format!("{text}\noperations: {{ listen: 127.0.0.1:0 }}\n"));
        let client = Client::new(&server.url);
        let good = client.get_with("/api/1", &unknown.token()).await;
        assert_eq!(good.status, 200, "{claims}: {good:?}\n{text}");
        for bad in bad_variants(&unknown.key, &unknown.header, &unknown.claims, now()) {
            let answer = client.get_with("/api/1", &bad.token).await;
            let found = (answer.status, answer.json()["reason"].as_str().map(str::to_owned));
            // The issuer selects the provider, so that the program knows none for another.
            let reason = bad.reason.replace("issuer_mismatch", "unknown_issuer");
            assert_eq!(found, (401, Some(reason)), "{}: {answer:?}\n{text}", bad.fault);
        }
        assert_eq!(client.get("/api/1").await.status, 401);
    }
}

/// Nothing is guessed: what a command line does not say is asked for by its flag.
#[test]
fn without_a_terminal_missing_answers_are_named_by_their_flags() {
    for (arguments, flag) in [
        (&["init"][..], "--issuer"),
        (&["init", "--issuer", "https://id.example"], "--audience"),
        (&["init", "--from-token", "opaque"], "expected a JWT"),
    ] {
        let run = run(&[], arguments);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(flag), "{run:?}");
    }
}
