//! What goes wrong.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use scopegate_testkit::{Cable, Fault, Postgres};
use serde_json::json;

use super::{Life, STALENESS, Slot, World, authority::Key, ledger::Wrong, nodes::Source};
use crate::support::{Chance, eventually};

/// How often the configuration is changed, half of the times for bad.
const RELOADS: u32 = 100;

/// Issuers hang, answer 500, another issuer's document or malformed JSON, or are gone; one after the other.
pub(super) async fn issuers_fail(world: Arc<World>, mut chance: Chance) {
    let mut next = 0;
    while world.rest(&mut chance, 0.5..3.0).await {
        let authority = world.authority(&mut chance);
        let issuer = &authority.issuer;
        let other = json!({ "issuer": "https://other.example", "jwks_uri": issuer.at("/keys") }).to_string();
        let everything = "*";
        let (event, place, fault) = match next % 5 {
            0 => ("an issuer hung", everything, Fault::Hang),
            1 => ("an issuer answered 500", everything, Fault::Status(500)),
            2 => ("an issuer named another issuer", &*issuer.paths().discovery, Fault::Body(other.into())),
            3 => ("an issuer answered malformed JSON", everything, Fault::Body(br#"{"keys":[{"kty""#.into())),
            _ => ("an issuer closed connections", everything, Fault::Close),
        };
        next += 1;
        issuer.fail(place, fault);
        world.ledger.event(event);
        // Administrators make it worse: nodes fetch now, and find this.
        for life in world.lives() {
            refresh(&world, &life, authority.name).await;
        }
        world.rest(&mut chance, 0.5..4.0).await;
        issuer.mend();
    }
}

/// Fetches keys now; says whether they were fetched.
async fn refresh(world: &World, life: &Life, provider: &str) -> bool {
    let root = world.authorities[0].stable_token("scopegate:admin");
    let path = format!("/admin/providers/{provider}/refresh");
    let answer = life.client.try_json("POST", &path, &root.text, &json!(null)).await;
    answer.is_some_and(|answer| answer.status == 200)
}

/// Keys are published, and withdrawn some time later.
pub(super) async fn keys_rotate(world: Arc<World>, mut chance: Chance) {
    while world.rest(&mut chance, 1.0..3.0).await {
        let authority = world.authority(&mut chance);
        authority.add_key();
        world.ledger.event("a key was published");
        if !world.rest(&mut chance, 1.0..3.0).await {
            return;
        }
        if let Some(key) = authority.withdraw_key() {
            world.ledger.event("a key was withdrawn");
            tokio::spawn(forget(world.clone(), authority.name, key));
        }
    }
}

/// Makes every node hear of a withdrawn key.
async fn forget(world: Arc<World>, provider: &'static str, key: Arc<Key>) {
    for life in world.lives().collect::<Vec<_>>() {
        // The first may have been under way when the key was withdrawn.
        let mut fetched = 0;
        while fetched < 2 && !world.is_over() {
            fetched += u8::from(refresh(&world, &life, provider).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if fetched == 2 {
            key.history().forgotten.insert(life.number, Instant::now());
        }
    }
}

/// Good and bad configurations, one after the other.
pub(super) async fn configurations_change(world: Arc<World>, mut chance: Chance) {
    let pause = world.length / (RELOADS + 15);
    for number in 0..RELOADS {
        let begun = Instant::now();
        let slot = &world.slots[chance.of(0..2)];
        let changing = slot.changing.lock().await;
        let life = slot.listed().unwrap();
        if number % 2 == 0 {
            good_configuration(&world, slot, &life, number % 4 == 0).await;
            world.ledger.event("a good configuration was taken over");
        } else {
            bad_configuration(&world, slot, &life, &mut chance).await;
            world.ledger.event("a bad configuration was refused");
        }
        drop(changing);
        tokio::time::sleep(pause.saturating_sub(begun.elapsed())).await;
    }
}

fn write(life: &Life, text: &str) {
    let server = life.server.lock().unwrap();
    fs::write(server.folder().join("scopegate.yaml"), text).unwrap();
    server.signal("HUP");
}

async fn good_configuration(world: &World, slot: &Slot, life: &Life, open: bool) {
    write(life, &slot.config(world, open));
    let status = if open { 200 } else { 403 };
    eventually(async || life.client.get("/open").await.status, |found| *found == status).await;
}

async fn bad_configuration(world: &World, slot: &Slot, life: &Life, chance: &mut Chance) {
    let good = slot.config(world, true);
    // Each would let everybody pass if the part of it were taken that can be read.
    let opened = good.replace("/guarded/**, require: guarded", "/guarded/**, allow: anonymous");
    let bad = match chance.of(0..5) {
        0 => opened.replace("upstreams:", "upstraems:"),
        1 => opened.replace("issuer: ", "isuer: "),
        2 => format!("{opened}\nroutes: []\n"),
        3 => opened.replace("items: Read items", "items: [Read"),
        _ => opened.replace("require: items, upstream: api }", "require: itmes, upstream: api }"),
    };
    let before = refused(life).await;
    write(life, &bad);
    eventually(async || refused(life).await, |now| *now > before).await;
}

/// How many configurations a node has refused.
async fn refused(life: &Life) -> u64 {
    let page = life.operations.get("/metrics").await.text;
    let label = r#"scopegate_config_reloads_total{outcome="bad"} "#;
    page.lines().find_map(|line| line.strip_prefix(label)).unwrap().parse().unwrap()
}

/// PostgreSQL is restarted, killed, full and put back to an earlier state; its connections are cut and frozen.
pub(super) async fn the_database_fails(world: Arc<World>, mut chance: Chance) {
    let mut next = 0;
    while world.rest(&mut chance, 2.0..5.0).await {
        match next % 8 {
            0 => without_database(&world, "PostgreSQL was restarted", Postgres::stop).await,
            1 => cut(&world, &mut chance, "the connection of a node led nowhere", Cable::freeze, BRIEF).await,
            2 => terminate(&world).await,
            3 => goes_back_in_time(&world).await,
            4 => {
                cut(&world, &mut chance, "the connection of a node was cut for long", Cable::cut, LONG).await;
            }
            5 => disk_is_full(&world).await,
            6 => without_database(&world, "PostgreSQL was killed and started", Postgres::kill).await,
            _ => cut(&world, &mut chance, "the connection of a node was cut", Cable::cut, BRIEF).await,
        }
        next += 1;
    }
}

/// Shorter than the staleness that nodes bear.
const BRIEF: Duration = Duration::from_secs(2);

/// Longer than it.
const LONG: Duration = STALENESS.saturating_add(Duration::from_secs(4));

/// Puts the database back to the state of some seconds before, as a restored backup or a replica that lagged does.
async fn goes_back_in_time(world: &Arc<World>) {
    let _nobody_starts = world.starting.lock().await;
    world.begin_losing_writes();
    for act in [Postgres::keep, Postgres::return_to_kept] {
        loses_database(world);
        with_database(world, act).await;
        finds_database(world);
        tokio::time::sleep(BRIEF).await;
    }
    world.end_losing_writes();
    world.ledger.event("the database went back in time");
}

/// Refuses writes as PostgreSQL does when its disk is full, and takes them again.
async fn disk_is_full(world: &Arc<World>) {
    const FULL: &str = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER full_disk BEFORE INSERT ON revocations EXECUTE FUNCTION full_disk();
         CREATE TRIGGER full_disk BEFORE INSERT ON audit EXECUTE FUNCTION full_disk();";
    let _nobody_starts = world.starting.lock().await;
    for (sql, time) in [(FULL, BRIEF), ("DROP FUNCTION full_disk CASCADE", Duration::ZERO)] {
        let name = world.database_name.clone();
        with_database(world, move |server| assert!(server.psql(&name, sql), "{sql}")).await;
        tokio::time::sleep(time).await;
    }
    world.ledger.event("the disk of the database was full, and was not any more");
}

async fn with_database(world: &Arc<World>, act: impl FnOnce(&Postgres) + Send + 'static) {
    let world = world.clone();
    tokio::task::spawn_blocking(move || act(&world.database)).await.unwrap();
}

fn loses_database(world: &World) {
    for slot in &world.slots {
        slot.loses_database(Source::Event, Instant::now());
    }
}

fn finds_database(world: &World) {
    for slot in &world.slots {
        slot.finds_database(Source::Event);
    }
}

async fn without_database(
    world: &Arc<World>,
    event: &'static str,
    end: impl FnOnce(&Postgres) + Send + 'static,
) {
    let _nobody_starts = world.starting.lock().await;
    loses_database(world);
    with_database(world, move |server| {
        end(server);
        server.restart();
    })
    .await;
    finds_database(world);
    world.ledger.event(event);
}

async fn terminate(world: &Arc<World>) {
    let _nobody_starts = world.starting.lock().await;
    loses_database(world);
    with_database(world, |server| {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
        server.psql("postgres", others);
    })
    .await;
    finds_database(world);
    world.ledger.event("all connections were terminated");
}

async fn cut(world: &World, chance: &mut Chance, event: &'static str, how: fn(&Cable), time: Duration) {
    let slot = &world.slots[chance.of(0..2)];
    let _nobody_starts = world.starting.lock().await;
    slot.loses_database(Source::Event, Instant::now());
    how(&slot.cable);
    tokio::time::sleep(time).await;
    slot.cable.mend();
    slot.finds_database(Source::Event);
    world.ledger.event(event);
}

/// One node after the other is ended and started, in the first half: what runs then is looked at for long.
pub(super) async fn nodes_restart(world: Arc<World>) {
    let rounds = u32::try_from(world.length.as_secs() / 30).unwrap().clamp(4, 12);
    for round in 0..rounds {
        let due = world.length / 2 * (round + 1) / (rounds + 1);
        tokio::time::sleep(due.saturating_sub(world.begun.elapsed())).await;
        world.slots[usize::try_from(round % 2).unwrap()].restart(&world).await;
        world.ledger.event("a node was ended and started");
    }
}

/// One node or the other is frozen for seconds, and goes on.
pub(super) async fn nodes_freeze(world: Arc<World>, mut chance: Chance) {
    const FROZEN: Duration = Duration::from_secs(5);
    while world.rest(&mut chance, 9.0..15.0).await {
        // It is there again at the end.
        if world.length.saturating_sub(world.begun.elapsed()) < FROZEN * 5 {
            return;
        }
        world.slots[chance.of(0..2)].freeze(&world, FROZEN).await;
        world.ledger.event("a node was frozen and went on");
    }
}

/// The database is asked by the way of each node, all the time.
pub(super) async fn the_database_is_observed(world: Arc<World>, slot: usize) {
    world.slots[slot].observe(&world).await;
}

/// Memory is looked at while nodes run.
pub(super) async fn memory_is_looked_at(world: Arc<World>) {
    while !world.is_over() {
        world.lives().for_each(|life| life.look_at_memory());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if world.lives().count() != 2 {
        world.ledger.wrong(Wrong::Other, "a node is not there at the end".to_owned());
    }
}
