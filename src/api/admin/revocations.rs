//! `/admin/revocations`: tokens that do not pass any more.

use std::time::Duration;

use poem::{Body, web::Data};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    payload::{Binary, Json},
};
use scopegate_provider::{
    AuthnError, BearerToken, ClientId, Credentials, Freshness, ProviderName, Rejection, SessionId, Subject,
    Timestamp, TokenId,
};

use super::{
    Admin, Rights,
    bodies::{Deleted, List},
    effect::{Change, Effect},
    moment, rfc3339, unprocessable,
};
use crate::{
    api::withdraw,
    gate::Principal,
    problem::Problem,
    reason::Reason,
    store::{Actor, NewRevocation, RecordId, Revocation, RevocationKey, Revocations},
};

/// The endpoints.
#[derive(Clone, Debug)]
pub struct RevocationsApi(pub(super) Admin);

/// The most bytes of an import.
const MOST_BYTES: usize = 64 << 20;

/// The most records of an import.
const MOST_RECORDS: usize = 100_000;

/// A revocation.
#[derive(Object)]
#[oai(rename = "Revocation")]
struct RevocationBody {
    /// Its id.
    id: String,
    /// The provider of the tokens.
    provider: String,
    /// The property that the tokens share: `token_id`, `session`, `subject`, `client`, `actor` or `token_hash`.
    kind: String,
    /// The token id, session, subject, client or actor; or the hash of the token.
    value: String,
    /// Tokens issued before this are denied. Of one token it means nothing.
    #[oai(skip_serializing_if_is_none)]
    issued_before: Option<String>,
    /// The moment at which it ends by itself, as no token that it matches can be valid any more.
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<String>,
    /// `true` if it holds until it is deleted, whenever a token was issued.
    until_lifted: bool,
    /// The number of requests that it has refused, if it holds until it is deleted.
    #[oai(skip_serializing_if_is_none)]
    refused: Option<u64>,
    /// The number of streams that it has cut, if it holds until it is deleted.
    #[oai(skip_serializing_if_is_none)]
    streams_cut: Option<u64>,
    /// The reason.
    #[oai(skip_serializing_if_is_none)]
    reason: Option<String>,
    /// The moment at which it was recorded.
    created_at: String,
}

/// A revocation to record: a token, or a provider and one of `token_id`, `session`, `subject`, `client` and
/// `actor`.
#[derive(Object, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[oai(default, deny_unknown_fields)]
struct NewRevocationBody {
    /// A token. It is verified, and not kept.
    token: Option<String>,
    /// The provider of the tokens.
    provider: Option<String>,
    /// The token of this id.
    token_id: Option<String>,
    /// The tokens of this session.
    session: Option<String>,
    /// The tokens that speak for this subject.
    subject: Option<String>,
    /// The tokens that were issued to this client.
    client: Option<String>,
    /// The tokens with which this actor acts for others.
    actor: Option<String>,
    /// Only tokens issued before this moment (RFC 3339); now unless said.
    issued_before: Option<String>,
    /// Every token, whenever it is issued, until the revocation is deleted.
    until_lifted: bool,
    /// The reason, in a person's words.
    reason: Option<String>,
}

#[derive(ApiResponse)]
enum Created {
    /// It is in force, on this node at once and on every other within a second.
    #[oai(status = 201)]
    Revocation(Json<RevocationBody>),
    /// The effect that it would have. Nothing is changed (`dry_run=true`).
    #[oai(status = 200)]
    Effect(Json<Effect>),
}

/// The result of an import.
#[derive(Object)]
struct Imported {
    /// The number of revocations.
    imported: usize,
}

#[derive(ApiResponse)]
enum ImportedResponse {
    /// All of them are in force.
    #[oai(status = 201)]
    All(Json<Imported>),
}

#[OpenApi]
impl RevocationsApi {
    /// List the revocations in force, oldest first.
    #[oai(path = "/admin/revocations", method = "get", operation_id = "list_revocations")]
    async fn list(
        &self,
        /// The most entries: 1 to 1000.
        Query(limit): Query<Option<usize>>,
        /// Only revocations after the one of this id.
        Query(after): Query<Option<String>>,
    ) -> poem::Result<Json<List<RevocationBody>>> {
        let limit = super::limit(limit)?;
        let after = after.map(|after| RecordId::from_text(&after));
        let page = self.0.store.revocations(after.as_ref(), limit).await.map_err(Problem::from)?;
        let next = page.items.last().filter(|_| page.more).map(|last| last.id.to_string());
        Ok(List::new(page.items.into_iter().map(body).collect(), next))
    }

