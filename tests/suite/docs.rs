//! `/docs` in a browser: what a person does there, and what the browser says to it.

use serde_json::{Value, json};

use crate::{
    support::{Browser, Client, Server},
    tutorial::DEVELOPMENT,
};

const LIST: &str = "#operations-default-list_items";

impl Browser {
    async fn at_docs(server: &Server) -> Self {
        let browser = Self::start().await;
        browser.open(&format!("{}/docs", server.url)).await;
        browser
    }

    /// Opens an operation and makes its form ready.
    async fn try_out(&self, operation: &str) {
        self.click(&format!("{operation} .opblock-summary-control")).await;
        self.click(&format!("{operation} .try-out__btn")).await;
    }

    /// Executes an operation and waits for a status.
    async fn execute(&self, operation: &str, status: &str) {
        self.click(&format!("{operation} .execute")).await;
        let shown = format!("{operation} .live-responses-table tbody .response-col_status");
        self.wait_for_text(&shown, status).await;
    }

    async fn authorize(&self, id: &str, secret: &str) {
        self.click(".auth-wrapper .btn.authorize").await;
        self.write("#client_id_clientCredentials", id).await;
        self.write("#client_secret_clientCredentials", secret).await;
        self.click(".auth-btn-wrapper .authorize").await;
    }
}

#[tokio::test]
async fn who_authorizes_in_docs_tries_items_out_and_who_does_not_is_refused() {
    let server = Server::start(DEVELOPMENT);
    let browser = Browser::at_docs(&server).await;
    browser.try_out(LIST).await;
    browser.execute(LIST, "401").await;

    browser.authorize("demo", "demo-secret").await;
    browser.wait_for_text(".auth-container", "Authorized").await;
    browser.click(".auth-btn-wrapper .btn-done").await;
    browser.execute(LIST, "200").await;
    let shown = browser.text(&format!("{LIST} .live-responses-table .highlight-code code")).await;
    let items: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error} in {shown}"));
    let expected =
        json!([{"id":1,"name":"red ball"},{"id":2,"name":"blue square"},{"id":3,"name":"purple ellipse"}]);
    assert_eq!(items, expected);

    let console = browser.console().await;
    assert!(console.iter().all(|line| !line.contains("Content Security Policy")), "{console:#?}");
    browser.close().await;
}

#[tokio::test]
async fn a_wrong_secret_is_told_on_the_page() {
    let server = Server::start(DEVELOPMENT);
    let browser = Browser::at_docs(&server).await;
    browser.authorize("demo", "wrong").await;
    browser.wait_for_text(".auth-container", "invalid_client").await;
    browser.close().await;
}

#[tokio::test]
async fn a_secret_of_any_letters_authorizes() {
    let config = DEVELOPMENT.replace("secret: demo-secret", "secret: 'a+b%20c:ä&='");
    let server = Server::start(&config);
    let browser = Browser::at_docs(&server).await;
    browser.authorize("demo", "a+b%20c:ä&=").await;
    browser.wait_for_text(".auth-container", "Authorized").await;
    browser.close().await;
}

#[tokio::test]
async fn the_document_names_the_scopes_that_the_server_asks_for() {
    let server = Server::start(DEVELOPMENT);
    let client = Client::new(&server.url);
    let document = client.get("/openapi.json").await.json();
    assert_eq!(document["paths"]["/items"]["get"]["security"], json!([{ "local": ["items"] }]));
    let asked = client.get("/items").await;
    assert!(asked.header("www-authenticate").contains("scope=\"items\""));
    assert_eq!(document["paths"]["/items"]["post"]["security"], json!([{ "local": ["items:write"] }]));
    let scheme = &document["components"]["securitySchemes"]["local"]["flows"]["clientCredentials"];
    assert_eq!(scheme["tokenUrl"], format!("{}/token?provider=local", server.url));
    assert_eq!(scheme["scopes"]["items"], "Read items");
}

#[tokio::test]
async fn page_document_and_addresses_move_with_the_base_path() {
    let config = DEVELOPMENT
        .replace("server: { listen: 127.0.0.1:0 }", "server: { listen: 127.0.0.1:0, base_path: /.scopegate }")
        .replace("GET /items/**", "GET /.scopegate/items/**");
    let server = Server::start(&config);
    let origin = server.url.strip_suffix("/.scopegate").unwrap_or(&server.url);
    let client = Client::new(origin);
    let page = client.get("/.scopegate/docs").await;
    assert!(page.header("content-security-policy").contains("script-src 'self'"), "{page:?}");
    for name in page.text.split('"').filter(|text| text.starts_with("docs/")) {
        assert_eq!(client.get(&format!("/.scopegate/{name}")).await.status, 200, "{name}");
    }
    let document = client.get("/.scopegate/openapi.json").await.json();
    assert_eq!(document["servers"][0]["url"], format!("{origin}/.scopegate"));
    assert_eq!(document["paths"]["/items"]["get"]["security"], json!([{ "local": ["items"] }]));
    assert_eq!(client.get("/docs").await.status, 404);
}

/// CASES O10: a pasted token authorizes requests of the page, and clearing it ends that.
#[tokio::test]
async fn a_pasted_token_authorizes() {
    let server = Server::start(DEVELOPMENT);
    let token = Client::new(&server.url).token("", "demo", "demo-secret", "items").await;
    let browser = Browser::at_docs(&server).await;
    browser.write("#pasted", &token).await;
    browser.try_out(LIST).await;
    browser.execute(LIST, "200").await;
    browser.click("#pasted-clear").await;
    browser.execute(LIST, "401").await;
    browser.close().await;
}

#[tokio::test]
async fn docs_follow_the_theme_of_the_operator_page() {
    let server = Server::start(DEVELOPMENT);
    let browser = Browser::at_docs(&server).await;
    browser.run("localStorage.setItem('theme', 'dark')").await;
    browser.open(&format!("{}/docs", server.url)).await;
    browser.text(".own-token").await;
    assert_eq!(browser.run("return document.documentElement.className").await, json!("dark-mode"));
    browser.close().await;
}
