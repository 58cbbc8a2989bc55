//! Addresses of listeners, and the callers that they accept.

use std::path::Path;

use super::{Conflict, Findings, at};
use crate::{
    config::sections::settings::SectionSettings,
    server::Listen,
    yaml::{Origin, Step},
};

pub(super) fn check(sections: &SectionSettings, findings: &mut Findings<'_>) {
    same_address(sections, findings);
    // The built-in configuration has secrets that everyone knows.
    if *findings.tree.location.origin() == Origin::BuiltIn {
        for (keys, listen) in listeners(sections).into_iter().filter(|(_, listen)| !listen.is_loopback()) {
            findings.error(&at(keys), Conflict::DevelopmentBeyondLoopback { listen: listen.to_string() });
        }
    }
    forward_auth(sections, findings);
    if let Some(introspection) = &sections.introspection
        && introspection.require.is_none()
        && introspection.clients.is_empty()
    {
        findings.error(&at(&["introspection"]), Conflict::NobodyIntrospects);
    }
    if let Some(tls) = &sections.server.tls {
        pem(&tls.certificate, "CERTIFICATE-----", &at(&["server", "tls", "certificate"]), findings);
        pem(&tls.key, "PRIVATE KEY-----", &at(&["server", "tls", "key"]), findings);
    }
}

/// A challenge names the protected resource's metadata at a host that is known: `public_url`, the host that a trusted
/// proxy says, or the address that is listened on.
pub(super) fn metadata_host(sections: &SectionSettings, findings: &mut Findings<'_>) {
    let server = &sections.server;
    let is_any = matches!(&server.listen, Listen::Tcp(address) if address.ip().is_unspecified());
    if is_any && server.public_url.is_none() && server.trusted_proxies.is_empty() {
        findings.warning(
            &at(&["server", "listen"]),
            "no host is known by which callers reach this, so challenges cannot name the metadata of the protected \
             resource (RFC 9728); set `server.public_url`, or `server.trusted_proxies` for proxies that send \
             X-Forwarded-Host",
        );
    }
}

/// The listeners, each with the keys that say where it is.
fn listeners(sections: &SectionSettings) -> Vec<(&'static [&'static str], &Listen)> {
    let admin = sections.admin.as_ref().and_then(|admin| admin.listen.as_ref());
    let all: [(&'static [&'static str], Option<&Listen>); 4] = [
        (&["server", "listen"], Some(&sections.server.listen)),
        (&["operations", "listen"], Some(&sections.operations.listen)),
        (&["admin", "listen"], admin),
        (&["forward_auth", "grpc_listen"], sections.forward_auth.grpc_listen.as_ref()),
    ];
    all.into_iter().filter_map(|(keys, listen)| Some((keys, listen?))).collect()
}

fn same_address(sections: &SectionSettings, findings: &mut Findings<'_>) {
    let listeners = listeners(sections);
    for (index, (keys, listen)) in listeners.iter().enumerate() {
        let mut earlier = listeners.iter().take(index);
        if let Some((other, _)) = earlier.find(|(_, other)| listen.collides_with(other)) {
            let conflict = Conflict::SameListener { listen: listen.to_string(), other: other.join(".") };
            findings.error(&at(keys), conflict);
        }
    }
}

fn forward_auth(sections: &SectionSettings, findings: &mut Findings<'_>) {
    let settings = &sections.forward_auth;
    let by_socket = matches!(sections.server.listen, Listen::Unix(_));
    if !settings.dialects.is_empty() && sections.server.trusted_proxies.is_empty() && !by_socket {
        findings.error(&at(&["forward_auth", "dialects"]), Conflict::NobodyTrusted);
    }
    grpc(sections, findings);
}

fn grpc(sections: &SectionSettings, findings: &mut Findings<'_>) {
    let settings = &sections.forward_auth;
    let Some(listen) = &settings.grpc_listen else {
        if settings.grpc_tls.is_some() {
            findings.error(&at(&["forward_auth", "grpc_tls"]), Conflict::GrpcTlsWithoutListener);
        }
        return;
    };
    let client_ca = settings.grpc_tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
    let trusted = !sections.server.trusted_proxies.is_empty() || matches!(listen, Listen::Unix(_));
    if !trusted && client_ca.is_none() {
        findings.error(&at(&["forward_auth", "grpc_listen"]), Conflict::NobodyTrusted);
    }
    if let Some(tls) = &settings.grpc_tls {
        pem(
            &tls.certificate,
            "CERTIFICATE-----",
            &at(&["forward_auth", "grpc_tls", "certificate"]),
            findings,
        );
        pem(&tls.key, "PRIVATE KEY-----", &at(&["forward_auth", "grpc_tls", "key"]), findings);
    }
    if let Some(client_ca) = client_ca {
        pem(client_ca, "CERTIFICATE-----", &at(&["forward_auth", "grpc_tls", "client_ca"]), findings);
    }
}

pub(super) fn pem(path: &Path, marker: &str, key: &[Step], findings: &mut Findings<'_>) {
    let detail = match std::fs::read_to_string(path) {
        Ok(text) if text.contains(marker) => return,
        Ok(_) => format!("expected PEM with a line `-----BEGIN … {marker}`, found none"),
        Err(error) => error.to_string(),
    };
    findings.error(key, Conflict::File { path: path.display().to_string(), detail });
}
