//! What must not be seen, looked for in everything that the program writes (invariant 11).

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    support::{Client, eventually},
    tutorial::DEVELOPMENT,
};

/// The program, writing all that it writes into one file.
pub(crate) struct Written {
    child: Child,
    folder: tempfile::TempDir,
}

impl Written {
    pub(crate) fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("scopegate.yaml"), config).unwrap();
        let all = File::create(folder.path().join("all")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_scopegate"))
            .current_dir(folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(all.try_clone().unwrap())
            .stderr(all)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    /// Waits until it listens, and returns its URL.
    pub(crate) async fn url(&self) -> String {
        let told = eventually(async || self.text(), |told| told.lines().any(|line| line == "ready")).await;
        let line = told.lines().find_map(|line| line.trim().strip_prefix("listening on"));
        line.unwrap().trim().to_owned()
    }

    /// Returns what has been written so far.
    pub(crate) fn text(&self) -> String {
        read(&self.folder.path().join("all"))
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(&self.url().await)
    }

    pub(crate) fn end(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        read(&self.folder.path().join("all"))
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()
}

#[tokio::test]
async fn invariant_11_neither_token_nor_secret_is_in_anything_that_is_written() {
    let config = format!("{DEVELOPMENT}telemetry: {{ log: {{ level: trace }} }}\n");
    let written = Written::start(&config);
    let client = written.client().await;
    let token = client.token("", "demo", "demo-secret", "items").await;
    let (signed, _) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.Zm9yZ2VkLXNpZ25hdHVyZQ");
    let opaque = "opaque-token-of-somebody";

    for bearer in [token.as_str(), token.as_str(), &forged, opaque] {
        client.get_with("/items", bearer).await;
    }
    client.get(&format!("/items?access_token={token}")).await;
    client.send("GET", "/items", &[("authorization", "Basic ZGVtbzpkZW1vLXNlY3JldA==")], "").await;
    client
        .form("/token", "grant_type=client_credentials&client_id=demo&client_secret=not-the-secret-at-all")
        .await;
    client.form("/revoke", &format!("token={token}")).await;
    assert_eq!(client.get_with("/items", &token).await.status, 401, "revoked");

    let all = written.end();
    assert!(all.contains("refused") && all.contains("signature_invalid"), "too little is written: {all}");
    let parts = token.split('.').chain(forged.split('.').skip(2));
    let secrets = ["demo-secret", "not-the-secret-at-all", "ZGVtbzpkZW1vLXNlY3JldA", opaque];
    for secret in parts.chain(secrets) {
        let line = all.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret:?} is written: {line:?}");
    }
}
