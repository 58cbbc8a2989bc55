//! Configurations.

use std::sync::LazyLock;

use scopegate::{
    config::{Config, ConfigErrors, ConfigSource, Loader},
    policy::{Pattern, TokenUse},
};

static LOADER: LazyLock<Loader> = LazyLock::new(|| Loader::new().without_environment());

/// Bytes: YAML.
pub fn configuration(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    // A configuration may name files, and some files never end.
    if ["/dev", "/proc", "/sys"].iter().any(|folder| text.contains(folder)) {
        return false;
    }
    let source = ConfigSource::Text { name: "fuzz.yaml".to_owned(), text: text.to_owned() };
    let loaded = LOADER.load(&source);
    match &loaded {
        Ok(config) => opens_only_what_it_says(config, text),
        Err(errors) => every_error_has_a_place_that_is_there(errors, text),
    }
    loaded.is_ok()
}

fn opens_only_what_it_says(config: &Config, text: &str) {
    let says = |word: &str| text.contains(word) || text.contains('\\');
    for route in config.rules.policy.routes() {
        let open = route.rule().token_use() != TokenUse::Required && route.rule().decide(None).is_ok();
        assert!(!open || says("anonymous") || says("optional"), "{} is open", route.label());
        let printed = route.pattern().to_string();
        let again = Pattern::parse(&printed).unwrap_or_else(|error| panic!("{printed:?}: {error}"));
        assert_eq!(&again, route.pattern());
    }
    assert!(config.admin.is_none() || config.rules.admin.is_some(), "administration without a rule");
}

fn every_error_has_a_place_that_is_there(errors: &ConfigErrors, text: &str) {
    assert!(errors.iter().count() > 0, "refused without a word");
    // YAML 1.2.2, section 5.4: a break is LF, CR, or one of each.
    let breaks = text.replace("\r\n", "\n").matches(['\n', '\r']).count();
    let lines = u32::try_from(breaks + 1).unwrap_or(u32::MAX);
    for error in errors {
        let line = error.location().and_then(scopegate::config::Location::line).unwrap_or(1);
        // A text that ends too early is told of on the line behind its last.
        assert!((1..=lines.saturating_add(1)).contains(&line), "line {line} of {lines}: {error}");
        assert!(!error.to_string().is_empty());
    }
    assert!(!errors.to_string().is_empty());
}
