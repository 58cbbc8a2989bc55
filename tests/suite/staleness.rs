//! A node that has not heard of its store for too long stops answering, says so, and recovers by itself.

use std::sync::Arc;

use scopegate_testkit::Postgres;

use crate::{
    admin::{Site, config, site_of},
    support::{Answer, Client, eventually},
};

/// A node whose database can be stopped.
struct Cut {
    database: Arc<Postgres>,
    site: Site,
    operations: Client,
}

impl Cut {
    async fn start(max_staleness: &str) -> Self {
        let database = Arc::new(tokio::task::spawn_blocking(Postgres::start).await.unwrap());
        let url = database.database();
        let patient = format!(r#"store: {{ url: "{url}""#);
        let config = config(&url).replace(&patient, &format!("{patient}, max_staleness: {max_staleness}"));
        let site = site_of(&config).await;
        let operations = Client::new(&site.server.operations);
        let this = Self { database, site, operations };
        assert_eq!(this.call().await.status, 200);
        assert_eq!(this.operations.get("/readyz").await.status, 200);
        this
    }

    async fn call(&self) -> Answer {
        self.site.client.get_with("/api/private", &self.site.user).await
    }

    async fn with_database(&self, act: fn(&Postgres)) {
        let database = self.database.clone();
        tokio::task::spawn_blocking(move || act(&database)).await.unwrap();
    }

    /// Stops the database until callers are told that the node may not decide, and so is whoever asks for readiness.
    async fn becomes_unready(&self, reason: &str, told: &str) {
        self.with_database(Postgres::stop).await;
        let refused = eventually(async || self.call().await, |answer| answer.status == 503).await;
        assert_eq!(refused.json()["reason"], reason);
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1, "{refused:?}");
        let readiness = self.operations.get("/readyz").await;
        assert_eq!((readiness.status, &readiness.json()["reasons"][0]), (503, &told.into()));
        assert_eq!(self.operations.get("/healthz").await.status, 200, "alive all the same");
    }

    async fn recovers(&self) {
        self.with_database(Postgres::restart).await;
        eventually(async || self.call().await, |answer| answer.status == 200).await;
        assert_eq!(self.operations.get("/readyz").await.status, 200);
    }
}

#[tokio::test]
async fn invariant_14_a_node_that_has_not_heard_of_revocations_for_too_long_stops_answering() {
    let cut = Cut::start("{ revocations: 1s }").await;
    cut.becomes_unready("revocations_stale", "revocations have not been heard of for too long").await;
    // What needs no principal is decided as ever.
    assert_eq!(cut.site.client.get("/api/private").await.status, 401);
    cut.recovers().await;
}

#[tokio::test]
async fn a_node_that_has_not_heard_of_the_policy_for_too_long_stops_answering() {
    let cut = Cut::start("{ policy: 1s, revocations: never }").await;
    cut.becomes_unready("policy_stale", "the policy has not been heard of for too long").await;
    // By whatever policy: there is none to go by.
    assert_eq!(cut.site.client.get("/api/private").await.json()["reason"], "policy_stale");
    cut.recovers().await;
}
