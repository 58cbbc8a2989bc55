//! What lasts: items, scopes, routes, revocations, audit.
