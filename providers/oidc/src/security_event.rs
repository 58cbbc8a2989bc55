//! Security event tokens (RFC 8417) as the Shared Signals Framework 1.0 profiles them, with the events of CAEP 1.0 and RISC.

use scopegate_provider::{
    Audience, Excerpt, Issuer, NoEffect, Rejection, SessionId, Signal, SignalEffect, SignalTarget,
    StreamStatus, Subject, Timestamp, TokenId, Withdrawal,
};
use serde_json::Value;

use crate::{
    claims::{self, ClaimMap},
    jwt::Jwt,
    logout_token::{check_issuer, end_of_second, missing, required_date},
    rules::{TokenRules, TokenType},
    settings::{EventEffect, SharedSignals},
    verify::{Admitted, Signed},
};

/// The prefixes of event types whose last part names them in the settings.
const BASES: [&str; 4] = [
    "https://schemas.openid.net/secevent/caep/event-type/",
    "https://schemas.openid.net/secevent/risc/event-type/",
    "https://schemas.openid.net/secevent/ssf/event-type/",
    "https://schemas.openid.net/secevent/oauth/event-type/",
];

/// The members of a complex subject.
const COMPLEX_MEMBERS: [&str; 7] =
    ["user", "device", "session", "application", "tenant", "org_unit", "group"];

/// The members of a complex subject by which tokens are matched.
const MATCHED_MEMBERS: [&str; 2] = ["user", "session"];

/// Numbers above this are milliseconds: as seconds they would lie after the year 5000.
const MOST_SECONDS: f64 = 1e11;

/// The receiver of a stream of security events.
pub(crate) struct Receiver<'a> {
    pub(crate) rules: &'a TokenRules,
    pub(crate) settings: &'a SharedSignals,
    /// The transmitter's issuer.
    pub(crate) issuer: &'a Issuer,
    /// The members of subjects that must be understood.
    pub(crate) critical: &'a [Box<str>],
    /// `true` if tokens are known to name their session.
    pub(crate) tokens_name_session: bool,
}

/// The tokens that a subject stands for.
type Targets = Result<Vec<SignalTarget>, NoEffect>;

