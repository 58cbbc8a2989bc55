//! Identity headers and the settings of minted tokens.

use std::time::Duration;

use scopegate_oidc::{Signer, SignerError};
use scopegate_provider::Secret;

use super::{Conflict, Findings, Sections, at};
use crate::{
    config::sections::settings::SectionSettings,
    gate::{IdentityHeaders, mint::MintSettings},
    policy::settings::{Forward, IdentitySettings},
    yaml::Step,
};

const HOUR: Duration = Duration::from_hours(1);

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    let general = sections.settings.identity.general();
    one(&general, &at(&["identity"]), findings);
    let mut mints = general.forward == Some(Forward::Mint);
    for (index, route) in &sections.routes {
        if let Some(identity) = &route.identity {
            let path = [Step::Key("routes".into()), Step::Index(*index), Step::Key("identity".into())];
            one(identity, &path, findings);
            mints |= identity.forward == Some(Forward::Mint);
        }
    }
    terms(&sections.settings.identity.mint, findings);
    if mints {
        sharing(&sections.settings, findings);
    }
}

fn one(identity: &IdentitySettings, path: &[Step], findings: &mut Findings<'_>) {
    if let Err(error) = IdentityHeaders::compile(&identity.headers) {
        findings.error(&[path, &[Step::Key("headers".into())]].concat(), Conflict::Identity(error));
    }
}

/// The path of a key of `identity.mint`.
fn mint_key(key: &str) -> Vec<Step> {
    at(&["identity", "mint", key])
}

fn signer_error(key: &Secret) -> Option<SignerError> {
    Signer::es256_from_pem(key).err()
}

fn terms(mint: &MintSettings, findings: &mut Findings<'_>) {
    let lifetime = mint.lifetime.get();
    if lifetime < Duration::from_secs(1) || lifetime > HOUR {
        findings.error(&mint_key("lifetime"), Conflict::MintLifetime { found: mint.lifetime.to_string() });
    }
    if mint.rotation.get() < HOUR {
        findings.error(&mint_key("rotation"), Conflict::MintRotation { found: mint.rotation.to_string() });
    }
    if mint.seal.as_ref().is_some_and(|seal| seal.reveal().len() < 32) {
        findings.error(&mint_key("seal"), Conflict::MintSeal);
    }
    if let Some(error) = mint.key.as_ref().and_then(signer_error) {
        findings.error(&mint_key("key"), Conflict::MintKey(error));
    }
    for (index, key) in mint.further_keys.iter().enumerate() {
        if let Some(error) = signer_error(key) {
            let path = [mint_key("further_keys"), vec![Step::Index(index)]].concat();
            findings.error(&path, Conflict::MintKey(error));
        }
    }
}

/// Warns of settings with which services cannot rely on one issuer.
fn sharing(sections: &SectionSettings, findings: &mut Findings<'_>) {
    if sections.identity.mint.key.is_none() && sections.store.is_none() {
        let message = "minted tokens are signed with a key of this process alone, another one after each start; \
                       configure `store`, or give a `key` here";
        findings.warning(&at(&["identity", "mint"]), message);
    }
    if sections.server.public_url.is_none() {
        let message =
            "minted tokens name the address of the listener as their issuer; write `server.public_url`";
        findings.warning(&at(&["server", "public_url"]), message);
    }
}
