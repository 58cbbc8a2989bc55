//! The operator page in a browser.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    admin::{Site, site_of},
    live::watched,
    nodes::two_of,
    support::{Browser, Client, Server, eventually},
};

const TAB: &str = "\u{e004}";
const SELECT_ALL: &str = "\u{e009}a\u{e000}";
const ESCAPE: &str = "\u{e00c}";
const ENTER: &str = "\u{e007}";

const SCREENS: [(&str, &str, &str); 6] = [
    ("", "now", "#sentence"),
    ("/why", "why", "#ask"),
    ("/policy", "policy", "#matrix tbody tr"),
    ("/providers", "providers", ".prov h2"),
    ("/revocations", "revocations", "#sentence input"),
    ("/audit", "audit", "#list"),
];

impl Browser {
    /// Signs in with a pasted token.
    pub(crate) async fn signed_in(site: &Site, token: &str) -> Self {
        Self::signed_in_at(&site.server.url, token).await
    }

    async fn signed_in_at(site: &str, token: &str) -> Self {
        let browser = Self::start().await;
        browser.resize(1440, 1000).await;
        browser.open(&format!("{site}/admin/ui")).await;
        if browser.run("return document.querySelector('details').open").await == json!(false) {
            browser.click("summary").await;
        }
        browser.write("#token", token).await;
        browser.click("form button").await;
        browser.wait_for_text("#sentence", ".").await;
        browser
    }

    /// Presses the tab key until an element of this selector has the focus.
    async fn tab_to(&self, selector: &str) {
        for _ in 0..200 {
            let script = format!("return document.activeElement.matches({selector:?})");
            if self.run(&script).await == json!(true) {
                return;
            }
            self.press(TAB).await;
        }
        panic!("the keyboard does not reach {selector}");
    }

    /// Asserts that axe-core finds no violation on the page. Its rules are those of WCAG 2.2 AA and the best practices.
    async fn assert_accessible(&self, axe: &str, screen: &str) {
        // The driver runs scripts apart from the page's own, whatever its content security policy.
        self.run(axe).await;
        let script = "window.axe.run().then((found) => { window.passes = found.passes.length; window.found = JSON.stringify(found.violations.map(\
                      (rule) => [rule.id, rule.nodes.map((node) => node.html + ' ' + node.failureSummary)])) })";
        self.run(script).await;
        let found =
            eventually(async || self.run("return window.found ?? null").await, |found| !found.is_null())
                .await;
        assert_eq!(found, json!("[]"), "{screen}");
        let passes = self.run("return window.passes").await;
        assert!(passes.as_u64() > Some(10), "axe has checked next to nothing on {screen}");
        self.run("delete window.found").await;
    }

    /// Asserts that the browser has reported neither an error nor a violation of the content security policy.
    async fn assert_quiet(&self, screen: &str) {
        let console = self.console().await;
        assert!(console.is_empty(), "{screen}: {console:#?}");
    }
}

/// Makes the requests that a busy site has.
async fn traffic(site: &Site) -> String {
    let Site { client, user, root, .. } = site;
    for number in 1..=4 {
        client.get_with(&format!("/items/{number}"), user).await;
    }
    client.get_with("/nothing/here?with=a-query", user).await;
    client.get("/items").await;
    client.get_with("/items", "not-a-token").await;
    let scope = json!({ "description": "Read reports", "routes": ["GET /reports/**"] });
    client.json("PUT", "/admin/scopes/reports", root, &scope).await;
    let route = json!({ "match": "GET /reports/finance/**", "require": { "all": ["reports"], "roles": ["analyst"] } });
    client.json("POST", "/admin/routes", root, &route).await;
    let block =
        json!({ "provider": "local", "client": "old-job", "until_lifted": true, "reason": "replaced" });
    client.json("POST", "/admin/revocations", root, &block).await;
    for _ in 0..3 {
        client.json("PUT", "/items/1", user, &json!({ "name": "x" })).await;
    }
    client.json("POST", "/items", user, &json!({ "name": "x" })).await.header("x-request-id").to_owned()
}

/// Starts a service that answers with a stream of events that does not end, and returns its address.
async fn event_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(send_events(stream));
        }
    });
    address
}

async fn send_events(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: first\n\n";
    stream.get_mut().write_all(head.as_bytes()).await.unwrap();
    // Until the gate closes the connection.
    let _ = stream.read_line(&mut line).await;
}

