//! Issuers that differ in a tenant's id alone.

use scopegate_provider::{Issuer, NameError};

/// The tenant's place in the metadata and keys that all tenants share.
pub(crate) const TENANT: &str = "{tenantid}";

/// A pattern of issuers, one for each tenant, such as `https://login.microsoftonline.com/{tenantid}/v2.0`. A tenant's id is
/// a GUID in lower case.
///
/// ```
/// use scopegate_oidc::IssuerPattern;
///
/// let pattern = IssuerPattern::parse("https://login.example/{tenantid}/v2.0").unwrap();
/// let tenant = "3f0c1a52-7e7b-4f1e-9a55-0d2b6c8e1f90";
/// assert_eq!(pattern.tenant_of(&format!("https://login.example/{tenant}/v2.0")), Some(tenant));
/// assert_eq!(pattern.tenant_of("https://login.example/evil/3f0c1a52/v2.0"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerPattern {
    text: Box<str>,
    /// The length of the text before the tenant.
    before: usize,
}

impl IssuerPattern {
    /// Parses a text with `{tenantid}` in it, or returns nothing.
    pub fn parse(text: &str) -> Option<Self> {
        text.find(TENANT).map(|before| Self { text: text.into(), before })
    }

    /// Returns the tenant of an issuer that fits the pattern.
    pub fn tenant_of<'a>(&self, issuer: &'a str) -> Option<&'a str> {
        let prefix = self.text.get(..self.before)?;
        let suffix = self.text.get(self.before + TENANT.len()..)?;
        let tenant = issuer.strip_prefix(prefix)?.strip_suffix(suffix)?;
        is_guid(tenant).then_some(tenant)
    }

    /// Returns the pattern as the issuer that shared metadata name.
    pub(crate) fn as_issuer(&self) -> Result<Issuer, NameError> {
        Issuer::parse(&self.text)
    }
}

/// Returns `true` for a GUID in lower case, as issuers write it.
pub fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths = groups.iter().map(|group| group.len());
    lengths.eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Returns `true` if a key with this `issuer` member (of Entra ID's key sets) may sign tokens of `tenant`: the member names
/// that tenant, or a template of every tenant's issuer.
pub(crate) fn key_serves_tenant(key_issuer: &str, tenant: &str) -> bool {
    key_issuer.split('/').any(|part| part == tenant || part == TENANT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT_ID: &str = "3f0c1a52-7e7b-4f1e-9a55-0d2b6c8e1f90";

    /// V3: a tenant is a GUID, so that no other path passes as one.
    #[test]
    fn a_tenant_is_a_guid_in_lower_case() {
        let pattern = IssuerPattern::parse("https://sts.example/{tenantid}/").unwrap();
        assert_eq!(pattern.tenant_of(&format!("https://sts.example/{TENANT_ID}/")), Some(TENANT_ID));
        for other in ["", "common", "a/b", &TENANT_ID.to_uppercase(), &format!("{TENANT_ID}/x")] {
            assert_eq!(pattern.tenant_of(&format!("https://sts.example/{other}/")), None, "{other}");
        }
    }

    /// V3: a key of one tenant signs no token of another.
    #[test]
    fn a_key_with_an_issuer_serves_that_tenant_alone() {
        let of = |tenant: &str| format!("https://login.example/{tenant}/v2.0");
        assert!(key_serves_tenant(&of(TENANT_ID), TENANT_ID) && key_serves_tenant(&of(TENANT), TENANT_ID));
        assert!(!key_serves_tenant(&of("9188040d-6c67-4c5b-b112-36a304b66dad"), TENANT_ID));
    }
}
