//! Every target on its corpus, and on mutations of it that are the same in every run.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation fails the test"
)]

mod mutation;

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use scopegate_fuzz_targets::{ALL, Target};

use self::mutation::Mutator;

/// How many mutations of each corpus are tried at most, and for how long.
const MUTATIONS: usize = 2000;
const PATIENCE: Duration = Duration::from_millis(700);

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What is in a folder, by name.
fn folder(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    folder(&fuzz().join("corpus").join(name))
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// Whether the target took it.
fn holds((name, run): Target, data: &[u8]) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(data)));
    outcome.unwrap_or_else(|_| panic!("{name} does not hold for {:?}", String::from_utf8_lossy(data)))
}

#[test]
fn every_target_holds_for_its_corpus() {
    for target in ALL {
        let corpus = corpus(target.0);
        let taken = corpus.iter().filter(|(_, data)| holds(target, data)).count();
        assert!(taken > 0, "of the corpus of {} nothing is taken, so that nothing was looked at", target.0);
        assert!(
            taken < corpus.len(),
            "of the corpus of {} everything is taken, so that nothing is hostile",
            target.0
        );
    }
}

#[test]
fn every_target_holds_for_mutations_of_its_corpus() {
    for target in ALL {
        let corpus: Vec<Vec<u8>> = corpus(target.0).into_iter().map(|(_, data)| data).collect();
        let mut mutator = Mutator::new(&corpus);
        let begun = Instant::now();
        for _ in 0..MUTATIONS {
            holds(target, &mutator.next());
            if begun.elapsed() > PATIENCE {
                break;
            }
        }
    }
}

#[test]
fn every_target_has_a_corpus_a_program_and_a_row() {
    let names = |paths: Vec<PathBuf>| -> BTreeSet<String> {
        paths.iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let all: BTreeSet<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(folder(&fuzz().join("corpus"))), all);
    assert_eq!(names(folder(&fuzz().join("fuzz_targets"))), all);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let documentation = include_str!("../../src/lib.rs");
    for name in all {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name} is not in fuzz/Cargo.toml"
        );
        let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("scopegate_fuzz_targets::{name}(data)")), "{program}");
        assert!(documentation.contains(&format!("[`{name}()`]")), "{name} is not in the table of src/lib.rs");
    }
}

#[test]
fn the_corpus_is_small() {
    for (path, data) in ALL.iter().flat_map(|(name, _)| corpus(name)) {
        assert!(data.len() <= 8 << 10, "{} holds {} bytes", path.display(), data.len());
    }
}