/// An administrator signs in by the code flow, sees a denial, reads its rule, revokes its caller, and edits a
/// stored route after its difference was shown: all by keyboard.
#[tokio::test]
async fn an_administrator_does_everything_from_sign_in_to_sign_out_by_keyboard() {
    let service = event_service().await;
    let config = watched().replace(
        "routes:",
        &format!("upstreams: {{ live: {{ url: \"http://{service}\" }} }}\nroutes:\n  - {{ match: GET /events, require: items, upstream: live }}"),
    );
    let site = site_of(&config).await;
    let Site { server, client, user, root, .. } = &site;
    let route = json!({ "match": "GET /notes/**", "require": "items" });
    let stored = client.json("POST", "/admin/routes", root, &route).await.json()["id"].clone();
    let browser = Browser::start().await;
    browser.resize(1440, 1000).await;

    browser.open(&format!("{}/admin/ui", server.url)).await;
    browser.tab_to("a.btn.first").await;
    browser.press(ENTER).await;
    browser.wait_for_address("/authorize?").await;
    browser.tab_to("#account").await;
    browser.press("root").await;
    browser.tab_to("#secret").await;
    browser.press(&format!("root-secret{ENTER}")).await;
    browser.wait_for_text("#sentence", ".").await;
    assert_eq!(browser.run("return document.cookie").await, json!(""));

    let stream = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = stream.get(format!("{}/events", server.url)).bearer_auth(user);
    let mut stream = request.send().await.unwrap();
    assert_eq!(&stream.chunk().await.unwrap().unwrap()[..], b"data: first\n\n");

    let denied = client.json("POST", "/items", user, &json!({ "name": "x" })).await;
    let id = denied.header("x-request-id").to_owned();
    browser.wait_for_text("#live tbody", "POST /items").await;
    browser.press("/").await;
    browser.press(&format!("{id}{ENTER}")).await;
    browser.wait_for_address(&format!("/admin/ui/why?id={id}")).await;
    let answer = browser.wait_for_text("#answer", "scopegate.yaml:").await;
    assert!(answer.contains("items:write") && answer.contains("demo"), "{answer}");

    browser.press("5").await;
    browser.wait_for_address("/admin/ui/revocations").await;
    browser.text("#sentence input.lit").await;
    browser.tab_to("#sentence input.lit").await;
    browser.press("demo").await;
    browser.wait_for_text("#effect", "of the last hour").await;
    browser.press(ENTER).await;
    browser.wait_for_text("#list", "blocked until lifted").await;
    assert_eq!(client.get_with("/items", user).await.json()["reason"], "revoked");
    let cut = tokio::time::timeout(std::time::Duration::from_secs(30), stream.chunk()).await.unwrap();
    assert!(!matches!(cut, Ok(Some(_))), "the stream goes on");

    browser.open(&format!("{}/admin/ui/policy/{}", server.url, stored.as_str().unwrap())).await;
    browser.text("#definition").await;
    browser.tab_to("#definition").await;
    let edited = r#"{ "match": "GET /notes/**", "require": "items:write" }"#;
    browser.press(&format!("{SELECT_ALL}{edited}")).await;
    let save = "return [...document.querySelectorAll('dialog .btn.first')].some((save) => !save.disabled)";
    assert_eq!(browser.run(save).await, json!(false), "nothing is saved before it was checked");
    browser.press(TAB).await;
    browser.tab_to("dialog .btn:not(.harm)").await;
    browser.press(ENTER).await;
    let difference = browser.wait_for_text("dialog .result", "What changes").await;
    assert!(difference.contains("/notes/**"), "{difference}");
    browser.tab_to("#seen").await;
    browser.press(" ").await;
    browser.tab_to("dialog .btn.first").await;
    browser.press(ENTER).await;
    browser.wait_for_text(".toast", "Saved").await;
    let path = format!("/admin/routes/{}", stored.as_str().unwrap());
    let route = client.get_with(&path, root).await.json();
    assert_eq!(route["route"]["require"], "items:write", "{route}");

    browser.tab_to(".who button").await;
    browser.press(ENTER).await;
    browser.wait_for_address("/admin/ui/sign-in").await;
    browser.open(&format!("{}/admin/ui/audit", server.url)).await;
    browser.wait_for_address("/admin/ui/sign-in?to=").await;
    browser.assert_quiet("the way from sign-in to sign-out").await;
    browser.close().await;
}

