//! Okta as a scopegate provider.
