//! Tokens that nobody has seen before, good and bad.

use std::{hint::black_box, time::Duration};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::time::{ClockId, clock_gettime};
use scopegate_testkit::MintKey;
use serde_json::json;

use super::{Section, World};
use crate::{
    load::{Load, finish, median},
    peers::{self, GUARDED, Peer, Setting},
    report::Limit::{AtLeast, None as NoLimit},
    round::{Contender, Effort, rate, ratio},
    world::MANY,
};

/// Nothing is remembered, so that every token is seen for the first time.
const FORGETFUL: Setting<'static> = Setting { cache: 0, ..GUARDED };

/// Distinct tokens of each algorithm.
pub(crate) fn first_sight(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Distinct tokens, first sight");
    let (ceiling, server) = (peers::ceiling(world)?, peers::scopegate(world, FORGETFUL)?);
    let kinds = [
        ("poem, no authentication, RS256", "RS256"),
        ("poem, no authentication, ES256", "ES256"),
        ("poem, no authentication, EdDSA", "EdDSA"),
    ];
    for ((open, algorithm), key) in kinds.into_iter().zip(&world.keys) {
        let tokens = world.tokens(algorithm, key, MANY);
        let found = effort.measure(
            &mut section,
            &[
                Contender::new(open, &ceiling, Load::new(ceiling.port, "/", &tokens)),
                Contender::new(algorithm, &server, Load::new(server.port, "/", &tokens)),
            ],
        );
        let check = check_alone(key);
        let budget = 1.0 / (1.0 / rate(&found, open) + check.as_secs_f64());
        let name = format!("{algorithm}: the check of the signature alone");
        section.figure(&name, check.as_secs_f64() * 1e6, " µs", NoLimit);
        let name = format!("{algorithm}: to what ceiling and check add up to");
        section.ratio(&name, rate(&found, algorithm) / budget, AtLeast(0.90));
    }
    Ok(section)
}

/// Tokens that fail, against tokens that pass, both seen for the first time.
pub(crate) fn forged(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Forged signatures, random key ids, garbage");
    let (tokens, forged) = (world.tokens("RS256", &world.keys[0], MANY), world.forged());
    let server = peers::scopegate(world, FORGETFUL)?;
    let found = effort.measure(
        &mut section,
        &[
            Contender::new("good, first sight", &server, Load::new(server.port, "/", &tokens)),
            Contender::new("bad", &server, Load::new(server.port, "/", &forged)),
        ],
    );
    section.ratio("bad to good", ratio(&found, "bad", "good, first sight"), AtLeast(1.0));
    Ok(section)
}

/// A caller with a hot token while forged ones come in, against the same caller and flood where nobody checks tokens.
pub(crate) fn flood(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("A caller with a hot token in a flood of forged ones");
    let (token, forged) = (world.tokens("hot", &world.keys[0], 1), world.forged());
    let started = [
        ("poem, no authentication", peers::ceiling(world)?),
        ("scopegate", peers::scopegate(world, GUARDED)?),
        ("poem with jsonwebtoken", peers::rust(world, "poem-jwt")?),
        ("axum with jsonwebtoken", peers::rust(world, "axum-jwt")?),
    ];
    let mut outcomes = vec![Vec::new(); started.len()];
    for _ in 0..effort.rounds {
        for (outcomes, (_, peer)) in outcomes.iter_mut().zip(&started) {
            outcomes.push(flooded(
                peer,
                &Load::new(peer.port, "/", &token),
                &Load::new(peer.port, "/", &forged),
                effort.time,
            ));
        }
    }
    let mut found = crate::round::Found::new();
    for (outcomes, (name, _)) in outcomes.into_iter().zip(&started) {
        let middle = median(outcomes);
        section.contender(name, middle);
        found.insert(name, middle);
    }
    let open = "poem, no authentication";
    section.ratio("to no authentication", ratio(&found, "scopegate", open), AtLeast(0.7));
    section.ratio("poem with jsonwebtoken, the same", ratio(&found, "poem with jsonwebtoken", open), NoLimit);
    section.ratio("axum with jsonwebtoken, the same", ratio(&found, "axum with jsonwebtoken", open), NoLimit);
    Ok(section)
}

/// What the caller gets while the flood goes on around it.
fn flooded(peer: &Peer, caller: &Load, flood: &Load, time: Duration) -> crate::load::Outcome {
    let around = flood.clone().over(64).start(time + Duration::from_secs(2));
    std::thread::sleep(Duration::from_secs(1));
    let outcome = caller.clone().over(8).run(&peer.process, time);
    finish(around);
    outcome
}

/// The time of a bare check by a key that is parsed already.
fn check_alone(key: &MintKey) -> Duration {
    let token =
        key.token(&json!({"iss": "https://issuer.example/", "aud": "bench", "filler": "x".repeat(300)}));
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (raw, signature) = (parsed(key), URL_SAFE_NO_PAD.decode(signature).unwrap());
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            let begin = on_processor();
            for _ in 0..100 {
                raw.verify_sig(black_box(input.as_bytes()), &signature).unwrap();
            }
            on_processor().saturating_sub(begin) / 100
        })
        .collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// How long this thread was on a processor so far: what else the machine does is not counted.
fn on_processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn parsed(key: &MintKey) -> ParsedPublicKey {
    let jwk = key.jwk();
    let part = |name: &str| {
        let text = jwk.get(name).and_then(|part| part.as_str()).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    match jwk.get("kty").and_then(|kind| kind.as_str()) {
        Some("RSA") => RsaPublicKeyComponents { n: part("n"), e: part("e") }
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .unwrap(),
        Some("EC") => {
            let point = [vec![4], part("x"), part("y")].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).unwrap()
        }
        _ => ParsedPublicKey::new(&ED25519, part("x")).unwrap(),
    }
}
