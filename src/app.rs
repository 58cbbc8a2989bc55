//! The composition root: configuration → providers, policy, store, gates, one endpoint.
