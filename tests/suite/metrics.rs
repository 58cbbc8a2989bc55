//! What operators count by.

use crate::{
    support::{Client, Server, eventually},
    tutorial::DEVELOPMENT,
};

/// The value of the sample that begins with this name and holds these labels.
fn sample(page: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let fits = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    };
    page.lines().find(fits)?.rsplit(' ').next()?.parse().ok()
}

async fn scrape(server: &Server) -> String {
    let answer = Client::new(&server.operations).get("/metrics").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "text/plain; version=0.0.4; charset=utf-8")
    );
    answer.text
}

#[tokio::test]
async fn answers_are_counted_by_route_decision_reason_and_provider() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items").await;
    client.get_with("/items", &token).await;
    client.get_with("/items/1", &token).await;
    client.get("/items").await;
    client.get("/nowhere/at/all").await;

    let page = scrape(&server).await;
    let requests = |labels: &[&str]| sample(&page, "scopegate_requests_total", labels);
    assert_eq!(
        requests(&["GET /items/**", "\"permit\"", "\"permitted\"", "\"local\"", "2xx"]),
        Some(2.0),
        "{page}"
    );
    assert_eq!(requests(&["GET /items/**", "\"deny\"", "\"no_token\"", "4xx"]), Some(1.0), "{page}");
    assert_eq!(requests(&["route=\"\"", "\"deny\"", "\"no_route\"", "4xx"]), Some(1.0), "{page}");
    assert!(!page.contains("nowhere"), "a raw path: {page}");
}

#[tokio::test]
async fn metrics_are_not_served_where_callers_come() {
    let server = Server::start(DEVELOPMENT);
    assert_eq!(Client::new(&server.url).get("/metrics").await.status, 404);
}

#[tokio::test]
async fn invariant_11_neither_token_nor_secret_is_among_the_metrics() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items").await;
    client.get_with("/items", &token).await;
    client.get_with("/items", "opaque-token-of-somebody").await;
    client.get(&format!("/{token}?access_token={token}")).await;
    client.get_with(&format!("/items/{token}"), &token).await;
    client.send("GET", "/items", &[("authorization", "Basic ZGVtbzpkZW1vLXNlY3JldA==")], "").await;

    let page = scrape(&server).await;
    let others = ["demo-secret", "ZGVtbzpkZW1vLXNlY3JldA", "opaque-token-of-somebody"];
    let shown = token.split('.').chain(others).find(|secret| page.contains(secret));
    assert_eq!(shown, None, "{page}");
}

#[tokio::test]
async fn checks_look_ups_keys_and_revocations_are_told() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let token = client.token("", "demo", "demo-secret", "items").await;
    let other = client.token("", "reader", "reader-secret", "items").await;
    client.get_with("/items", &token).await;
    client.get_with("/items", &token).await;
    client.form("/revoke", &format!("token={other}")).await;

    let page = scrape(&server).await;
    let told = |name: &str, labels: &[&str]| sample(&page, name, labels);
    assert_eq!(told("scopegate_decision_seconds_count", &[]), Some(2.0), "{page}");
    assert_eq!(told("scopegate_verified_token_lookups_total", &["\"hit\""]), Some(1.0), "{page}");
    assert!(told("scopegate_verified_token_lookups_total", &["\"miss\""]) >= Some(1.0), "{page}");
    assert!(told("scopegate_verified_tokens", &[]) >= Some(1.0), "{page}");
    assert!(told("scopegate_signature_check_seconds_count", &[]) >= Some(1.0), "{page}");
    assert_eq!(told("scopegate_signature_checks_shed_total", &[]), Some(0.0), "{page}");
    assert_eq!(told("scopegate_revocations", &[]), Some(1.0), "{page}");
    assert!(told("scopegate_key_refreshes_total", &["\"local\"", "\"good\""]) >= Some(1.0), "{page}");
    assert!(told("scopegate_key_age_seconds", &["\"local\""]) < Some(60.0), "{page}");
    assert_eq!(told("scopegate_provider_ready", &["\"local\""]), Some(1.0), "{page}");
    assert_eq!(told("scopegate_ready", &[]), Some(1.0), "{page}");
}

/// Metrics of the process have the names that Prometheus clients use.
#[tokio::test]
async fn memory_processor_time_and_files_of_the_process_are_shown() {
    let server = Server::start(DEVELOPMENT);
    let page = scrape(&server).await;
    let value = |name: &str| sample(&page, name, &[]).unwrap_or_default();
    assert!(value("process_resident_memory_bytes") > 1e6, "{page}");
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"), "{page}");
    assert!(
        value("process_open_fds") > 3.0 && value("process_open_fds") < value("process_max_fds"),
        "{page}"
    );
    assert!(page.contains("\nprocess_cpu_seconds_total "), "{page}");
}

#[tokio::test]
async fn configurations_that_are_read_anew_are_counted_by_whether_they_are_good() {
    let server = Server::start(DEVELOPMENT);
    let reloads =
        async |outcome: &str| sample(&scrape(&server).await, "scopegate_config_reloads_total", &[outcome]);
    let write = |text: &str| std::fs::write(server.folder().join("scopegate.yaml"), text).unwrap();

    write("nonsense: 1\n");
    eventually(async || reloads("\"bad\"").await, |count| *count >= Some(1.0)).await;
    write(&DEVELOPMENT.replace("docs: true", "docs: false"));
    eventually(async || reloads("\"good\"").await, |count| *count == Some(1.0)).await;
    assert_eq!(sample(&scrape(&server).await, "scopegate_config_generation", &[]), Some(2.0));
}
