//! The examples of provider settings in `config/providers` are whole configurations that load.

use scopegate::config::{ConfigSource, Loader};

#[test]
fn every_example_of_a_providers_settings_loads() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/providers");
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 8, "{names:?}");
    for path in names {
        let config = Loader::new().without_environment().load(&ConfigSource::Path(path.clone()));
        assert!(config.is_ok(), "{}: {}", path.display(), config.err().unwrap());
    }
}