impl Receiver<'_> {
    /// Checks header and `iss`. `typ` must be `secevent+jwt`, so that no other token of the transmitter passes.
    pub(crate) fn admit(&self, jwt: Jwt) -> Result<Admitted, Rejection> {
        let found = jwt.unverified_issuer()?;
        if found != self.issuer.as_str() {
            let expected = self.issuer.as_str().into();
            return Err(Rejection::IssuerMismatch { expected, found: Excerpt::new(found) });
        }
        self.rules.admit_typed(jwt, &[TokenType::parse("secevent+jwt")], self.issuer.clone())
    }

    /// Checks the claims and returns the effect.
    pub(crate) fn validate(&self, signed: &Signed, now: Timestamp) -> Result<Signal, Rejection> {
        let map = signed.claims();
        check_issuer(map, self.issuer)?;
        check_audience(map, &self.settings.audience.0)?;
        if map.contains_key("exp") || map.contains_key("sub") {
            let detail = "expected a security event, which has neither `exp` nor `sub`";
            return Err(Rejection::Malformed { detail });
        }
        let issued_at = required_date(map, "iat")?;
        if issued_at > now + self.rules.leeway {
            return Err(Rejection::IssuedInFuture { issued_at, now });
        }
        let id = claims::name(map, "jti", TokenId::parse)?.ok_or_else(|| missing("jti"))?;
        let expected = "an object of objects, one for each event";
        let wrong = || Rejection::WrongType { claim: "events".into(), expected };
        let events = map.get("events").and_then(Value::as_object).ok_or_else(wrong)?;
        let mut signal: Option<Signal> = None;
        for (event, members) in events {
            let members = members.as_object().ok_or_else(wrong)?;
            let effect = self.effect(map, event, members, issued_at)?;
            let next = Signal {
                id: id.as_str().into(),
                issued_at,
                expires_at: None,
                event: event.as_str().into(),
                effect,
                doubt: None,
            };
            // Several events of one token are synonyms: the first with an effect counts.
            if signal.as_ref().is_none_or(|known| matches!(known.effect, SignalEffect::Nothing(_))) {
                signal = Some(next);
            }
        }
        signal.ok_or_else(wrong)
    }

    fn effect(
        &self,
        claims: &ClaimMap,
        event: &str,
        members: &ClaimMap,
        issued_at: Timestamp,
    ) -> Result<SignalEffect, Rejection> {
        let name = BASES.into_iter().find_map(|base| event.strip_prefix(base));
        let subject = subject(claims, members)?;
        match name {
            Some("verification") => {
                let state = claims::text(members, "state")?.map(Box::from);
                return Ok(SignalEffect::Verification { state });
            }
            Some("stream-updated") => return Ok(SignalEffect::StreamUpdated(status(members)?)),
            _ => {}
        }
        let configured = self.settings.events.get(name.unwrap_or(event)).copied();
        let effect = match configured.map_or_else(|| default_effect(name, members), Ok) {
            Ok(EventEffect::Audit) => return Ok(SignalEffect::Nothing(NoEffect::AuditOnly)),
            Ok(effect) => effect,
            Err(reason) => return Ok(SignalEffect::Nothing(reason)),
        };
        let Some(subject) = subject else { return Err(missing("sub_id")) };
        let issued_before = match effect {
            EventEffect::Block => None,
            EventEffect::Revoke | EventEffect::Audit => Some(self.moment(members, issued_at)?),
        };
        let mut targets = self.targets(subject)?;
        if name == Some("session-revoked")
            && let Ok(targets) = &mut targets
            && let Some(session) = Self::session_subject(subject)?
        {
            targets.push(session);
        }
        Ok(match targets {
            Ok(targets) => SignalEffect::Withdraw(
                targets.into_iter().map(|target| Withdrawal { target, issued_before }).collect(),
            ),
            Err(reason) => SignalEffect::Nothing(reason),
        })
    }

    /// Returns the moment before which tokens are withdrawn: that of the event, else of the token. A transmitter that
    /// counts milliseconds is understood, and no moment lies after the token's (T6.3).
    fn moment(&self, members: &ClaimMap, issued_at: Timestamp) -> Result<Timestamp, Rejection> {
        let Some(value) = members.get("event_timestamp") else { return Ok(end_of_second(issued_at)) };
        let number = value.as_f64().filter(|number| *number >= 0.0);
        let number = number.ok_or_else(|| Rejection::WrongType {
            claim: "event_timestamp".into(),
            expected: "a number of seconds since 1970",
        })?;
        let millis = if number > MOST_SECONDS { number } else { number * 1000.0 };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a number that does not fit is taken as the last moment"
        )]
        let moment = Timestamp::from_millis(millis as i64);
        Ok(end_of_second(moment.min(issued_at + self.rules.leeway)))
    }

    /// Returns the tokens that a subject stands for.
    fn targets(&self, subject: &ClaimMap) -> Result<Targets, Rejection> {
        let format = format(subject)?;
        if format == "complex" {
            return self.complex(subject);
        }
        self.simple(&format, subject)
    }

    /// Returns the tokens of a complex subject. Its members describe one principal together. One that no token can be
    /// matched by widens the set.
    fn complex(&self, subject: &ClaimMap) -> Result<Targets, Rejection> {
        let unmatched = self.critical.iter().filter(|member| !MATCHED_MEMBERS.contains(&&***member));
        if unmatched.into_iter().any(|member| subject.contains_key(&**member)) {
            return Ok(Err(NoEffect::CriticalMember));
        }
        let session = subject.get("session").map(Self::session).transpose()?.flatten();
        let user = subject.get("user").map(|user| self.user(user)).transpose()?;
        Ok(match (session, user) {
            (Some(session), Some(Ok(mut targets))) => {
                // Tokens that do not name their session cannot be matched by it.
                if self.tokens_name_session {
                    targets.clear();
                }
                targets.push(session);
                Ok(targets)
            }
            (Some(session), _) => Ok(vec![session]),
            (None, Some(targets)) => targets,
            (None, None) => Err(NoEffect::UnsupportedSubject),
        })
    }

    /// Returns the session that an opaque subject names. Where a session is revoked and the subject as a whole is opaque, its
    /// id may be that of a session or of a user, and the wider set of tokens is withdrawn.
    fn session_subject(subject: &ClaimMap) -> Result<Option<SignalTarget>, Rejection> {
        if format(subject)? != "opaque" {
            return Ok(None);
        }
        let session = claims::name(subject, "id", SessionId::parse)?.ok_or_else(wrong_subject)?;
        Ok(Some(SignalTarget::Session(session)))
    }

    fn user(&self, user: &Value) -> Result<Targets, Rejection> {
        let user = user.as_object().ok_or_else(wrong_subject)?;
        self.simple(&format(user)?, user)
    }

    fn session(session: &Value) -> Result<Option<SignalTarget>, Rejection> {
        Self::session_subject(session.as_object().ok_or_else(wrong_subject)?)
    }

    /// Returns the tokens of a simple subject (RFC 9493).
    fn simple(&self, format: &str, subject: &ClaimMap) -> Result<Targets, Rejection> {
        let foreign = |issuer: &str| !self.speaks_for(issuer);
        Ok(match format {
            "iss_sub" | "id_token_claims" => {
                if foreign(required(subject, "iss")?) {
                    return Ok(Err(NoEffect::ForeignSubject));
                }
                let name = claims::name(subject, "sub", Subject::parse)?.ok_or_else(wrong_subject)?;
                Ok(vec![SignalTarget::Subject(name)])
            }
            "opaque" => {
                let name = claims::name(subject, "id", Subject::parse)?.ok_or_else(wrong_subject)?;
                Ok(vec![SignalTarget::Subject(name)])
            }
            "jwt_id" => {
                if foreign(required(subject, "iss")?) {
                    return Ok(Err(NoEffect::ForeignSubject));
                }
                let id = claims::name(subject, "jti", TokenId::parse)?.ok_or_else(wrong_subject)?;
                Ok(vec![SignalTarget::TokenId(id)])
            }
            "email" => {
                let address = required(subject, "email")?.to_lowercase();
                if !self.settings.email {
                    return Ok(Err(NoEffect::EmailNotEnabled));
                }
                let name = Subject::parse(&address).map_err(|_| wrong_subject())?;
                Ok(vec![SignalTarget::Subject(name)])
            }
            "aliases" => return self.aliases(subject),
            _ => Err(NoEffect::UnsupportedSubject),
        })
    }

    /// Returns the tokens of all names of a subject that can be matched.
    fn aliases(&self, subject: &ClaimMap) -> Result<Targets, Rejection> {
        let names = subject.get("identifiers").and_then(Value::as_array).ok_or_else(wrong_subject)?;
        let mut found = Vec::new();
        let mut reason = NoEffect::UnsupportedSubject;
        for name in names {
            let name = name.as_object().ok_or_else(wrong_subject)?;
            let format = format(name)?;
            if format == "aliases" {
                return Err(wrong_subject());
            }
            match self.simple(&format, name)? {
                Ok(targets) => found.extend(targets),
                Err(other) => reason = other,
            }
        }
        Ok(if found.is_empty() { Err(reason) } else { Ok(found) })
    }

    /// Returns `true` if the transmitter speaks for subjects of an issuer: its own, or one of the provider's. Google
    /// writes its issuer with a final slash in events and without one in tokens.
    fn speaks_for(&self, issuer: &str) -> bool {
        let own = self.issuer.as_str().trim_end_matches('/') == issuer.trim_end_matches('/');
        own || self.rules.expected_issuer(issuer).is_ok()
    }
}

