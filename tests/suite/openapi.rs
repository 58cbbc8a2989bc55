//! OpenAPI documents as routes (`policy_from`), by the program.

use serde_json::Value;

use crate::{
    support::{Client, Server, eventually, run},
    tutorial::DEVELOPMENT,
};

const DOCUMENT: &str = include_str!("../data/orders.openapi.json");

const CONFIGURATION: &str =
    "providers: { okta: { issuer: https://acme.okta.com/oauth2/default, audience: api://default } }
server: { base_path: /.scopegate }
upstreams: { orders: { url: 'http://127.0.0.1:9' } }
policy_from: [ { document: orders.json, upstream: orders } ]
";

fn files(configuration: &str) -> Vec<(&str, &str)> {
    vec![("scopegate.yaml", configuration), ("orders.json", DOCUMENT)]
}

#[test]
fn routes_show_where_in_the_document_each_comes_from() {
    let run = run(&files(CONFIGURATION), &["routes", "--json"]);
    let rows: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error} in {run:?}"));
    let told = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        (format!("{} {}", text("methods"), text("match")), text("rule"), text("place"))
    };
    let told: Vec<_> = rows.as_array().unwrap().iter().map(told).collect();
    let expected = [
        ("GET|HEAD /orders/health", "anonymous", "orders.json:12:16"),
        ("GET|HEAD /orders/{id}", "orders", "orders.json:9:4"),
        ("DELETE /orders/{id}", "orders:write", "orders.json:10:4"),
        ("GET|HEAD /orders", "orders", "orders.json:7:10"),
    ];
    let expected = expected.map(|(pattern, rule, place)| (pattern.into(), rule.into(), place.into()));
    assert_eq!(told, expected);
}

#[test]
fn check_tells_operations_without_a_rule_and_rules_without_an_operation() {
    let undeclared = DOCUMENT.replace("\"security\": [{ \"token\": [\"orders\"] }],", "");
    let more = "scopes: { more: More }\nroutes: [ { match: 'GET /orders/{id}/more', require: more, upstream: orders } ]\n";
    let configuration = format!("{CONFIGURATION}{more}");
    let files = [("scopegate.yaml", configuration.as_str()), ("orders.json", undeclared.as_str())];
    let run = run(&files, &["check"]);
    assert_eq!(run.code, 0, "{run:?}");
    for expected in [
        "`GET /` has no rule",
        "`GET /{id}` has no rule",
        "orders.json:9:4",
        "`GET /orders/{id}/more` is no operation of `orders.json`",
    ] {
        assert!(run.stdout.contains(expected), "{expected} is not in {}", run.stdout);
    }
    assert!(!run.stdout.contains("`GET /health`"), "{run:?}");
}

#[test]
fn a_template_that_is_no_whole_segment_is_told_with_file_and_line() {
    let document = DOCUMENT.replace("\"/{id}\"", "\"/{id}.json\"");
    let run = run(&[("scopegate.yaml", CONFIGURATION), ("orders.json", &document)], &["check"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("a template must be a whole segment"), "{run:?}");
    assert!(run.stderr.contains("orders.json:8:3"), "{run:?}");
}

/// Serves a document until it is told to go away.
fn serve(document: &'static str) -> (String, std::sync::mpsc::Sender<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/openapi.json", listener.local_addr().unwrap());
    let (end, ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Each asks once and is answered; what it asks is not looked at.
            let _ = stream.read(&mut [0; 4096]);
            let gone = !matches!(ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty));
            let status = if gone { "500 Gone Wrong" } else { "200 OK" };
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                document.len()
            );
            let _ = stream.write_all(format!("{head}{document}").as_bytes());
            if gone {
                // From now on nobody is here.
                return;
            }
        }
    });
    (url, end)
}

#[tokio::test]
async fn invariant_13_a_document_that_cannot_be_fetched_keeps_the_old_configuration() {
    let (url, end) = serve(DOCUMENT);
    let server = Server::start(&format!("{DEVELOPMENT}\npolicy_from: ['{url}']\n"));
    let client = Client::new(&server.url);
    assert_eq!(client.get("/orders/1").await.status, 401);
    end.send(()).unwrap();
    let file = server.folder().join("scopegate.yaml");
    let changed = DEVELOPMENT.replace("GET /, allow: anonymous", "GET /, allow: nobody");
    std::fs::write(&file, format!("{changed}\npolicy_from: ['{url}']\n")).unwrap();
    server.signal("HUP");
    let operations = Client::new(&server.operations);
    let metrics = async || operations.get("/metrics").await.text;
    let bad = "scopegate_config_reloads_total{outcome=\"bad\"}";
    eventually(metrics, |text| text.lines().any(|line| line.starts_with(bad) && !line.ends_with(" 0"))).await;
    assert_eq!(client.get("/").await.status, 200, "the old configuration is in force");
    assert_eq!(client.get("/orders/1").await.status, 401);
}

#[test]
fn a_start_without_its_document_fails() {
    let configuration =
        CONFIGURATION.replace("document: orders.json", "document: 'http://127.0.0.1:9/openapi.json'");
    let run = run(&[("scopegate.yaml", &configuration)], &["check"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("cannot fetch the document"), "{run:?}");
}

/// CASES O13: the documentation shows the imported operations, with the security that is enforced.
#[tokio::test]
async fn imported_operations_are_documented_with_the_security_that_is_enforced() {
    let (url, _end) = serve(DOCUMENT);
    let server = Server::start(&format!("{DEVELOPMENT}\npolicy_from: ['{url}']\n"));
    let client = Client::new(&server.url);
    let document = client.get("/openapi.json").await.json();
    let read = &document["paths"]["/orders/{id}"]["get"];
    assert_eq!(read["security"], serde_json::json!([{ "local": ["orders"] }]), "{document}");
    assert_eq!(read["parameters"][0]["name"], "id");
    assert!(document["paths"]["/orders/health"]["get"]["security"].as_array().is_none_or(Vec::is_empty));
    let asked = client.get("/orders/1").await;
    assert!(asked.header("www-authenticate").contains("scope=\"orders\""), "{asked:?}");
}