/// A session of one node is good on every other node of the store, and no page of another site ends it.
#[tokio::test]
async fn nodes_share_sessions_and_only_the_page_itself_ends_one() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("gate.db").display());
    let config = crate::admin::config(&url).replace(
        "admin: { require: scopegate:admin }",
        "admin: { require: { all: [\"scopegate:admin\"], providers: [local] }, ui: true }",
    );
    let (_first, one, _second, other, _, root) = two_of(&config).await;
    let signed_in = one.form("/admin/ui/sign-in", &format!("token={root}")).await;
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let (cookie, attributes) = signed_in.header("set-cookie").split_once(';').unwrap();
    assert!(
        attributes.contains("HttpOnly; SameSite=Strict") && !attributes.contains("Secure"),
        "{attributes}"
    );
    assert!(!cookie.contains(&root));
    for node in [&one, &other] {
        let session = node.send("GET", "/admin/session", &[("cookie", cookie)], "").await;
        assert_eq!((session.status, &session.json()["provider"]), (200, &json!("local")));
    }
    let sign_out = async |method: &str, site: &str| {
        let headers = [("cookie", cookie), ("sec-fetch-site", site)];
        other.send(method, "/admin/ui/sign-out", &headers, "").await
    };
    assert_eq!(sign_out("POST", "cross-site").await.status, 403);
    assert_eq!(sign_out("GET", "same-origin").await.header("set-cookie"), "");
    let ended = sign_out("POST", "same-origin").await;
    assert!(ended.status == 303 && ended.header("set-cookie").contains("Max-Age=0"), "{ended:?}");
}

/// Everything is below `server.base_path`, and cookies need TLS where the public URL has it.
#[tokio::test]
async fn the_page_works_below_a_base_path() {
    let config = watched().replacen("listen: 127.0.0.1:0", "listen: 127.0.0.1:0, base_path: /gate", 1);
    let server = Server::start(&config);
    let url = format!("{}/gate", server.url);
    let root = Client::new(&url).token("", "root", "root-secret", "scopegate:admin").await;
    let browser = Browser::signed_in_at(&url, &root).await;
    for (path, name, shown) in &SCREENS {
        browser.open(&format!("{url}/admin/ui{path}")).await;
        browser.text(shown).await;
        browser.assert_quiet(name).await;
    }
    browser.close().await;
    let public = "base_path: /gate, public_url: \"https://api.example\"";
    let server = Server::start(&config.replacen("base_path: /gate", public, 1));
    let client = Client::new(&format!("{}/gate", server.url));
    let root = client.token("", "root", "root-secret", "scopegate:admin").await;
    let signed_in = client.form("/admin/ui/sign-in", &format!("token={root}")).await;
    let cookie = signed_in.header("set-cookie");
    assert!(cookie.contains("Path=/gate/admin;") && cookie.ends_with("; Secure"), "{cookie}");
}

/// A holder of tokens is blocked and lifted on the page, which shows what the block has refused.
#[tokio::test]
async fn a_block_is_set_counted_and_lifted_on_the_page() {
    let site = site_of(&watched()).await;
    let Site { client, user, root, .. } = &site;
    let browser = Browser::signed_in(&site, root).await;
    for kind in ["session", "actor", "subject", "client"] {
        let address = format!("{}/admin/ui/revocations?kind={kind}&value=demo", site.server.url);
        browser.open(&address).await;
        browser.wait_for_text("#effect", "stays blocked until you lift it").await;
        browser.click("#sentence button[type=submit]").await;
        browser.wait_for_text("#list", "blocked until lifted").await;
        let listed = client.get_with("/admin/revocations", root).await.json();
        let block = &listed["items"][0];
        assert_eq!((&block["kind"], &block["until_lifted"]), (&json!(kind), &json!(true)), "{listed}");
        let is_refused = client.get_with("/items", user).await.json()["reason"] == "revoked";
        // The client is the subject of its own token, which names neither a session nor an actor.
        assert_eq!(is_refused, matches!(kind, "client" | "subject"), "{kind}");
        if is_refused {
            let counted = async || {
                browser.open(&address).await;
                browser.wait_for_text("#list", "blocked until lifted").await;
                browser.text("#list td[data-name=denied]").await
            };
            eventually(counted, |denied| denied.trim() == "1").await;
        }
        browser.click("#list button").await;
        browser.wait_for_text("#list", "Nothing is revoked").await;
        assert_eq!(client.get_with("/items", user).await.status, 200);
    }
    browser.assert_quiet("blocks").await;
    browser.close().await;
}

