//! A changed configuration is taken over without a restart; a bad one changes nothing.

use std::fs;

use crate::{
    support::{Client, Server, eventually},
    tutorial::DEVELOPMENT,
};

const OPEN: &str = "\n  - { match: GET /elsewhere, allow: anonymous }\n";

async fn becomes(client: &Client, path: &str, status: u16) {
    eventually(async || client.get(path).await.status, |now| *now == status).await;
}

#[tokio::test]
async fn a_changed_file_is_in_force_without_a_restart_and_tokens_stay_good() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items").await;
    assert_eq!(client.get("/api/private").await.status, 401);
    let changed =
        DEVELOPMENT.replace("GET /api/private, allow: authenticated", "GET /api/private, allow: nobody");
    fs::write(server.folder().join("scopegate.yaml"), changed).unwrap();
    becomes(&client, "/api/private", 403).await;
    assert_eq!(client.get_with("/items", &token).await.status, 200, "the embedded issuer kept its keys");
}

#[tokio::test]
async fn sighup_reads_the_configuration_again() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    fs::write(server.folder().join("scopegate.yaml"), format!("{DEVELOPMENT}{OPEN}")).unwrap();
    server.signal("HUP");
    // Permitted, and nothing is there: another reason than before.
    let reason =
        async || client.get("/elsewhere").await.json()["reason"].as_str().unwrap_or_default().to_owned();
    eventually(reason, |reason| reason == "nothing_here").await;
}

#[tokio::test]
async fn invariant_13_a_bad_file_changes_nothing_and_a_good_one_after_it_does() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let file = server.folder().join("scopegate.yaml");
    fs::write(&file, DEVELOPMENT.replace("routes:", "rotues:")).unwrap();
    server.signal("HUP");
    fs::write(
        &file,
        format!("{DEVELOPMENT}{OPEN}")
            .replace("GET /api/public, allow: anonymous", "GET /api/public, allow: nobody"),
    )
    .unwrap();
    server.signal("HUP");
    becomes(&client, "/api/public", 403).await;
}

#[tokio::test]
async fn an_emptied_file_changes_nothing() {
    let server = Server::start(DEVELOPMENT);
    let (client, operations) = (Client::new(&server.url), Client::new(&server.operations));
    fs::write(server.folder().join("scopegate.yaml"), "").unwrap();
    let metrics = async || operations.get("/metrics").await.text;
    let refused = r#"scopegate_config_reloads_total{outcome="bad"} 1"#;
    eventually(metrics, |page| page.contains(refused)).await;
    assert_eq!(client.get("/api/public").await.status, 200);
}

#[tokio::test]
async fn a_mounted_file_behind_links_is_noticed_when_the_link_moves() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    for (name, text) in [
        ("..1", DEVELOPMENT.to_owned()),
        ("..2", DEVELOPMENT.replace("GET /, allow: anonymous", "GET /, allow: nobody")),
    ] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("scopegate.yaml"), text).unwrap();
    }
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, root.join(from)).unwrap();
    link("..1", "..data");
    link("..data/scopegate.yaml", "mounted.yaml");
    let server = Server::in_folder(folder, &["--config", "mounted.yaml"], &[]);
    let client = Client::new(&server.url);
    assert_eq!(client.get("/").await.status, 200);
    link("..2", "..new");
    fs::rename(root.join("..new"), root.join("..data")).unwrap();
    becomes(&client, "/", 403).await;
}

#[tokio::test]
async fn the_variables_that_kubernetes_injects_disturb_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("scopegate.yaml"), DEVELOPMENT).unwrap();
    let variables = [("SCOPEGATE_PORT", "tcp://10.0.0.1:80"), ("SCOPEGATE_SERVICE_HOST", "10.0.0.1")];
    let server = Server::in_folder(folder, &[], &variables);
    assert_eq!(Client::new(&server.url).get("/").await.status, 200);
}

#[tokio::test]
async fn sigterm_ends_it_after_requests_in_flight() {
    let mut server = Server::start(DEVELOPMENT);
    assert_eq!(Client::new(&server.url).get("/").await.status, 200);
    server.signal("TERM");
    assert!(server.wait().await.success());
}
