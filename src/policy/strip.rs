//! The second decision about the rest of a path whose route strips a prefix.
//!
//! The whole path has been decided on; the upstream sees the rest of it. Two things may turn the rest into a path that was
//! not decided on, and each must be permitted too:
//!
//! - Interpreted in another way, the rest of an irregular path may be another path: after an empty first segment some take
//!   the second one for an authority. Every interpretation of the rest is decided with the prefix before it.
//! - The rest may be the name by which the same upstream is asked through another route, one that strips nothing:
//!   `/public/admin` without `/public`, where `/admin` is guarded. That route's rule counts as well.

use super::{Policy, Route, Target, TargetError, interpretations::interpretations};

impl Policy {
    /// Returns the targets that must be permitted besides `target`, if `route` strips a prefix off it: other names of what
    /// the upstream may take the rest for.
    pub(super) fn names_of_rest(&self, target: &Target, route: &Route) -> Result<Vec<Target>, TargetError> {
        let Some(prefix) = &route.options.strip_prefix else { return Ok(Vec::new()) };
        let rest = target.without_prefix(prefix)?;
        let mut rests = if rest.irregularities().is_empty() { Vec::new() } else { interpretations(&rest)? };
        let mut names = Vec::with_capacity(2 * rests.len() + 1);
        for rest in &rests {
            names.push(target.at_path(format!("{prefix}{}", rest.normal_path()))?);
        }
        rests.push(rest);
        names.extend(rests.into_iter().filter(|rest| self.names_same_upstream(rest, route)));
        Ok(names)
    }

    /// Returns `true` if the upstream of `route` is asked for `rest` by a route that strips nothing.
    fn names_same_upstream(&self, rest: &Target, route: &Route) -> bool {
        let is_same = self.of_host_path(rest).any(|other| {
            other.options.upstream == route.options.upstream && other.options.strip_prefix.is_none()
        });
        is_same
            || self.folded().is_some_and(|folded| {
                rest.folded().is_ok_and(|rest| folded.names_same_upstream(&rest, route))
            })
    }
}
