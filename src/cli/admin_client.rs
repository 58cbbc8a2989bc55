//! Requests to the administration of a running node, with the token of an administrator.

use std::{env, time::Duration};

use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect,
};
use serde_json::Value;

use super::failure::Failure;

/// The environment variable that holds the token of an administrator.
const TOKEN: &str = "SCOPEGATE_ADMIN_TOKEN";

/// The time limit for a connection to the node.
const CONNECT: Duration = Duration::from_secs(10);

/// The time within which a node has to answer a request whole.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the administration of one node. It follows no redirection, so that nobody else gets the token.
pub(super) struct AdminClient {
    client: Client,
    base: String,
}

impl AdminClient {
    /// Creates a client of the node at this URL, which includes its base path, with the token of the environment.
    ///
    /// # Errors
    /// There is no token, or it cannot be sent.
    pub(super) fn new(base: &str) -> Result<Self, Failure> {
        let token = env::var(TOKEN)
            .map_err(|_| Failure::Usage(format!("put the token of an administrator into ${TOKEN}")))?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| Failure::Usage(format!("${TOKEN} holds characters that a token cannot have")))?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .default_headers(headers);
        let client = client.build().map_err(Failure::other)?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned() })
    }

    /// Returns a request for a path below the base path, with its query.
    pub(super) fn get(&self, path_and_query: &str) -> RequestBuilder {
        self.client.get(self.url(path_and_query))
    }

    /// Returns the body of the answer to a request.
    ///
    /// # Errors
    /// The node does not answer, or refuses.
    pub(super) async fn text(&self, path_and_query: &str) -> Result<String, Failure> {
        let sent = self.get(path_and_query).timeout(PATIENCE).send().await;
        let response = sent.map_err(|error| self.unreachable(error.without_url().to_string()))?;
        if response.status() != StatusCode::OK {
            return Err(refused(response).await);
        }
        response.text().await.map_err(Failure::other)
    }

    /// Returns the error of a node that does not answer.
    pub(super) fn unreachable(&self, problem: String) -> Failure {
        Failure::other(Unreachable { node: self.base.clone(), problem })
    }

    fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base)
    }
}

/// The node cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {node}: {problem}; expected the address of a running node")]
struct Unreachable {
    node: String,
    problem: String,
}

/// The node refuses the token or the request.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the node answered {status}: {message}; expected an administrator's token in ${TOKEN}")]
    Token { status: StatusCode, message: String },
    #[error("the node answered {status}: {message}")]
    Request { status: StatusCode, message: String },
}

/// Returns the error of an answer other than 200.
pub(super) async fn refused(response: Response) -> Failure {
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    let described = ["error_description", "detail"].iter().find_map(|name| problem.get(*name)?.as_str());
    let message = described.unwrap_or("without an explanation").to_owned();
    Failure::other(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Refused::Token { status, message },
        _ => Refused::Request { status, message },
    })
}
