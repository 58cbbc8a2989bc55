//! The providers' own documents: every key set is read, every access token's claims pass under settings that suit the
//! provider, nothing else does.

use std::{collections::BTreeSet, path::PathBuf};

use scopegate_oidc::{
    Algorithm, Introspected, KeyProblem, KeySet, KeySetError, RequiredClaim, RequiredMembers, TokenUse,
};
use scopegate_provider::{Audience, ClaimPath, Issuer, Principal, Rejection, Role, Timestamp};
use serde_json::{Value, json};

use crate::desk::{Desk, missing};

/// All fixtures are built on this `iat`.
const ISSUED: i64 = 1_790_000_000;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/fixtures")
}

fn bytes(file: &str) -> Vec<u8> {
    std::fs::read(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn fixture(file: &str) -> Value {
    serde_json::from_slice(&bytes(file)).unwrap()
}

/// The fixtures whose name begins so, as `provider/name.json`.
fn all(prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for provider in std::fs::read_dir(folder()).unwrap().map(Result::unwrap) {
        for file in std::fs::read_dir(provider.path()).unwrap().map(Result::unwrap) {
            let (provider, file) = (provider.file_name(), file.file_name());
            let name = file.to_string_lossy();
            if name.starts_with(prefix) && !name.ends_with("-headers.json") {
                found.insert(format!("{}/{}", provider.to_string_lossy(), file.to_string_lossy()));
            }
        }
    }
    found
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// Settings that suit a provider, as its own page says.
fn desk(provider: &str) -> Desk {
    let api = "https://api.acme.example";
    let mut desk = Desk::new();
    let (issuer, audience) = match provider {
        "auth0" => ("https://acme.us.auth0.com/", api),
        "authentik" => ("https://auth.acme.example/application/o/orders/", "ordersM2mClientIdExample"),
        "cognito" => ("https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AcmePool1", ""),
        "entra" => (
            "https://login.microsoftonline.com/3f0c1a52-7e7b-4f1e-9a55-0d2b6c8e1f90/v2.0",
            "8d1f6a0e-2a6c-4a38-9c39-1f5b7c0a4d11",
        ),
        "entra v1" => ("https://sts.windows.net/3f0c1a52-7e7b-4f1e-9a55-0d2b6c8e1f90/", "api://orders"),
        "firebase" => ("https://securetoken.google.com/acme-orders", "acme-orders"),
        "generic" => ("https://as.acme.example/tenants/a", api),
        "github-actions" => ("https://token.actions.githubusercontent.com", "https://github.com/acme"),
        "gitlab" => ("https://gitlab.acme.example", api),
        "google" => ("https://accounts.google.com", api),
        "keycloak" => ("https://sso.acme.example/realms/acme", "orders-api"),
        "kubernetes" => ("https://kubernetes.default.svc.cluster.local", api),
        "okta" => ("https://acme.okta.com/oauth2/aus1acmeORDERSas15d7", api),
        "ory-hydra" => ("https://hydra.acme.example/", api),
        "pingone" => ("https://auth.pingone.eu/01d89b06-0000-4000-8000-65636843788b/as", api),
        "supabase" => ("https://acmeprojectref0000aa.supabase.co/auth/v1", "authenticated"),
        "zitadel" => ("https://acme.zitadel.example", "310000000000000001"),
        other => panic!("no settings for {other}"),
    };
    desk.rules.issuers = vec![Issuer::parse(issuer).unwrap()];
    desk.rules.audiences = Audience::parse(audience).into_iter().collect();
    let (clients, roles): (&[&str], &[&str]) = match provider {
        "auth0" => (&["azp", "client_id"], &[]),
        "authentik" => (&["azp"], &["groups"]),
        "cognito" => (&["client_id"], &["cognito:groups"]),
        "entra" => (&["azp"], &["roles"]),
        "entra v1" => (&["appid"], &["roles"]),
        "google" | "keycloak" => (&["azp"], &["/realm_access/roles"]),
        "okta" => (&["cid", "client_id"], &["groups"]),
        "zitadel" => (&["client_id"], &["urn:zitadel:iam:org:project:roles"]),
        _ => (&["client_id"], &["roles"]),
    };
    desk.rules.client_claims = paths(clients);
    desk.rules.role_claims = paths(roles);
    match provider {
        "cognito" => {
            desk.allow_clients(&["7s4f0k2m1example9q8w7e6r5t", "1example23456789spaclient0"]);
            desk.rules.required_claims = vec![required("token_use", "access")];
        }
        "firebase" | "google" | "github-actions" | "gitlab" => desk.rules.token_use = TokenUse::Id,
        "keycloak" => desk.rules.required_claims = vec![required("typ", "Bearer")],
        _ => {}
    }
    desk
}

fn paths(names: &[&str]) -> Vec<ClaimPath> {
    names.iter().map(|name| ClaimPath::parse(name).unwrap()).collect()
}

fn required(claim: &str, value: &str) -> RequiredClaim {
    RequiredClaim { path: ClaimPath::parse(claim).unwrap(), any_of: vec![json!(value)] }
}

fn resigned(desk: &Desk, claims: &Value) -> Result<Principal, Rejection> {
    desk.verify_at(&desk.rsa.token(claims), ISSUED + 100)
}

fn judge(provider: &str, file: &str) -> Result<Principal, Rejection> {
    resigned(&desk(provider), &fixture(file))
}

/// Scopes, roles and client of a fixture's principal.
fn facts(provider: &str, file: &str) -> (String, String, String) {
    let principal = judge(provider, file).unwrap_or_else(|rejection| panic!("{file}: {rejection}"));
    let roles: Vec<_> = principal.roles().iter().map(Role::as_str).collect();
    let client = principal.client().map(ToString::to_string).unwrap_or_default();
    (principal.scopes().to_string(), roles.join(" "), client)
}

#[test]
fn every_key_set_is_read_with_its_usable_keys() {
    let expected = [
        ("auth0/jwks-without-alg.json", 2),
        ("auth0/jwks.json", 2),
        ("authentik/jwks-no-signing-key.json", 0),
        ("authentik/jwks-with-encryption-key.json", 1),
        ("authentik/jwks.json", 1),
        ("cognito/jwks.json", 2),
        ("entra/jwks-common.json", 2),
        ("entra/jwks.json", 2),
        ("firebase/jwks.json", 2),
        ("generic/jwks.json", 2),
        ("github-actions/jwks.json", 2),
        ("gitlab/jwks.json", 1),
        ("google/jwks.json", 2),
        ("keycloak/jwks.json", 1),
        ("kubernetes/jwks.json", 1),
        ("okta/jwks.json", 3),
        ("ory-hydra/jwks.json", 1),
        ("pingone/jwks.json", 1),
        ("supabase/jwks-empty.json", 0),
        ("supabase/jwks.json", 1),
        ("zitadel/jwks.json", 2),
    ];
    assert_eq!(all("jwks"), set(expected.map(|(file, _)| file)));
    for (file, usable) in expected {
        match KeySet::parse(&bytes(file), &Algorithm::ALL) {
            Ok(set) => assert_eq!(set.keys().count(), usable, "{file}"),
            Err(KeySetError::NoUsableKey { .. }) => assert_eq!(usable, 0, "{file}"),
            Err(error) => panic!("{file}: {error}"),
        }
    }
}

#[test]
fn what_is_left_out_of_a_key_set_is_said() {
    let set = KeySet::parse(&bytes("generic/jwks.json"), &Algorithm::ALL).unwrap();
    let problems: Vec<_> = set.skipped().iter().map(|key| key.problem).collect();
    assert_eq!(problems, [KeyProblem::Symmetric, KeyProblem::Type, KeyProblem::Use]);
}

#[test]
fn every_access_token_of_every_provider_is_taken_with_its_facts() {
    let m2m = "XkJ18vPAwtPWi0zob9d0iZQ0Fou4co5V";
    let spa = "N4uDoGwxe5C4e1zihgvCeV7yLnU6L0F6";
    let (entra_app, entra_spa) =
        ("c5a4f8b2-6d3e-4e0b-8f4a-7b2d9e1c3a55", "0b7e4c1d-9f2a-4b6d-8e3c-5a1f7d9b2c66");
    let realm = "default-roles-acme offline_access uma_authorization";
    let realm_admin = "default-roles-acme offline_access orders-admin uma_authorization";
    let rows = [
        ("auth0", "access-token-claims-no-scope", "", "", m2m),
        ("auth0", "access-token-claims-org-m2m", "orders:read orders:write", "", m2m),
        ("auth0", "access-token-claims-rbac", "openid orders:read", "", spa),
        ("auth0", "access-token-claims-rfc9068", "orders:read", "", m2m),
        ("auth0", "access-token-claims-rfc9068-authz", "openid orders:read", "", spa),
        ("auth0", "access-token-claims-user", "email offline_access openid orders:read profile", "", spa),
        ("auth0", "access-token-claims", "orders:read orders:write", "", m2m),
        ("authentik", "access-token-claims", "openid profile", "", "ordersM2mClientIdExample"),
        (
            "cognito",
            "access-token-claims-user",
            "openid orders-api/read profile",
            "orders-admins",
            "1example23456789spaclient0",
        ),
        (
            "cognito",
            "access-token-claims",
            "orders-api/read orders-api/write",
            "",
            "7s4f0k2m1example9q8w7e6r5t",
        ),
        ("entra", "access-token-claims-user-groups-overage", "Orders.Read", "", entra_spa),
        ("entra", "access-token-claims-user", "Orders.Read Orders.Write", "", entra_spa),
        ("entra", "access-token-claims", "", "Orders.Read.All", entra_app),
        ("entra v1", "access-token-claims-user-v1", "Orders.Read", "", entra_spa),
        ("entra v1", "access-token-claims-v1", "", "Orders.Read.All", entra_app),
        ("firebase", "access-token-claims-user", "", "", ""),
        ("generic", "access-token-claims-user", "openid orders.read profile", "orders-admin", "s6BhdRkqt3"),
        ("generic", "access-token-claims", "orders.read", "", "orders-m2m"),
        ("github-actions", "access-token-claims-immutable-sub", "", "", ""),
        ("github-actions", "access-token-claims-pull-request", "", "", ""),
        ("github-actions", "access-token-claims", "", "", ""),
        ("gitlab", "access-token-claims", "", "", ""),
        (
            "keycloak",
            "access-token-claims-user",
            "email openid orders.read profile",
            realm_admin,
            "orders-web",
        ),
        ("keycloak", "access-token-claims", "email orders.read profile", realm, "orders-m2m"),
        ("kubernetes", "access-token-claims", "", "", ""),
        (
            "okta",
            "access-token-claims-user",
            "email openid orders.read profile",
            "Everyone orders-admins",
            "0oa1acmeSPAclient5d7",
        ),
        ("okta", "access-token-claims", "orders.read", "", "0oa1acmeM2Mclient5d7"),
        (
            "ory-hydra",
            "access-token-claims-user",
            "offline openid orders.read",
            "",
            "1a2b3c4d-5e6f-4a0b-8c1d-2e3f4a5b6c7d",
        ),
        ("ory-hydra", "access-token-claims", "orders.read", "", "9f1c2d3e-4b5a-4678-9c0d-1e2f3a4b5c6d"),
        (
            "pingone",
            "access-token-claims-user",
            "openid orders.read",
            "",
            "adeeb901-0000-4000-8000-059bcbcc5958",
        ),
        ("pingone", "access-token-claims", "orders.read", "", "0b412e8b-0000-4000-8000-0d46118de09d"),
        ("supabase", "access-token-claims-oauth-client", "", "", "9a8b7c6d-5e4f-4a3b-8c2d-1e0f9a8b7c6d"),
        ("supabase", "access-token-claims-user", "", "", ""),
        ("zitadel", "access-token-claims-user", "", "orders-admin", "330000000000000003@orders"),
        ("zitadel", "access-token-claims", "", "orders-reader", "orders-service"),
    ];
    let mut judged = BTreeSet::new();
    for (provider, name, scopes, roles, client) in rows {
        let file = format!("{}/{name}.json", provider.trim_end_matches(" v1"));
        assert_eq!(facts(provider, &file), (scopes.into(), roles.into(), client.into()), "{file}");
        judged.insert(file);
    }
    let refused: BTreeSet<String> = refusals().into_iter().map(|(_, file, _)| file.to_owned()).collect();
    assert_eq!(all("access-token-claims"), judged.union(&refused).cloned().collect::<BTreeSet<_>>());
}

/// Access tokens that must be refused under the settings that suit their provider.
fn refusals() -> Vec<(&'static str, &'static str, Rejection)> {
    let mismatch = |provider: &str, found: &str| Rejection::IssuerMismatch {
        expected: desk(provider).rules.issuers[0].as_str().into(),
        found: found.into(),
    };
    let audience = |found: &str| Rejection::AudienceMismatch { found: found.into() };
    vec![
        ("auth0", "auth0/access-token-claims-dpop.json", Rejection::SenderConstrained),
        ("auth0", "auth0/access-token-claims-mtls.json", Rejection::SenderConstrained),
        ("okta", "okta/access-token-claims-dpop.json", Rejection::SenderConstrained),
        ("okta", "okta/access-token-claims-org-server.json", mismatch("okta", "https://acme.okta.com")),
        ("authentik", "authentik/access-token-claims-user.json", audience("ordersWebClientIdExample")),
        ("cognito", "cognito/access-token-claims-resource-bound.json", audience("https://api.acme.example")),
        ("keycloak", "keycloak/access-token-claims-aud-account.json", audience("account")),
        ("keycloak", "keycloak/access-token-claims-lightweight.json", missing("aud")),
        (
            "supabase",
            "supabase/access-token-claims-legacy-service-role.json",
            mismatch("supabase", "supabase"),
        ),
        (
            "entra",
            "entra/access-token-claims-v1.json",
            mismatch("entra", desk("entra v1").rules.issuers[0].as_str()),
        ),
    ]
}

#[test]
fn access_tokens_for_others_or_bound_to_a_key_are_refused() {
    for (provider, file, expected) in refusals() {
        assert_eq!(judge(provider, file).unwrap_err(), expected, "{file}");
    }
}

#[test]
fn a_cognito_token_that_is_bound_to_a_resource_is_taken_with_its_audience() {
    let mut desk = desk("cognito");
    desk.rules.audiences = vec![Audience::parse("https://api.acme.example").unwrap()];
    let claims = fixture("cognito/access-token-claims-resource-bound.json");
    assert_eq!(resigned(&desk, &claims).unwrap().scopes().to_string(), "https://api.acme.example/read");
    let without = fixture("cognito/access-token-claims.json");
    assert_eq!(resigned(&desk, &without).unwrap_err(), missing("aud"));
}

#[test]
fn invariant_3_no_providers_id_token_passes_as_an_access_token_even_for_our_audience() {
    let files = all("id-token-claims");
    assert_eq!(files.len(), 5);
    for file in files {
        // Google's service accounts have nothing but these: only the settings can tell what they are.
        if file == "google/id-token-claims-service-account.json" {
            continue;
        }
        let (mut desk, claims) = (desk(file.split('/').next().unwrap()), fixture(&file));
        desk.rules.token_use = TokenUse::Access;
        assert_eq!(resigned(&desk, &claims).unwrap_err(), Rejection::IdToken, "{file}");
        desk.rules.audiences = vec![Audience::parse(claims["aud"].as_str().unwrap()).unwrap()];
        assert_eq!(resigned(&desk, &claims).unwrap_err(), Rejection::IdToken, "{file}");
    }
}

#[test]
fn googles_service_accounts_are_taken_by_their_id_tokens() {
    let (scopes, _, client) = facts("google", "google/id-token-claims-service-account.json");
    assert_eq!((scopes.as_str(), client.as_str()), ("", "112233445566778899001"));
    let found = "123456789012-acmeexampleclient0000000000000.apps.googleusercontent.com".into();
    let user = judge("google", "google/id-token-claims-user.json").unwrap_err();
    assert_eq!(user, Rejection::AudienceMismatch { found });
}

#[test]
fn a_logout_token_is_no_access_token_even_for_our_audience() {
    let mut desk = desk("auth0");
    desk.rules.audiences = vec![Audience::parse("N4uDoGwxe5C4e1zihgvCeV7yLnU6L0F6").unwrap()];
    let refused = resigned(&desk, &fixture("auth0/logout-token-claims.json")).unwrap_err();
    assert_eq!(refused, Rejection::TypeNotAllowed { found: "secevent+jwt".into() });
}

fn introspected(provider: &str, file: &str) -> Result<Principal, Rejection> {
    let mut desk = desk(provider);
    desk.rules.client_claims.push(ClaimPath::parse("client_id").unwrap());
    let now = Timestamp::from_seconds(ISSUED + 100);
    let answer = Introspected {
        claims: fixture(file).as_object().unwrap().clone(),
        issuer: desk.rules.issuers[0].clone(),
        required: RequiredMembers::ALL,
        cache_until: now,
    };
    desk.rules.judge_introspected(&answer, now)
}

#[test]
fn every_introspection_answer_is_judged() {
    let mismatch = Rejection::IssuerMismatch {
        expected: desk("okta").rules.issuers[0].as_str().into(),
        found: "https://acme.okta.com".into(),
    };
    let mut judged = BTreeSet::new();
    for file in all("introspection-inactive") {
        let provider = file.split('/').next().unwrap();
        assert_eq!(introspected(provider, &file).unwrap_err(), Rejection::Inactive, "{file}");
        judged.insert(file);
    }
    for (file, scopes) in [
        ("authentik/introspection-active.json", Ok("openid profile")),
        ("generic/introspection-active.json", Ok("orders.read")),
        ("keycloak/introspection-active.json", Ok("email orders.read profile")),
        ("okta/introspection-active-m2m.json", Ok("orders.read")),
        ("okta/introspection-active-org-server.json", Err(mismatch)),
        ("okta/introspection-active-refresh-token.json", Err(missing("iss"))),
        ("okta/introspection-active.json", Ok("openid orders.read profile")),
        ("ory-hydra/introspection-active.json", Ok("orders.read")),
        ("pingone/introspection-active.json", Ok("orders.read")),
        (
            "zitadel/introspection-active.json",
            Ok("openid profile urn:zitadel:iam:org:project:id:310000000000000001:aud"),
        ),
    ] {
        let found = introspected(file.split('/').next().unwrap(), file);
        assert_eq!(
            found.map(|principal| principal.scopes().to_string()),
            scopes.map(str::to_owned),
            "{file}"
        );
        judged.insert(file.to_owned());
    }
    assert_eq!(judged, all("introspection"));
}

#[test]
fn every_header_of_every_provider_fits_or_says_why_not() {
    for file in all("jose-header") {
        let desk = Desk::new();
        let mut header = fixture(&file);
        header["kid"] = "rsa".into();
        let found = desk.verify(&desk.rsa.token_with(&header, &crate::desk::good_claims()));
        if file == "okta/jose-header-org-server.json" {
            let found_type = "application/okta-internal-at+jwt".into();
            assert_eq!(found.unwrap_err(), Rejection::TypeNotAllowed { found: found_type });
        } else {
            assert!(found.is_ok(), "{file}: {found:?}");
        }
    }
}
