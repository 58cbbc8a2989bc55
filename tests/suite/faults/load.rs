//! Who calls all the time, and knows what they must be told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Life, Revoked, Token, World, authority::FLAWS, ledger::Wrong};
use crate::support::{Answer, Chance};

/// Calls until it is over.
pub(super) async fn call(world: Arc<World>, mut chance: Chance) {
    let hot = [0, 1].map(|index| Arc::new(world.authorities[index].stable_token("items")));
    loop {
        if let Some(life) = world.pick(&mut chance) {
            match chance.of(0..100) {
                0..25 => good(&world, &life, &hot[chance.of(0..2)], "/fast/1").await,
                25..50 => {
                    let path = if chance.of(0..6) == 0 { "/slow/1" } else { "/fast/1" };
                    let token = world.authority(&mut chance).token(&mut chance);
                    good(&world, &life, &token, path).await;
                }
                50..58 => missing(&world, &life).await,
                58..66 => not_enough(&world, &life, &hot[chance.of(0..2)]).await,
                66..90 => bad(&world, &life, &mut chance).await,
                _ => revoked(&world, &life, &mut chance).await,
            }
        }
        if !world.rest(&mut chance, 0.01..0.06).await {
            return;
        }
    }
}

/// Asks; nothing if no answer comes, which must not be.
async fn ask(world: &World, life: &Life, path: &str, token: Option<&str>) -> Option<Answer> {
    let answer = life.client.try_get(path, token).await;
    if let Err(error) = &answer {
        world.ledger.wrong(Wrong::Lost, format!("node {}: {path}: {error:?}", life.number));
    }
    answer.ok()
}

fn told(answer: &Answer) -> String {
    let reason = serde_json::from_str::<serde_json::Value>(&answer.text).ok();
    let reason = reason.and_then(|body| body["reason"].as_str().map(str::to_owned)).unwrap_or_default();
    format!("{} {reason}", answer.status).trim().to_owned()
}

async fn good(world: &World, life: &Life, token: &Token, path: &str) {
    let known = token.key.history().known.contains(&life.number);
    let begun = Instant::now();
    let Some(answer) = ask(world, life, path, Some(&token.text)).await else { return };
    let told = told(&answer);
    let mut history = token.key.history();
    if answer.status == 200 {
        history.known.insert(life.number);
        let forgotten = history.forgotten.get(&life.number).is_some_and(|at| *at < begun);
        let newer = history.withdrawn.is_some_and(|withdrawn| withdrawn < life.begun);
        if forgotten || newer {
            world.ledger.wrong(Wrong::Permitted, format!("node {}: a withdrawn key", life.number));
        }
        return world.ledger.answer("good", told);
    }
    if history.withdrawn.is_some() {
        return world.ledger.answer("good until its key was withdrawn", told);
    }
    if told == "503 revocations_stale" && world.slots[life.slot].may_be_stale(Instant::now()) {
        return world.ledger.answer("good, at a node cut off", told);
    }
    if known {
        world.ledger.wrong(Wrong::Denied, format!("node {}: {path}: {told}: {}", life.number, answer.text));
    }
    world.ledger.answer(if known { "good" } else { "good, its key not known yet" }, told);
}

async fn missing(world: &World, life: &Life) {
    let Some(answer) = ask(world, life, "/fast/1", None).await else { return };
    if told(&answer) != "401 no_token" {
        world.ledger.wrong(Wrong::Other, format!("node {}: no token: {answer:?}", life.number));
    }
    world.ledger.answer("none", told(&answer));
}

/// What only a bad configuration opens.
async fn not_enough(world: &World, life: &Life, token: &Token) {
    let Some(answer) = ask(world, life, "/guarded/1", Some(&token.text)).await else { return };
    must_not_pass(world, life, "good, but not enough", &answer);
}

async fn bad(world: &World, life: &Life, chance: &mut Chance) {
    let (flaw, first) = (chance.of(0..FLAWS.len()), chance.of(0..2));
    let token = world.authorities[first].flawed(flaw, &world.authorities[1 - first], chance);
    let Some(answer) = ask(world, life, "/fast/1", Some(&token)).await else { return };
    must_not_pass(world, life, FLAWS[flaw], &answer);
}

fn must_not_pass(world: &World, life: &Life, presented: &'static str, answer: &Answer) {
    let told = told(answer);
    if answer.status < 400 {
        world.ledger.wrong(Wrong::Permitted, format!("node {}: {presented}: {told}", life.number));
    } else if answer.status >= 500 && answer.status != 503 {
        world.ledger.wrong(Wrong::Other, format!("node {}: {presented}: {told}", life.number));
    }
    world.ledger.answer(presented, told);
}

async fn revoked(world: &World, life: &Life, chance: &mut Chance) {
    let revoked = {
        let all = world.revoked.lock().unwrap();
        // The latest more often than the others.
        let from = if chance.of(0..2) == 0 { all.len().saturating_sub(8) } else { 0 };
        if all.is_empty() {
            return;
        }
        all[chance.of(from..all.len())].clone()
    };
    let (must, begun) = (world.must_refuse(&revoked, life), Instant::now());
    let Some(answer) = ask(world, life, "/fast/1", Some(&revoked.token.text)).await else { return };
    if must {
        return must_not_pass(world, life, "revoked", &answer);
    }
    if answer.status == 200 && world.slots[life.slot].was_connected(revoked.at, begun) {
        world.ledger.passed_late(begun - revoked.at);
    }
    world.ledger.answer("revoked a moment ago", told(&answer));
}

/// Revokes tokens that pass, one after the other, until it is over.
pub(super) async fn revoke(world: Arc<World>, mut chance: Chance) {
    while world.rest(&mut chance, 0.1..0.3).await {
        let (Some(life), Some(other)) = (world.pick(&mut chance), world.pick(&mut chance)) else { continue };
        let authority = world.authority(&mut chance);
        let token = Arc::new(authority.stable_token("items"));
        good(&world, &other, &token, "/fast/1").await;
        let kept = world.keeping_writes();
        let (root, bearer) = (world.authorities[0].stable_token("scopegate:admin"), &token.text);
        // By its holder, who is told that all is well also of a token that nobody knows; so only where it passed.
        let answer = if chance.of(0..2) == 0 && life.number == other.number {
            life.client.try_form("/revoke", &format!("token={bearer}")).await
        } else {
            life.client.try_json("POST", "/admin/revocations", &root.text, &json!({ "token": bearer })).await
        };
        let Some(answer) = answer else {
            world.ledger.wrong(Wrong::Lost, format!("node {}: a revocation", life.number));
            continue;
        };
        world.ledger.answer("a revocation", told(&answer));
        let at = Instant::now();
        if kept.is_none() || world.keeping_writes() != kept {
            continue;
        }
        if matches!(answer.status, 200 | 201) && token.key.history().known.contains(&life.number) {
            world.revoked.lock().unwrap().push(Revoked { token, at, by: life.number });
        } else if !matches!(answer.status, 200 | 201) {
            // Whether it was written is not known.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
