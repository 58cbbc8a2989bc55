//! Auth0 as a scopegate provider.
