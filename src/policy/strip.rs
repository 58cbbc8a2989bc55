//! What an upstream gets whose route takes a prefix off the path is decided again.
//!
//! The whole path has been decided on; the upstream sees the rest of it. Two things may make of the rest what nobody has
//! decided on, and each must be permitted too:
//!
//! - Read in another way, the rest of an irregular path may be another path: a first segment that is empty makes the second
//!   one an authority to some. Every reading of the rest is decided with the prefix before it.
//! - The rest may be the name by which the same upstream is asked for through another route, one that strips nothing:
//!   `/public/admin` without `/public`, where `/admin` is guarded. That route's rule counts as well.

use super::{Policy, Route, Target, TargetError, interpretations::interpretations};

impl Policy {
    /// What must be permitted besides `target` itself, if `route` strips a prefix off it: other names of what the upstream
    /// may take the rest for.
    pub(super) fn names_of_rest(&self, target: &Target, route: &Route) -> Result<Vec<Target>, TargetError> {
        let Some(prefix) = &route.options.strip_prefix else { return Ok(Vec::new()) };
        let rest = target.without_prefix(prefix)?;
        let mut rests = if rest.irregularities().is_empty() { Vec::new() } else { interpretations(&rest)? };
        let whole = |rest: &Target| target.at_path(format!("{prefix}{}", rest.normal_path()));
        let mut names = rests.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
        rests.push(rest);
        names.extend(rests.into_iter().filter(|rest| self.names_the_same(rest, route)));
        Ok(names)
    }

    /// Whether `rest` is how the upstream of `route` is asked for by itself.
    fn names_the_same(&self, rest: &Target, route: &Route) -> bool {
        let same = |other: &Route| {
            other.options.upstream == route.options.upstream && other.options.strip_prefix.is_none()
        };
        self.of_host_path(rest).any(same)
    }
}
