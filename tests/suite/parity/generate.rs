//! Requests with every trick that parsers have disagreed about somewhere.

use super::{
    case::Case,
    tricks::{
        ENDS, FORMS, FRAMES, HEADS, HOSTS, JUMPS, LISTED, METHODS, ODD_FRAMES, ODD_HOSTS, ODD_METHODS,
        PLACES, RAW_ENDS, SLASHES, SPELLINGS, SPOOFED_NAMES, SPOOFED_PLACES,
    },
};

/// A sequence of numbers that looks random and is the same for the same seed (`SplitMix64`).
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of one case: any case can be made again without those before it.
    pub(super) fn of(seed: u64, case: u64) -> Self {
        let mut dice = Self(seed ^ case.wrapping_mul(0xd134_2543_de82_ef95));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// Whether something happens that happens so many times in a hundred.
    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The tokens with which requests come: good ones of every client, and bad ones.
pub(super) struct Tokens {
    pub(super) good: Vec<String>,
    pub(super) bad: Vec<String>,
}

/// The request of this number.
pub(super) fn case(seed: u64, number: u64, tokens: &Tokens) -> Case {
    let dice = &mut Dice::of(seed, number);
    let method = match dice.below(100) {
        0..60 => "GET",
        60..97 => dice.one(METHODS),
        _ => dice.one(ODD_METHODS),
    };
    let mut case = Case {
        number,
        method,
        target: target(dice),
        version: "HTTP/1.1",
        fields: hosts(dice),
        line_end: "\r\n",
        body: Vec::new(),
        alone: false,
    };
    case.fields.extend(authorization(dice, tokens));
    while dice.percent(35) {
        case.fields.push(spoofed(dice));
    }
    frame(dice, &mut case);
    if dice.percent(2) {
        case.version = dice.one(&[
            "HTTP/1.0",
            "HTTP/1.0",
            "HTTP/1.1 ",
            "HTTP/1.2",
            "HTTP/2.0",
            "http/1.1",
            "HTTP/0.9",
            "",
        ]);
        case.alone = true;
    }
    if dice.percent(1) {
        case.line_end = "\n";
        case.alone = true;
    }
    case
}

fn target(dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut pieces = vec![dice.one(PLACES).as_bytes().to_vec()];
    match dice.below(100) {
        0..50 => {}
        50..64 => {
            pieces.push(dice.one(JUMPS).into());
            pieces.push(dice.one(PLACES)[1..].into());
        }
        64..76 => {
            let whole = dice.one(PLACES);
            let at = whole.match_indices('/').map(|(at, _)| at).collect::<Vec<_>>();
            let at = dice.one(&at);
            pieces = vec![whole[..at].into(), dice.one(SLASHES).into(), whole[at + 1..].into()];
            if pieces[0].is_empty() && dice.percent(70) {
                pieces[0] = b"/mixed".to_vec();
            }
        }
        76..81 => pieces = vec![dice.one(SPELLINGS).into()],
        81..84 => pieces = vec![dice.one(FORMS).into()],
        84..90 => {
            let text = dice.one(PLACES);
            let at = 1 + dice.below(text.len().max(2) - 1);
            if let (Some(before), Some(byte), Some(after)) =
                (text.get(..at), text.as_bytes().get(at), text.get(at + 1..))
            {
                let encoded = match dice.below(4) {
                    0 => format!("%{byte:02x}"),
                    1 => format!("%{byte:02X}"),
                    2 => format!("%25{byte:02x}"),
                    _ => format!("%2525{byte:02X}"),
                };
                pieces = vec![before.into(), encoded.into(), after.into()];
            }
        }
        _ => pieces.push(dice.one(ENDS).into()),
    }
    if dice.percent(12) {
        pieces.push(dice.one(ENDS).into());
    }
    if dice.percent(1) {
        pieces.push(dice.one(RAW_ENDS).to_vec());
    }
    pieces
}

fn hosts(dice: &mut Dice) -> Vec<Vec<u8>> {
    let host = |name: &str| format!("Host: {name}").into_bytes();
    match dice.below(100) {
        0..78 => vec![host("api.example")],
        78..94 => vec![host(dice.one(HOSTS))],
        94..97 => vec![host(dice.one(ODD_HOSTS))],
        97..99 => vec![host("api.example"), host(dice.one(HOSTS))],
        _ => vec![],
    }
}

fn authorization(dice: &mut Dice, tokens: &Tokens) -> Vec<Vec<u8>> {
    let pick = |dice: &mut Dice| tokens.good[dice.below(tokens.good.len())].clone();
    let line = |value: String| format!("Authorization: {value}").into_bytes();
    let good = pick(dice);
    match dice.below(100) {
        0..25 => vec![],
        25..82 => vec![line(format!("Bearer {good}"))],
        82..90 => vec![line(format!("Bearer {}", tokens.bad[dice.below(tokens.bad.len())]))],
        90 => vec![line(format!("bearer {good}"))],
        91 => vec![line(format!("BEARER  {good}"))],
        92 => vec![line("Basic YTpi".to_owned())],
        93 => vec![line("Bearer".to_owned())],
        94 => vec![line(String::new())],
        95 => vec![line(format!("Bearer {good}, Bearer {}", pick(dice)))],
        96 => vec![line(format!("Bearer {good}")), line(format!("Bearer {}", pick(dice)))],
        97 => vec![line("Basic YTpi".to_owned()), line(format!("Bearer {good}"))],
        98 => vec![format!("Proxy-Authorization: Bearer {good}").into_bytes()],
        _ => vec![format!("X-Forwarded-Authorization: Bearer {good}").into_bytes()],
    }
}

fn spoofed(dice: &mut Dice) -> Vec<u8> {
    match dice.below(10) {
        0..4 => format!("{}: {}", dice.one(SPOOFED_NAMES), dice.one(&["root", "DELETE", "admin", ""]))
            .into_bytes(),
        4..8 => {
            let (name, value) = dice.one(SPOOFED_PLACES);
            format!("{name}: {value}").into_bytes()
        }
        _ => format!("Connection: {}", dice.one(LISTED)).into_bytes(),
    }
}

fn frame(dice: &mut Dice, case: &mut Case) {
    let framed = |(field, body): (&str, &str), case: &mut Case| {
        case.fields.extend(field.split("\r\n").map(|line| line.as_bytes().to_vec()));
        case.body = body.as_bytes().to_vec();
    };
    match dice.below(100) {
        0..3 => {
            framed(dice.one(ODD_FRAMES), case);
            case.alone = true;
        }
        3..5 => {
            case.fields.push(dice.one(HEADS).as_bytes().to_vec());
            case.alone = true;
        }
        _ if matches!(case.method, "POST" | "PUT" | "PATCH") || dice.percent(4) => {
            framed(dice.one(FRAMES), case);
        }
        _ => {}
    }
}
