mod bad;
mod cases;
mod documents;
mod environment;
mod files;
mod good;
mod kinds;
mod reference;
mod references;
mod secrets;
mod situations;

use super::*;

/// Loads a text with the kinds of these tests and these environment variables.
fn load_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let source = ConfigSource::Text { name: "scopegate.yaml".into(), text: text.into() };
    loader(variables).load(&source)
}

fn load(text: &str) -> Result<Config, ConfigErrors> {
    load_with(text, &[])
}

fn loader(variables: &[(&str, &str)]) -> Loader {
    let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Loader::new().kinds(kinds::all()).environment(variables)
}

/// The errors of a text that must not load.
fn errors(text: &str) -> Vec<ConfigError> {
    load(text).unwrap_err().iter().cloned().collect()
}

/// The only error of a text that must not load.
fn error(text: &str) -> ConfigError {
    let errors = errors(text);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.into_iter().next().unwrap()
}

fn line(error: &ConfigError) -> u32 {
    error.location().unwrap().line().unwrap()
}