    /// Get a revocation.
    #[oai(path = "/admin/revocations/:id", method = "get", operation_id = "get_revocation")]
    async fn get(&self, Path(id): Path<String>) -> poem::Result<Json<RevocationBody>> {
        let found = self.0.store.revocation(&RecordId::from_text(&id)).await.map_err(Problem::from)?;
        Ok(Json(body(found)))
    }

    /// Withdraw a token, or all tokens of a session, subject or client.
    #[oai(path = "/admin/revocations", method = "post", operation_id = "create_revocation")]
    async fn create(
        &self,
        principal: Principal,
        Data(rights): Data<&Rights>,
        Json(new): Json<NewRevocationBody>,
        /// `true`: change nothing, and answer the effect that it would have.
        Query(dry_run): Query<Option<bool>>,
    ) -> poem::Result<Created> {
        let record = self.record(new).await?;
        if rights.dry_run(dry_run)? {
            let effect = self.0.effect(&principal, rights, &Change::Revoke(&record));
            return Ok(Created::Effect(Json(effect)));
        }
        let made =
            self.0.store.revoke(&Actor::from(&*principal), vec![record]).await.map_err(Problem::from)?;
        let made = made.into_iter().next().ok_or_else(super::scopes::unexpected)?;
        Ok(Created::Revocation(Json(body(made))))
    }

    /// Import revocations, one JSON object a line (NDJSON), 100,000 at most: all of them or none. Tokens are not taken
    /// here.
    #[oai(path = "/admin/revocations/import", method = "post", operation_id = "import_revocations")]
    async fn import(
        &self,
        principal: Principal,
        Binary(lines): Binary<Body>,
    ) -> poem::Result<ImportedResponse> {
        let bytes = lines.into_bytes_limit(MOST_BYTES).await.map_err(|_| too_large())?;
        let records = self.records(&bytes, self.moment().await?)?;
        let imported = records.len();
        if imported > 0 {
            self.0.store.revoke(&Actor::from(&*principal), records).await.map_err(Problem::from)?;
        }
        Ok(ImportedResponse::All(Json(Imported { imported })))
    }

    /// Take a revocation back.
    #[oai(path = "/admin/revocations/:id", method = "delete", operation_id = "delete_revocation")]
    async fn delete(&self, principal: Principal, Path(id): Path<String>) -> poem::Result<Deleted> {
        let by = Actor::from(&*principal);
        let id = RecordId::from_text(&id);
        self.0.store.delete_revocation(&by, &id).await.map_err(Problem::from)?;
        Ok(Deleted::Gone)
    }
}

impl RevocationsApi {
    async fn record(&self, new: NewRevocationBody) -> Result<NewRevocation, Problem> {
        match &new {
            NewRevocationBody {
                token: Some(token),
                provider: None,
                token_id: None,
                session: None,
                subject: None,
                client: None,
                actor: None,
                issued_before: None,
                until_lifted: false,
                reason,
            } => self.of_token(token, reason.clone()).await,
            NewRevocationBody { token: None, .. } => self.of_key(new, self.moment().await?),
            NewRevocationBody { token: Some(_), .. } => Err(shape()),
        }
    }

    /// Returns the later of the node's and the store's time.
    async fn moment(&self) -> Result<Timestamp, Problem> {
        Ok(self.0.store.revocation_moment(Duration::ZERO).await?)
    }

    async fn of_token(&self, token: &str, reason: Option<String>) -> Result<NewRevocation, Problem> {
        let token = BearerToken::parse(token)
            .map_err(|error| unprocessable(Reason::InvalidToken, error.to_string()))?;
        let credentials = Credentials::bearer(token);
        let state = self.0.gate.current();
        let answer = state.authenticator().authenticate(&credentials, Freshness::Cached).await;
        let principal = answer.map_err(|error| match error {
            AuthnError::Rejected(Rejection::Revoked) => {
                Problem::new(Reason::Exists, "the token is revoked already")
            }
            AuthnError::Rejected(rejection) => {
                let description = format!("the token would not pass anyway: {rejection}");
                Problem::new((&rejection).into(), description)
                    .with_status(http::StatusCode::UNPROCESSABLE_ENTITY)
            }
            AuthnError::Unavailable(outage) => Problem::unavailable(&outage),
        })?;
        Ok(withdraw::of_token(&principal, &credentials.token, self.0.now(), reason))
    }