/// Returns the effect of an event that the settings do not name.
fn default_effect(name: Option<&str>, members: &ClaimMap) -> Result<EventEffect, NoEffect> {
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default();
    let revokes_if =
        |condition: bool| if condition { Ok(EventEffect::Revoke) } else { Err(NoEffect::Harmless) };
    match name {
        Some(
            "session-revoked"
            | "sessions-revoked"
            | "token-claims-change"
            | "account-disabled"
            | "account-purged"
            | "account-credential-change-required"
            | "credential-compromise"
            | "identifier-recycled"
            | "tokens-revoked",
        ) => Ok(EventEffect::Revoke),
        Some("credential-change") => revokes_if(match text("change_type") {
            "revoke" | "delete" => true,
            "update" => text("credential_type") == "password",
            _ => false,
        }),
        Some("assurance-level-change") => revokes_if(text("change_direction") == "decrease"),
        Some("device-compliance-change") => revokes_if(text("current_status") == "not-compliant"),
        Some(
            "session-established"
            | "session-presented"
            | "risk-level-change"
            | "account-enabled"
            | "identifier-changed"
            | "recovery-activated"
            | "recovery-information-changed"
            | "opt-in"
            | "opt-out-initiated"
            | "opt-out-cancelled"
            | "opt-out-effective",
        ) => Ok(EventEffect::Audit),
        _ => Err(NoEffect::UnknownEvent),
    }
}

