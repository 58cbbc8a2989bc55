//! The parts that all scenarios share: an issuer, its keys, tokens in files, a folder.

use std::{
    fs,
    ops::Range,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::SystemTime,
};

use scopegate_testkit::{MintKey, TestIssuer, base64url, key_set};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::tokens_file;

/// The number of distinct tokens of a load.
pub(crate) const MANY: usize = 20_000;

/// An issuer on loopback, and files with its tokens.
pub(crate) struct World {
    folder: TempDir,
    issuer: TestIssuer,
    /// The keys by which it signs: RS256, ES256, `EdDSA`.
    pub(crate) keys: [MintKey; 3],
    /// The folder of this program's targets.
    targets: PathBuf,
    /// The scopegate of an earlier revision.
    earlier: Option<PathBuf>,
}

impl World {
    /// Starts the issuer.
    pub(crate) async fn new(targets: &Path, earlier: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // nginx and Apache read from it as a user of theirs.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let keys = [MintKey::rs256("rsa"), MintKey::es256("ec"), MintKey::eddsa("ed")];
        let issuer = TestIssuer::start().await;
        issuer.publish(&keys.each_ref());
        let this = Self { folder, issuer, keys, targets: targets.to_owned(), earlier };
        fs::write(this.path("keys.json"), key_set(&this.keys.each_ref()).to_string()).unwrap();
        fs::create_dir(this.path("root")).unwrap();
        fs::write(this.path("root/hello.json"), r#"{"Hello":"World"}"#).unwrap();
        this.write_pem();
        this
    }

    /// Returns a path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a path in the folder as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Returns `iss`.
    pub(crate) fn issuer(&self) -> &str {
        self.issuer.url()
    }

    /// Returns the URL of its key set.
    pub(crate) fn key_set(&self) -> String {
        self.issuer.at(&self.issuer.paths().keys)
    }

    /// Returns the path of a program that was built with this one.
    pub(crate) fn program(&self, name: &str) -> String {
        self.targets.join(name).display().to_string()
    }

    /// Returns the scopegate of an earlier revision, if there is one to compare with.
    pub(crate) fn earlier(&self) -> Option<String> {
        self.earlier.as_ref().map(|program| program.display().to_string())
    }

    /// Writes a configuration file: a template with its `@NAMES@` filled in.
    pub(crate) fn configure(&self, template: &str, name: &str, values: &[(&str, &str)]) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let text = fs::read_to_string(folder.join(template)).unwrap();
        let text = text.replace("@FOLDER@", &self.folder.path().display().to_string());
        let filled = |text: String, (key, value): &(&str, &str)| text.replace(&format!("@{key}@"), value);
        fs::write(self.path(name), values.iter().fold(text, filled)).unwrap();
        self.text(name)
    }

    /// Writes a file of `count` distinct tokens, valid for an hour, of the size that providers give.
    pub(crate) fn tokens(&self, name: &str, key: &MintKey, count: usize) -> PathBuf {
        self.tokens_of(name, key, count, 0)
    }

    /// Writes a file of `count` distinct tokens of about `size` bytes, if that is more than they need.
    pub(crate) fn tokens_of(&self, name: &str, key: &MintKey, count: usize, size: usize) -> PathBuf {
        let missing = size.saturating_sub(key.token(&self.claims(count)).len());
        let halves = thread::scope(|scope| {
            let other = scope.spawn(|| self.mint(key, count / 2..count, missing));
            [self.mint(key, 0..count / 2, missing), other.join().unwrap()]
        });
        tokens_file(self.folder.path(), name, &halves.concat())
    }

    fn mint(&self, key: &MintKey, numbers: Range<usize>, missing: usize) -> Vec<String> {
        // Three bytes make four of base64.
        let filler = "x".repeat((missing * 3 / 4).saturating_sub(r#","org":"""#.len()));
        let organisation = (!filler.is_empty()).then(|| ("org".to_owned(), Value::from(filler)));
        numbers
            .map(|number| {
                let mut claims = self.claims(number);
                if let Some(object) = claims.as_object_mut() {
                    object.extend(organisation.clone());
                }
                key.token(&claims)
            })
            .collect()
    }

    /// Writes a file for a load without a token.
    pub(crate) fn without_token(&self) -> PathBuf {
        tokens_file(self.folder.path(), "none", &[String::new()])
    }

    /// Writes a file of tokens that no check passes: wrong signatures, unknown key ids, garbage.
    pub(crate) fn forged(&self) -> PathBuf {
        let head = |id: &str| base64url(json!({"alg": "RS256", "typ": "JWT", "kid": id}).to_string());
        let forge = |number: usize| {
            let claims = base64url(self.claims(number).to_string());
            let signature = base64url(noise(number as u64, 256));
            match number % 4 {
                0 | 1 => format!("{}.{claims}.{signature}", head("rsa")),
                2 => format!("{}.{claims}.{signature}", head(&format!("unknown-{number}"))),
                _ => base64url(noise(number as u64, 500)),
            }
        };
        tokens_file(self.folder.path(), "forged", &(0..MANY).map(forge).collect::<Vec<_>>())
    }

    fn claims(&self, number: usize) -> Value {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        json!({
            "iss": self.issuer(), "sub": format!("XkJ18vPAwtPWi0zob9d0iZQ0Fou4co5V-{number}@clients"),
            "aud": ["bench", "https://issuer.example/userinfo"], "iat": now, "exp": now + 3600,
            "scope": "openid profile items items:write", "azp": "XkJ18vPAwtPWi0zob9d0iZQ0Fou4co5V",
            "gty": "client-credentials", "jti": format!("weE8uJVd8GpQz3xY0bN4aK-{number}"),
        })
    }

    /// Writes the RSA key as PEM: the public key, and a certificate.
    fn write_pem(&self) {
        let key =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../providers/testkit/data/rsa-2048-a.test-key.pem");
        let public = self.text("public.pem");
        let certificate = self.text("certificate.pem");
        openssl(&["pkey", "-in", key, "-pubout", "-out", &public]);
        openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            key,
            "-subj",
            "/CN=bench",
            "-days",
            "2",
            "-out",
            &certificate,
        ]);
    }
}

fn openssl(arguments: &[&str]) {
    let status = Command::new("openssl").args(arguments).stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "openssl failed");
}

/// Returns pseudo-random bytes that are the same in every run (`SplitMix64`).
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(length).collect()
}
