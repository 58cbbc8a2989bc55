//! The outcome of a decision.

/// The outcome of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecisionOutcome {
    /// The request was permitted.
    Permitted,
    /// The request was denied.
    Denied,
    /// The gate could not decide.
    Outage,
}

impl DecisionOutcome {
    /// Returns the name of the outcome in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Denied => "denied",
            Self::Outage => "outage",
        }
    }
}