/// Returns the subject: `sub_id` of the token, or `subject` of the event, as Okta and Google write it. Both together must
/// be equal (T6.6).
fn subject<'a>(claims: &'a ClaimMap, members: &'a ClaimMap) -> Result<Option<&'a ClaimMap>, Rejection> {
    match (claims.get("sub_id"), members.get("subject")) {
        (Some(one), Some(other)) if one != other => {
            Err(Rejection::Malformed { detail: "expected one subject, found two that differ" })
        }
        (Some(one), _) | (None, Some(one)) => one.as_object().map(Some).ok_or_else(wrong_subject),
        (None, None) => Ok(None),
    }
}

/// Returns the format of a subject, in the words of RFC 9493. Google writes `subject_type` and hyphens; Okta leaves
/// `complex` out.
fn format(subject: &ClaimMap) -> Result<String, Rejection> {
    let format = match claims::text(subject, "format")? {
        Some(format) => Some(format),
        None => claims::text(subject, "subject_type")?,
    };
    match format {
        Some(format) if format == "iss-sub" || format == "id-token-claims" => Ok(format.replace('-', "_")),
        Some(format) => Ok(format.to_owned()),
        None if COMPLEX_MEMBERS.iter().any(|member| subject.contains_key(*member)) => {
            Ok("complex".to_owned())
        }
        None => Err(wrong_subject()),
    }
}

fn status(members: &ClaimMap) -> Result<StreamStatus, Rejection> {
    match required(members, "status")? {
        "enabled" => Ok(StreamStatus::Enabled),
        "paused" => Ok(StreamStatus::Paused),
        "disabled" => Ok(StreamStatus::Disabled),
        _ => Err(Rejection::WrongType { claim: "status".into(), expected: "enabled, paused or disabled" }),
    }
}

fn required<'a>(members: &'a ClaimMap, name: &'static str) -> Result<&'a str, Rejection> {
    claims::text(members, name)?.ok_or_else(|| missing(name))
}

fn check_audience(map: &ClaimMap, expected: &[Audience]) -> Result<(), Rejection> {
    let audience = claims::audience(map, expected)?;
    if audience.iter().any(|name| expected.contains(name)) {
        return Ok(());
    }
    let found = Excerpt::new(audience.first().map_or("", |name| name.as_str()));
    let expected = expected.iter().map(Audience::as_str).collect::<Vec<_>>().join(", ").into();
    Err(Rejection::AudienceMismatch { found, expected, advice: "" })
}

fn wrong_subject() -> Rejection {
    Rejection::WrongType { claim: "sub_id".into(), expected: "a subject identifier as in RFC 9493" }
}

#[cfg(test)]
mod tests;