/// From a call that is denied to the rule with file and line, and to a revocation, by keyboard.
#[tokio::test]
async fn a_denial_appears_is_explained_with_its_place_and_its_caller_is_revoked_by_keyboard() {
    let site = site_of(&watched()).await;
    let browser = Browser::signed_in(&site, &site.root).await;
    let denied = site.client.json("POST", "/items", &site.user, &json!({ "name": "x" })).await;
    assert_eq!(denied.status, 403);
    let id = denied.header("x-request-id").to_owned();
    browser.wait_for_text("#live tbody", "POST /items").await;
    browser.wait_for_text("#groups", "insufficient scope").await;

    browser.press("/").await;
    browser.press(&format!("{id}{ENTER}")).await;
    browser.wait_for_address(&format!("/admin/ui/why?id={id}")).await;
    browser.wait_for_text("#answer h1", "items:write").await;
    let answer = browser.text("#answer").await;
    assert!(answer.contains("scopegate.yaml:") && answer.contains("demo"), "{answer}");

    browser.press("5").await;
    browser.wait_for_address("/admin/ui/revocations").await;
    browser.write("#sentence input.lit", "demo").await;
    browser.wait_for_text("#effect", "of the last hour").await;
    browser.press(ENTER).await;
    browser.wait_for_text("#list", "blocked until lifted").await;
    let refused = site.client.get_with("/items", &site.user).await;
    assert_eq!((refused.status, refused.json()["reason"].clone()), (401, json!("revoked")));
    browser.assert_quiet("the way from a denial to a revocation").await;
    browser.close().await;
}

#[tokio::test]
async fn keys_open_screens_help_and_the_other_theme() {
    let site = site_of(&watched()).await;
    let browser = Browser::signed_in(&site, &site.root).await;
    for (number, (path, ..)) in SCREENS.iter().enumerate().rev() {
        browser.press(&(number + 1).to_string()).await;
        browser.wait_for_address(&format!("/admin/ui{path}")).await;
        browser.text("#main, main").await;
    }
    browser.wait_for_text("#sentence", ".").await;
    let before = browser.run("return getComputedStyle(document.documentElement).colorScheme").await;
    browser.press("t").await;
    assert_ne!(browser.run("return getComputedStyle(document.documentElement).colorScheme").await, before);
    browser.press("?").await;
    browser.wait_for_text("dialog", "Keyboard shortcuts").await;
    browser.press(ESCAPE).await;
    assert_eq!(browser.run("return document.querySelector('dialog[open]') === null").await, json!(true));
    browser.assert_quiet("keys").await;
    browser.close().await;
}

/// A caller who may only look has no control that changes anything.
#[tokio::test]
async fn a_reader_finds_every_change_disabled() {
    let site = site_of(&watched()).await;
    let reader = site.client.token("", "looker", "looker-secret", "scopegate:read").await;
    let browser = Browser::signed_in(&site, &reader).await;
    browser.open(&format!("{}/admin/ui/providers", site.server.url)).await;
    browser.wait_for_text(".prov h2", "local").await;
    let script = "return [...document.querySelectorAll('.prov .btn')].every((button) => button.disabled)";
    assert_eq!(browser.run(script).await, json!(true));
    browser.open(&format!("{}/admin/ui/revocations", site.server.url)).await;
    browser.text("#sentence button[type=submit]").await;
    assert_eq!(
        browser.run("return document.querySelector('#sentence button[type=submit]').disabled").await,
        json!(true)
    );
    browser.assert_quiet("a reader's screens").await;
    browser.close().await;
}

/// Texts that callers send stay texts.
#[tokio::test]
async fn markup_in_a_path_is_shown_as_text() {
    let site = site_of(&watched()).await;
    let browser = Browser::signed_in(&site, &site.root).await;
    site.client.get_with("/items/%3Cimg%20src=x%20onerror=alert(1)%3E", &site.root).await;
    browser.wait_for_text("#live tbody", "onerror").await;
    assert_eq!(browser.run("return document.querySelectorAll('main img').length").await, json!(0));
    browser.assert_quiet("markup").await;
    browser.close().await;
}

