//! What is acknowledged lasts, at whatever moment the program is killed (invariant 14).

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use scopegate_testkit::Postgres;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    admin::config,
    support::{Answer, Chance, Client, Server},
};

/// Writes that are under way at once: half of them create an item, half a revocation.
const BURST: usize = 10_000;

/// Connections that carry them: what one may not carry yet (`server.limits.streams`) waits before it.
const CONNECTIONS: usize = 8;

/// After how many acknowledged writes the program is killed, one burst after the other.
const MOMENTS: [std::ops::Range<usize>; 3] = [1..100, 100..1_500, 1_500..5_000];

/// What the program has acknowledged.
#[derive(Default)]
struct Acknowledged {
    items: HashMap<i64, String>,
    revocations: HashSet<String>,
}

/// One write; nothing if it was not acknowledged.
enum Made {
    Item(i64, String),
    Revocation(String),
}

impl Acknowledged {
    fn add(&mut self, made: Made) {
        match made {
            Made::Item(id, name) => drop(self.items.insert(id, name)),
            Made::Revocation(id) => drop(self.revocations.insert(id)),
        }
    }
}

/// The program on a store, and who may write there.
struct Writer {
    server: Server,
    user: String,
    root: String,
}

impl Writer {
    async fn start(store: &str) -> Self {
        // All writes come from one address, which may have only so many unfinished bodies otherwise.
        let config = config(store).replacen(
            "listen: 127.0.0.1:0 }",
            "listen: 127.0.0.1:0, limits: { bodies_per_peer: 20000 } }",
            1,
        );
        let server = Server::start(&config);
        let client = Client::new(&server.url);
        let user = client.token("", "demo", "demo-secret", "items%20items:write").await;
        let root = client.token("", "root", "root-secret", "scopegate:admin").await;
        // Known tokens: what follows waits for writes only.
        assert_eq!(client.get_with("/items?limit=1", &user).await.status, 200);
        assert_eq!(client.get_with("/admin/revocations?limit=1", &root).await.status, 200);
        Self { server, user, root }
    }

    /// Writes everything at once, and kills the program when so many writes are acknowledged.
    async fn burst(&mut self, clients: &[Client], name: &str, deadly: usize) -> Vec<Made> {
        let connections: Vec<_> = clients.iter().map(|client| client.at(&self.server.url)).collect();
        let acknowledged = AtomicUsize::new(0);
        let write = async |n: usize| {
            let made = self.write(&connections[n % connections.len()], format!("{name}/{n}"), n).await?;
            if acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == deadly {
                self.server.signal("KILL");
            }
            Some(made)
        };
        let made: Vec<_> = join_all((0..BURST).map(write)).await.into_iter().flatten().collect();
        assert!((deadly..BURST).contains(&made.len()), "killed after {deadly}, acknowledged {}", made.len());
        self.server.wait().await;
        made
    }

    async fn write(&self, client: &Client, name: String, n: usize) -> Option<Made> {
        if n.is_multiple_of(2) {
            let answer = client.try_json("POST", "/items", &self.user, &json!({ "name": name })).await?;
            let answer = acknowledging(answer)?;
            return Some(Made::Item(answer.json()["id"].as_i64().unwrap(), name));
        }
        let body = json!({ "provider": "local", "token_id": name });
        let answer = client.try_json("POST", "/admin/revocations", &self.root, &body).await?;
        let answer = acknowledging(answer)?;
        Some(Made::Revocation(answer.json()["id"].as_str().unwrap().to_owned()))
    }

    /// Asks for all that was acknowledged.
    async fn check(&self, acknowledged: &Acknowledged) {
        let client = Client::new(&self.server.url);
        let items = pages(&client, "/items?limit=1000&after=", &self.user).await;
        let name = |item: &Value| (item["id"].as_i64().unwrap(), item["name"].as_str().unwrap().to_owned());
        let items: HashMap<_, _> = items.iter().map(name).collect();
        let lost = acknowledged.items.iter().filter(|(id, name)| items.get(id) != Some(name)).count();
        assert_eq!(lost, 0, "of {} acknowledged items", acknowledged.items.len());
        let revocations = pages(&client, "/admin/revocations?limit=1000&after=", &self.root).await;
        let id = |revocation: &Value| revocation["id"].as_str().unwrap().to_owned();
        let revocations: HashSet<_> = revocations.iter().map(id).collect();
        let lost = acknowledged.revocations.difference(&revocations).count();
        assert_eq!(lost, 0, "of {} acknowledged revocations", acknowledged.revocations.len());
    }
}

/// The answer, if it acknowledges a write. On a busy machine a database may take longer to answer than is waited for.
fn acknowledging(answer: Answer) -> Option<Answer> {
    assert!([201, 503].contains(&answer.status), "{answer:?}");
    (answer.status == 201).then_some(answer)
}

/// Everything that a list holds, whether it comes as a plain array or as `{items, next}`.
async fn pages(client: &Client, path: &str, token: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = client.get_with(&format!("{path}{after}"), token).await.json();
        let items = page.as_array().or(page["items"].as_array()).unwrap();
        let Some(last) = items.last() else { return all };
        after = last["id"].as_str().map_or_else(|| last["id"].to_string(), str::to_owned);
        all.extend(items.iter().cloned());
    }
}

async fn what_is_acknowledged_survives_kill(store: &str) {
    let (mut chance, mut acknowledged) = (Chance::new(14), Acknowledged::default());
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::http2("")).collect();
    let mut writer = Writer::start(store).await;
    for moments in MOMENTS {
        let deadly = chance.of(moments);
        for made in writer.burst(&clients, &format!("after {deadly}"), deadly).await {
            acknowledged.add(made);
        }
        writer = Writer::start(store).await;
        writer.check(&acknowledged).await;
    }
    assert!(acknowledged.items.len() > 500 && acknowledged.revocations.len() > 500);
}

#[tokio::test]
async fn invariant_14_what_sqlite_acknowledged_survives_kill() {
    let folder = TempDir::new().unwrap();
    what_is_acknowledged_survives_kill(&format!("sqlite://{}", folder.path().join("gate.db").display()))
        .await;
}

#[tokio::test]
async fn invariant_14_what_postgresql_acknowledged_survives_kill() {
    let url = tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap();
    what_is_acknowledged_survives_kill(&url).await;
}
