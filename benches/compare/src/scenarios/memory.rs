//! The memory of a node, and the time until its first answer.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{Section, World};
use crate::{
    load::Load,
    peers::{self, GUARDED, Peer},
    report::Limit::{None as NoLimit, Under},
    round::Effort,
};

const CACHED: usize = 100_000;

/// The size of a token in bytes.
const CACHED_SIZE: usize = 800;

/// The first and the longest time of a load in which all tokens are seen.
const LONG_ENOUGH: Duration = Duration::from_secs(30);
const TOO_LONG: Duration = Duration::from_mins(5);

/// Memory at rest, and with a full token cache.
pub(crate) fn memory(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Memory");
    let server = peers::scopegate(world, GUARDED)?;
    first_answer(&server);
    let (whole, own) = server.process.memory();
    section.figure("at rest, resident", megabytes(whole), " MB", Under(16.0));
    section.figure("of which not the program's file", megabytes(own), " MB", NoLimit);
    let tokens = world.tokens_of("cached", &world.keys[1], CACHED, CACHED_SIZE);
    let load = Load::new(server.port, "/", &tokens);
    see_all(&load, &server, effort);
    section.figure("100,000 cached tokens", megabytes(server.process.memory().0), " MB", Under(110.0));
    let more = world.tokens_of("more", &world.keys[2], CACHED, CACHED_SIZE);
    see_all(&Load { tokens: more, ..load }, &server, effort);
    section.figure("after 100,000 others", megabytes(server.process.memory().0), " MB", Under(110.0));
    Ok(section)
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred megabytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Loads a server until it has seen every token once.
#[expect(clippy::cast_precision_loss, reason = "a hundred thousand")]
fn see_all(load: &Load, server: &Peer, effort: Effort) {
    let mut time = effort.time.max(LONG_ENOUGH);
    while load.run(&[&server.process], time).rate * time.as_secs_f64() < CACHED as f64 {
        time *= 2;
        assert!(time < TOO_LONG, "the server did not answer {CACHED} requests in {TOO_LONG:?}");
    }
}

/// The time from the start of the program to its first answer.
pub(crate) fn start(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Start");
    let mut times = Vec::new();
    for _ in 0..effort.rounds * 3 {
        let server = peers::scopegate(world, GUARDED)?;
        times.push(server.process.started + first_answer(&server));
    }
    times.sort();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    section.figure("to the first answer", middle.as_secs_f64() * 1e3, " ms", Under(50.0));
    Ok(section)
}

fn first_answer(server: &Peer) -> Duration {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    begin.elapsed()
}
