//! Where is listened, and who may ask there.

use std::path::Path;

use super::{Conflict, Findings, at};
use crate::{config::sections::settings::SectionSettings, server::Listen, yaml::Step};

pub(super) fn check(sections: &SectionSettings, findings: &mut Findings<'_>) {
    same_address(sections, findings);
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

fn same_address(sections: &SectionSettings, findings: &mut Findings<'_>) {
    let admin = sections.admin.as_ref().and_then(|admin| admin.listen.as_ref());
    let listeners = [
        (&["server", "listen"], Some(&sections.server.listen)),
        (&["operations", "listen"], Some(&sections.operations.listen)),
        (&["admin", "listen"], admin),
        (&["forward_auth", "grpc_listen"], sections.forward_auth.grpc_listen.as_ref()),
    ];
    for (index, (keys, listen)) in listeners.iter().enumerate() {
        let earlier = listeners.iter().take(index);
        let Some(listen) = listen else { continue };
        if let Some((other, _)) =
            earlier.clone().find(|(_, other)| other.is_some_and(|other| collide(listen, other)))
        {
            let conflict = Conflict::SameListener { listen: listen.to_string(), other: other.join(".") };
            findings.error(&at(*keys), conflict);
        }
    }
}

/// Whether both cannot be bound: one socket, or one port on one address or on all.
fn collide(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Unix(one), Listen::Unix(other)) => one == other,
        (Listen::Tcp(one), Listen::Tcp(other)) => {
            let same_host = one.ip().to_canonical() == other.ip().to_canonical();
            let all = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() != 0 && one.port() == other.port() && (same_host || all)
        }
        (Listen::Unix(_), Listen::Tcp(_)) | (Listen::Tcp(_), Listen::Unix(_)) => false,
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
        let key = |name| at(&["forward_auth", "grpc_tls", name]);
        pem(&tls.certificate, "CERTIFICATE-----", &key("certificate"), findings);
        pem(&tls.key, "PRIVATE KEY-----", &key("key"), findings);
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
