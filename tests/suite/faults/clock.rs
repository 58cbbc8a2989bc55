//! A node whose clock is stepped: a gate in this process, on the same store and the same issuers.

use std::{sync::Arc, time::Duration};

use http::header;
use poem::{Endpoint, EndpointExt, Request, Response, Route, endpoint::make_sync};
use scopegate::Gate;
use scopegate_testkit::SteppedClock;
use serde_json::Value;

use super::{
    World,
    authority::{FLAWS, now},
    ledger::Wrong,
};
use crate::support::{Chance, eventually};

/// By how many seconds the clock is wrong, one after the other.
const STEPS: [i64; 6] = [2 * 3600, -2 * 3600, 26 * 3600, -400 * 24 * 3600, 90, -90];

struct Node<E> {
    world: Arc<World>,
    app: E,
}

/// Steps the clock of a node, to and fro, until it is over.
pub(super) async fn steps(world: Arc<World>, mut chance: Chance) {
    let clock = Arc::new(SteppedClock::new());
    let config = world.slots[0].config(&world, true);
    let config: String = config
        .lines()
        .filter(|line| !line.starts_with("admin:"))
        .fold(String::new(), |all, line| all + line + "\n");
    let gate = Gate::builder().config_text(config).clock(clock.clone()).build().await.unwrap();
    let app = Route::new().at("/*rest", make_sync(|_| "ok")).with(gate);
    let node = Node { world: world.clone(), app };
    node.knows_keys().await;
    let mut next = 0;
    while world.rest(&mut chance, 0.2..1.0).await {
        node.check(0, &mut chance).await;
        let step = STEPS[next % STEPS.len()];
        next += 1;
        clock.step_to(Duration::from_secs(step.unsigned_abs()), step < 0);
        world.ledger.event("a clock was stepped");
        for _ in 0..5 {
            node.check(step, &mut chance).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        clock.step_to(Duration::ZERO, false);
    }
}

impl<E: Endpoint<Output = Response>> Node<E> {
    async fn ask(&self, token: &str) -> (u16, String) {
        let request = Request::builder()
            .uri_str("/fast/1")
            .header(header::HOST, "api.example")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .finish();
        let response = self.app.get_response(request).await;
        let status = response.status().as_u16();
        let body = response.into_body().into_vec().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        (status, body["reason"].as_str().unwrap_or_default().to_owned())
    }

    async fn knows_keys(&self) {
        for authority in &self.world.authorities {
            let token = authority.stable_token("items");
            eventually(async || self.ask(&token.text).await.0, |status| *status == 200).await;
        }
    }

    /// Tokens are judged by this node's clock; nothing else about them changes.
    async fn check(&self, step: i64, chance: &mut Chance) {
        let authority = self.world.authority(chance);
        // Good by this node's clock, and by a key that it knows: whatever else depends on time goes by the uptime.
        let token = authority.stable_token_of("items", now() + step);
        self.expect(&token.text, "good, at a stepped clock", step, |status, reason| {
            status == 200 || reason == "revocations_stale" && self.may_be_stale()
        })
        .await;
        if step.abs() > 3600 {
            let token = authority.stable_token("items");
            self.expect(&token.text, "bad: of another time", step, |status, reason| {
                matches!((status, reason), (401, "expired" | "issued_in_future") | (503, "revocations_stale"))
            })
            .await;
        }
        let (flaw, other) = (chance.of(0..FLAWS.len()), &self.world.authorities[0]);
        if FLAWS[flaw] != "bad: expired" && FLAWS[flaw] != "bad: not valid yet" {
            let token = self.world.authorities[1].flawed(flaw, other, chance);
            self.expect(&token, "bad, at a stepped clock", step, |status, _| status >= 400).await;
        }
        if let Some(token) = self.revoked_before() {
            self.expect(&token, "revoked, at a stepped clock", step, |status, _| status >= 400).await;
        }
    }

    async fn expect(&self, token: &str, kind: &'static str, step: i64, right: impl Fn(u16, &str) -> bool) {
        let (status, reason) = self.ask(token).await;
        if !right(status, &reason) {
            let wrong = if status < 400 { Wrong::Permitted } else { Wrong::Denied };
            self.world.ledger.wrong(wrong, format!("{kind}, stepped by {step} s: {status} {reason}"));
        }
        self.world.ledger.answer(kind, format!("{status} {reason}"));
    }

    /// A token whose revocation every node must know.
    fn revoked_before(&self) -> Option<String> {
        let revoked = self.world.revoked.lock().unwrap();
        let long = super::STALENESS + super::EVERYWHERE;
        revoked
            .iter()
            .rev()
            .find(|revoked| revoked.at.elapsed() > long)
            .map(|revoked| revoked.token.text.clone())
    }

    /// It reaches the database by the same way as the first node.
    fn may_be_stale(&self) -> bool {
        self.world.slots[0].may_be_stale(std::time::Instant::now())
    }
}
