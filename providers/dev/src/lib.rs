//! The embedded issuer: a real OIDC issuer on loopback for development and tests.
