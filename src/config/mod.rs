//! The configuration: each part's own section, gathered from defaults, YAML and the environment.
