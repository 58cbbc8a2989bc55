//! The exact difference of two policies: which requests of which callers one of them permits and the other denies.
//!
//! A decision can only change where a changed route decides in one of the two policies. Each changed pattern is
//! intersected with the patterns of the other policy. In an intersection, the requests of one length are decided by the
//! same routes unless a more specific pattern matches some of them, and those are another intersection. One request with
//! names that no policy has represents them all, so that every pair of deciding routes is found, and no other. The rules
//! of each pair are compared on the smallest callers of each alternative (`caller`).
//!
//! Every entry has an example, and both policies have decided it.

mod accepted;
mod caller;
mod general;
mod generic;
mod regions;
mod report;
#[cfg(test)]
mod tests;

use scopegate_provider::ProviderName;

pub use self::general::GeneralSettings;
pub use self::report::{
    Change, Difference, Differences, ExampleCaller, ExampleRequest, SettingChange, Verdict,
};
use self::{
    caller::{Caller, NOW, principal},
    regions::Comparison,
};
use super::{CallerAt, Decision, Policy, Refused, Resolved, Target, TokenUse};

/// Compares two policies. Without `providers`, of which callers may have tokens, these may be of any provider.
pub fn compare(old: &Policy, new: &Policy, providers: &[ProviderName]) -> Differences {
    Comparison::new(old, new, providers).run()
}

/// Compares two policies as [`compare`] does, with the settings for all routes beside them.
pub fn compare_with(
    (old, old_general): (&Policy, &GeneralSettings),
    (new, new_general): (&Policy, &GeneralSettings),
    providers: &[ProviderName],
) -> Differences {
    let old = old.completed_by(old_general);
    let new = new.completed_by(new_general);
    let mut differences = compare(&old, &new, providers);
    differences.unite_general_changes();
    differences.settings = old_general.changes_to(new_general);
    differences
}

/// The routes by which one policy decides a request.
#[derive(Debug, Clone)]
enum Side<'p> {
    Decides(Resolved<'p>),
    Refuses(Refused<'p>),
}

impl<'p> Side<'p> {
    fn of(policy: &'p Policy, target: &Target) -> Self {
        match policy.resolve(target) {
            Ok(resolved) => Self::Decides(resolved),
            Err(refused) => Self::Refuses(refused),
        }
    }

    fn permits(&self, caller: &Caller) -> bool {
        let Self::Decides(resolved) = self else { return false };
        match caller {
            Caller::Invalid if resolved.token_use() != TokenUse::Ignored => false,
            _ => matches!(self.decide(caller), Decision::Permit { .. }),
        }
    }

    fn decide(&self, caller: &Caller) -> Decision<'p> {
        let principal = principal(caller);
        match self {
            Self::Decides(resolved) => {
                resolved.decide(principal.as_ref().map(|principal| CallerAt::new(principal, NOW)))
            }
            Self::Refuses(refused) => Decision::Deny(refused.clone()),
        }
    }
}
