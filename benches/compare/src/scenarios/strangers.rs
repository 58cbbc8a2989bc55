//! Tokens at first sight, good and bad.

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
    load::{Load, Outcome, median},
    peers::{self, AXUM_JWT, EARLIER, GUARDED, OWN, POEM, POEM_JWT, Peer, Setting},
    report::Limit::{AtLeast, None as NoLimit},
    round::{Contender, Effort, micros, rate, ratio},
    world::MANY,
};

/// Without a cache, so that every token is seen for the first time.
const FORGETFUL: Setting<'static> = Setting { cache: 0, ..GUARDED };

/// Distinct tokens of each algorithm.
pub(crate) fn first_sight(world: &World, effort: Effort) -> Result<Vec<Section>, String> {
    let poem = peers::constant(world, "poem")?;
    let server = peers::scopegate(world, FORGETFUL)?;
    let earlier = peers::earlier(world, FORGETFUL)?;
    let jwt = [(POEM_JWT, peers::rust(world, "poem-jwt")?), (AXUM_JWT, peers::rust(world, "axum-jwt")?)];
    // HAProxy has one key.
    let haproxy = peers::haproxy(world, 9)?;
    let mut sections = Vec::new();
    for (algorithm, key) in ["RS256", "ES256", "EdDSA"].into_iter().zip(&world.keys) {
        let mut section = Section::new(&format!("{algorithm}, distinct tokens, first sight"));
        let tokens = world.tokens(algorithm, key, MANY);
        let load = |port| Load::new(port, "/", &tokens);
        let mut contenders = vec![
            Contender::new(POEM, &poem, load(poem.port)),
            Contender::new(OWN, &server, load(server.port)),
        ];
        contenders
            .extend(earlier.as_ref().map(|earlier| Contender::new(EARLIER, earlier, load(earlier.port))));
        contenders.extend(jwt.iter().map(|(name, peer)| Contender::new(name, peer, load(peer.port))));
        if algorithm == "RS256" {
            contenders.push(Contender::new(
                "HAProxy with jwt_verify",
                &haproxy.peer,
                load(haproxy.peer.port),
            ));
        }
        let found = effort.measure(&mut section, &contenders);
        let check = check_alone(key).as_secs_f64() * 1e6;
        section.figure("the check of the signature alone", check, " µs", NoLimit);
        let sum = micros(&found, POEM) + check;
        section.ratio("to the sum of poem and the check", sum / micros(&found, OWN), AtLeast(0.90));
        section.ratio("to poem with jsonwebtoken", ratio(&found, OWN, POEM_JWT), AtLeast(1.0));
        section.ratio("to axum with jsonwebtoken", ratio(&found, OWN, AXUM_JWT), AtLeast(1.0));
        if earlier.is_some() {
            section.ratio("to the earlier revision", ratio(&found, OWN, EARLIER), AtLeast(1.0));
        }
        sections.push(section);
    }
    Ok(sections)
}

/// Tokens that fail, against tokens that pass, both seen for the first time.
pub(crate) fn forged(world: &World, effort: Effort) -> Result<Section, String> {
    let mut section = Section::new("Forged signatures, random key ids, garbage");
    let tokens = world.tokens("RS256", &world.keys[0], MANY);
    let forged = world.forged();
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
    let token = world.tokens("hot", &world.keys[0], 1);
    let forged = world.forged();
    let started = [
        (POEM, peers::constant(world, "poem")?),
        (OWN, peers::scopegate(world, GUARDED)?),
        (POEM_JWT, peers::rust(world, "poem-jwt")?),
        (AXUM_JWT, peers::rust(world, "axum-jwt")?),
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
    let share = |name| rate(&found, name) / rate(&found, POEM);
    section.ratio("answers to the known caller, to poem", share(OWN), AtLeast(0.7));
    section.ratio("poem with jsonwebtoken, the same", share(POEM_JWT), NoLimit);
    section.ratio("axum with jsonwebtoken, the same", share(AXUM_JWT), NoLimit);
    Ok(section)
}

/// Returns the outcome of the known caller's load during the flood.
fn flooded(peer: &Peer, caller: &Load, flood: &Load, time: Duration) -> Outcome {
    let around = flood.clone().over(64).start(time + Duration::from_secs(2));
    std::thread::sleep(Duration::from_secs(1));
    let outcome = caller.clone().over(8).run(&[&peer.process], time);
    around.finish();
    outcome
}

/// Returns the time of a bare check by a key that is parsed already.
fn check_alone(key: &MintKey) -> Duration {
    let token =
        key.token(&json!({"iss": "https://issuer.example/", "aud": "bench", "filler": "x".repeat(300)}));
    let (input, signature) = token.rsplit_once('.').unwrap();
    let raw = parsed(key);
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
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

/// Returns the processor time of this thread so far.
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