    /// `now` is the later of the node's and the store's time.
    fn of_key(&self, new: NewRevocationBody, now: Timestamp) -> Result<NewRevocation, Problem> {
        let name = new.provider.as_deref().ok_or_else(shape)?;
        let connected = self.0.provider(name)?;
        if new.until_lifted {
            if new.issued_before.is_some() {
                return Err(shape());
            }
            let reason = new.reason.clone();
            return Ok(NewRevocation::block(connected.name().clone(), key(new)?, reason));
        }
        let before = new.issued_before.as_deref().map(|text| moment("issued_before", text)).transpose()?;
        // The clock of the issuer may be ahead.
        let issued_before = before.unwrap_or(now + connected.provider().leeway());
        Ok(NewRevocation {
            provider: connected.name().clone(),
            expires_at: withdraw::end(&**connected.provider(), issued_before, now),
            issued_before,
            reason: new.reason.clone(),
            key: key(new)?,
        })
    }

    fn records(&self, bytes: &[u8], now: Timestamp) -> Result<Vec<NewRevocation>, Problem> {
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        let mut records = Vec::new();
        for (index, line) in lines {
            let at =
                |problem: &str| unprocessable(Reason::InvalidLine, format!("line {}: {problem}", index + 1));
            let new: NewRevocationBody =
                serde_json::from_slice(line).map_err(|error| at(&error.to_string()))?;
            if new.token.is_some() {
                return Err(at("tokens are not imported"));
            }
            records.push(self.of_key(new, now).map_err(|problem| at(problem.description()))?);
            if records.len() > MOST_RECORDS {
                return Err(too_large());
            }
        }
        Ok(records)
    }
}

fn key(new: NewRevocationBody) -> Result<RevocationKey, Problem> {
    let invalid =
        |error: scopegate_provider::NameError| unprocessable(Reason::InvalidRevocation, error.to_string());
    match (new.token_id, new.session, new.subject, new.client, new.actor) {
        (Some(id), None, None, None, None) => {
            TokenId::parse(&id).map(RevocationKey::TokenId).map_err(invalid)
        }
        (None, Some(id), None, None, None) => {
            SessionId::parse(&id).map(RevocationKey::Session).map_err(invalid)
        }
        (None, None, Some(id), None, None) => {
            Subject::parse(&id).map(RevocationKey::Subject).map_err(invalid)
        }
        (None, None, None, Some(id), None) => {
            ClientId::parse(&id).map(RevocationKey::Client).map_err(invalid)
        }
        (None, None, None, None, Some(id)) => Subject::parse(&id).map(RevocationKey::Actor).map_err(invalid),
        _ => Err(shape()),
    }
}

fn shape() -> Problem {
    unprocessable(
        Reason::InvalidRevocation,
        "expected `token`, or `provider` and one of `token_id`, `session`, `subject`, `client` and `actor`; and \
         `issued_before` or `until_lifted`, not both",
    )
}

fn too_large() -> Problem {
    let description = format!("an import has at most {MOST_RECORDS} records and {MOST_BYTES} bytes");
    Problem::new(Reason::TooLarge, description)
}

fn body(revocation: Revocation) -> RevocationBody {
    let until_lifted = revocation.record.is_block();
    let NewRevocation { provider, key, issued_before, expires_at, reason } = revocation.record;
    RevocationBody {
        id: revocation.id.to_string(),
        provider: ProviderName::to_string(&provider),
        kind: key.kind().to_owned(),
        value: key.value(),
        issued_before: (!until_lifted).then(|| rfc3339(issued_before)),
        expires_at: (!until_lifted).then(|| rfc3339(expires_at)),
        until_lifted,
        refused: until_lifted.then_some(revocation.refused),
        streams_cut: until_lifted.then_some(revocation.streams_cut),
        reason,
        created_at: rfc3339(revocation.created_at),
    }
}
