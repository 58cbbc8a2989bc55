use std::{fs, path::Path};

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn load_path(path: &Path) -> Result<Config, ConfigErrors> {
    loader(&[]).load(&ConfigSource::Path(path.to_owned()))
}

fn cause(path: &Path) -> Cause {
    let errors = load_path(path).unwrap_err();
    assert_eq!(errors.iter().count(), 1, "{errors}");
    errors.iter().next().unwrap().cause().clone()
}

const ANYONE: &str = "routes: [ { match: /a, allow: anonymous } ]";
const NOBODY: &str = "routes: [ { match: /b, allow: nobody } ]";

#[test]
fn included_files_add_routes_in_the_order_of_their_names() {
    let main = "include: [routes.d/*.yaml]\nroutes: [ { match: /, allow: anonymous } ]";
    let files = [("scopegate.yaml", main), ("routes.d/2.yaml", NOBODY), ("routes.d/1.yaml", ANYONE)];
    let folder = folder(&files);
    let config = load_path(&folder.path().join("scopegate.yaml")).unwrap();
    let patterns: Vec<String> =
        config.rules.policy.routes().iter().map(|route| route.pattern().to_string()).collect();
    assert_eq!(patterns, ["/", "/a", "/b"]);
    assert!(config.watched.contains(&folder.path().join("routes.d")), "{:?}", config.watched);
    assert!(config.watched.contains(&folder.path().join("routes.d/2.yaml")), "{:?}", config.watched);
}

#[test]
fn an_error_in_an_included_file_is_told_there() {
    let files =
        [("scopegate.yaml", "include: [r.yaml]"), ("r.yaml", "routes:\n  - { match: /a, alow: nobody }\n")];
    let folder = folder(&files);
    let told = load_path(&folder.path().join("scopegate.yaml")).unwrap_err().to_string();
    assert!(told.contains("r.yaml:2:18 (routes[0].alow)"), "{told}");
}

#[test]
fn an_included_file_may_hold_nothing_else() {
    let folder =
        folder(&[("scopegate.yaml", "include: [r.yaml]"), ("r.yaml", "server: { listen: 127.0.0.1:1 }")]);
    assert_eq!(cause(&folder.path().join("scopegate.yaml")), Cause::NotIncludable { key: "server".into() });
}

#[test]
fn an_included_file_includes_nothing() {
    let folder = folder(&[("scopegate.yaml", "include: [r.yaml]"), ("r.yaml", "include: [scopegate.yaml]")]);
    assert_eq!(cause(&folder.path().join("scopegate.yaml")), Cause::NotIncludable { key: "include".into() });
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let folder = folder(&[("scopegate.yaml", "include: ['*.yaml']")]);
    assert!(matches!(cause(&folder.path().join("scopegate.yaml")), Cause::ReadTwice { .. }));
}

#[test]
fn a_file_to_include_that_is_not_there_is_told_at_its_name() {
    let folder = folder(&[("scopegate.yaml", "include:\n  - nope.yaml\n")]);
    let errors = load_path(&folder.path().join("scopegate.yaml")).unwrap_err();
    let error = errors.iter().next().unwrap();
    assert!(matches!(error.cause(), Cause::Unreadable { path, .. } if path.ends_with("nope.yaml")));
    assert_eq!((line(error), error.key()), (2, "include[0]"));
}

#[test]
fn a_folder_is_one_configuration() {
    let files = [
        ("10-server.yaml", "server: { listen: 127.0.0.1:1 }"),
        ("20-routes.yml", ANYONE),
        ("30-routes.yaml", NOBODY),
        ("..data/40.yaml", "nonsense"),
        ("notes.txt", "nonsense"),
    ];
    let folder = folder(&files);
    let config = load_path(folder.path()).unwrap();
    assert_eq!(
        (config.server.listen.to_string().as_str(), config.rules.policy.routes().len()),
        ("127.0.0.1:1", 2)
    );
}

#[test]
fn a_key_in_two_files_of_a_folder_is_refused_with_both_places() {
    let folder = folder(&[
        ("a.yaml", "server: { listen: 127.0.0.1:1 }"),
        ("b.yaml", "server: { listen: 127.0.0.1:2 }"),
    ]);
    let Cause::Value(Problem::DuplicateKey { key, first }) = cause(folder.path()) else {
        panic!("another cause")
    };
    assert_eq!(key, "listen");
    assert!(first.to_string().ends_with("a.yaml:1:11"), "{first}");
}

#[test]
fn a_folder_without_yaml_is_refused() {
    let folder = folder(&[("notes.txt", "")]);
    assert!(matches!(cause(folder.path()), Cause::NoFiles { .. }));
}

#[test]
fn a_file_that_is_not_there_is_refused_by_name() {
    assert!(
        matches!(cause(Path::new("/no/such.yaml")), Cause::Unreadable { path, .. } if path == "/no/such.yaml")
    );
}

#[test]
fn a_file_that_is_not_utf8_is_refused() {
    let folder = folder(&[]);
    let path = folder.path().join("scopegate.yaml");
    fs::write(&path, b"server: \xff").unwrap();
    assert_eq!(cause(&path), Cause::NotUtf8);
}

#[test]
fn a_relative_secret_file_is_beside_the_file_that_names_it() {
    let main =
        "providers: { okta: { issuer: 'https://a', audience: a, client_secret: { file: secrets/okta } } }";
    let folder = folder(&[("scopegate.yaml", main), ("secrets/okta", "s3cret\n")]);
    let config = load_path(&folder.path().join("scopegate.yaml")).unwrap();
    assert!(config.watched.contains(&folder.path().join("secrets/okta")));
}

#[test]
fn a_certificate_that_is_not_there_or_not_pem_is_refused() {
    let main = "server: { tls: { certificate: c.pem, key: k.pem } }";
    let folder = folder(&[("scopegate.yaml", main), ("c.pem", "nonsense")]);
    let errors = load_path(&folder.path().join("scopegate.yaml")).unwrap_err();
    let keys: Vec<&str> = errors.iter().map(ConfigError::key).collect();
    assert_eq!(keys, ["server.tls.certificate", "server.tls.key"]);
    assert!(
        errors.iter().all(|error| matches!(error.cause(), Cause::Conflict(Conflict::File { .. }))),
        "{errors}"
    );
}