/// Axe-core finds nothing on any screen, in both themes, wide and narrow, and nothing is asked of another origin.
#[tokio::test]
async fn axe_finds_nothing_on_any_screen_and_no_request_leaves_the_origin() {
    let axe = fs::read_to_string(axe_core()).unwrap();
    let site = site_of(&watched()).await;
    let browser = Browser::start().await;
    let Site { server, root, .. } = &site;
    browser.open(&format!("{}/admin/ui", server.url)).await;
    browser.text("h1").await;
    browser.assert_accessible(&axe, "sign-in").await;
    browser.close().await;
    let browser = Browser::signed_in(&site, root).await;
    let id = traffic(&site).await;
    let why = format!("/why?id={id}");
    let mut screens = SCREENS.to_vec();
    screens.push((&why, "why-denied", "#answer .way"));
    for theme in ["light", "dark"] {
        browser.run(&format!("localStorage.setItem('theme', '{theme}')")).await;
        for (width, height) in [(1440, 900), (390, 844)] {
            browser.resize(width, height).await;
            for (path, name, shown) in &screens {
                browser.open(&format!("{}/admin/ui{path}", server.url)).await;
                browser.text(shown).await;
                browser.assert_accessible(&axe, &format!("{name}, {theme}, {width} px")).await;
                let script = "return performance.getEntriesByType('resource').map((entry) => entry.name)";
                let Value::Array(asked) = browser.run(script).await else { panic!("a list") };
                let foreign = asked.iter().find(|url| !url.as_str().unwrap().starts_with(&server.url));
                assert_eq!(foreign, None, "{name}");
                browser.assert_quiet(name).await;
            }
        }
    }
    browser.close().await;
}

/// Returns the file of axe-core, which `tests/run` installs from npm.
fn axe_core() -> PathBuf {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/node_modules/axe-core/axe.min.js");
    assert!(file.exists(), "{} is missing: run `tests/axe`", file.display());
    file
}

/// Every screen in both themes, wide and narrow: no error, nothing wider than the screen. With
/// `SCOPEGATE_SCREENSHOTS`, a folder, the pictures of the manual are written there.
#[tokio::test]
async fn every_screen_fits_in_both_themes_and_reports_nothing() {
    let site = site_of(&watched()).await;
    let browser = Browser::signed_in(&site, &site.root).await;
    let id = traffic(&site).await;
    let why = format!("/why?id={id}");
    let mut screens = SCREENS.to_vec();
    screens.push((&why, "why-denied", "#answer .way"));
    let pictures = std::env::var_os("SCOPEGATE_SCREENSHOTS").map(PathBuf::from);
    for theme in ["light", "dark"] {
        browser.run(&format!("localStorage.setItem('theme', '{theme}')")).await;
        for (width, height) in [(1440, 900), (390, 844)] {
            browser.resize(width, height).await;
            for (path, name, shown) in &screens {
                browser.open(&format!("{}/admin/ui{path}", site.server.url)).await;
                browser.text(shown).await;
                if *name == "now" {
                    browser.wait_for_text("#groups", "insufficient scope").await;
                }
                let wide =
                    browser.run("return document.documentElement.scrollWidth - window.innerWidth").await;
                let is_wide = wide.as_i64().is_none_or(|wide| wide > 0);
                if let Some(folder) = &pictures {
                    let file = folder.join(format!("{name}-{theme}-{width}.png"));
                    fs::write(file, browser.picture().await).unwrap();
                }
                assert!(!is_wide, "{name} at {width} is {wide} px too wide");
                let text = browser.text("body").await;
                let bad = ["null", "undefined", "NaN", "[object"].iter().find(|bad| text.contains(**bad));
                assert_eq!(bad, None, "{name}: {text}");
                browser.assert_quiet(name).await;
            }
        }
    }
    browser.close().await;
}

/// No token and no query string is on any screen or in any address.
#[tokio::test]
async fn no_token_is_in_the_page_or_its_storage() {
    let site = site_of(&watched()).await;
    let browser = Browser::signed_in(&site, &site.root).await;
    traffic(&site).await;
    browser.wait_for_text("#live tbody", "POST /items").await;
    let script = "return document.documentElement.outerHTML + JSON.stringify(localStorage) + \
                  JSON.stringify(sessionStorage) + document.cookie + location.href";
    let Value::String(everything) = browser.run(script).await else { panic!("the script returns a text") };
    for secret in [&site.root, &site.user, "a-query"] {
        assert!(!everything.contains(secret), "{secret}");
    }
    browser.close().await;
}
