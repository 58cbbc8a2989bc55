//! The OIDC engine: discovery, key sets, verification, introspection, token requests.
