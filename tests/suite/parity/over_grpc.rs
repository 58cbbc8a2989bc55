//! Envoy asking over gRPC: a real client of the running program, which does with requests what Envoy's sources do.

use http::uri::PathAndQuery;
use scopegate::gate::forward_auth::grpc::messages::{
    AttributeContext, CheckRequest, CheckResponse, HeaderMap, HeaderValue, HeaderValueOption, HttpRequest,
    HttpResponse, RequestAttributes,
};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::{
    Scene,
    case::{Case, Oddity},
    driven::ENVOY,
    front::{Front, Line, Outcome},
    service::{Log, Seen},
    wire::Message,
};

/// Envoy, with `encode_raw_headers` as the manual says.
pub(super) fn envoy_over_grpc(scene: &Scene) -> Box<dyn Front> {
    Box::new(OverGrpc { scopegate: scene.grpc(), log: Log::default() })
}

struct OverGrpc {
    scopegate: String,
    log: Log,
}

impl Front for OverGrpc {
    fn line(&self) -> Box<dyn Line> {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = Endpoint::from_shared(self.scopegate.clone()).unwrap();
        let channel = runtime.block_on(endpoint.connect()).unwrap();
        Box::new(Asking { runtime, client: tonic::client::Grpc::new(channel), log: self.log.clone() })
    }

    fn log(&self) -> &Log {
        &self.log
    }

    fn own_ways(&self) -> &[Oddity] {
        &[Oddity::Method, Oddity::Form, Oddity::Fragment, Oddity::Characters, Oddity::Head, Oddity::Version]
    }

    fn serves(&self) -> bool {
        false
    }
}

struct Asking {
    runtime: Runtime,
    client: tonic::client::Grpc<Channel>,
    log: Log,
}

impl Line for Asking {
    fn ask(&mut self, case: &Case) -> Outcome {
        let message = match ENVOY.taken(case) {
            Ok(message) => message,
            Err(status) => return Outcome::Refused { status, reason: None },
        };
        let client = &mut self.client;
        let answer = self.runtime.block_on(async {
            client.ready().await.unwrap();
            let path = PathAndQuery::from_static("/envoy.service.auth.v3.Authorization/Check");
            client.unary(tonic::Request::new(question(&message)), path, ProstCodec::default()).await
        });
        match answer.map(tonic::Response::into_inner) {
            Ok(CheckResponse { status, http_response: Some(HttpResponse::OkResponse(permit)) })
                if status.as_ref().is_some_and(|status| status.code == 0) =>
            {
                let sent = onward(message, permit.headers, &permit.headers_to_remove);
                self.log.note(Seen::Request(sent.clone()));
                Outcome::Passed(sent.into())
            }
            Ok(CheckResponse { status, http_response: Some(HttpResponse::DeniedResponse(denial)) })
                if status.as_ref().is_some_and(|status| status.code != 0) =>
            {
                let status = u16::try_from(denial.status.unwrap().code).unwrap();
                Outcome::refused(status, denial.body.as_bytes())
            }
            other => Outcome::Broken(format!("{other:?}")),
        }
    }
}

/// What Envoy tells: strings with `!` for what is not UTF-8, and each header by itself.
fn question(message: &Message) -> CheckRequest {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\u{fffd}', "!");
    let host = message.host().unwrap();
    let pseudo = [
        (":authority", host.as_bytes()),
        (":method", message.method.as_bytes()),
        (":path", &message.target),
        (":scheme", b"http"),
    ];
    let own = message.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host"));
    let own = own.map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let all = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value.to_vec())).chain(own);
    let header = |(key, value): (String, Vec<u8>)| HeaderValue {
        key,
        raw_value: value.into(),
        ..HeaderValue::default()
    };
    let http = HttpRequest {
        method: message.method.clone(),
        path: text(&message.target),
        host: host.clone(),
        scheme: "http".to_owned(),
        header_map: Some(HeaderMap { headers: all.map(header).collect() }),
        ..HttpRequest::default()
    };
    let request = Some(RequestAttributes { http: Some(http) });
    CheckRequest { attributes: Some(AttributeContext { request }) }
}

/// What is told is set in place of what is there, and then what is to go goes.
fn onward(mut message: Message, set: Vec<HeaderValueOption>, taken_off: &[String]) -> Message {
    for header in set.into_iter().filter_map(|option| option.header) {
        message.fields.retain(|(own, _)| !own.eq_ignore_ascii_case(&header.key));
        message.fields.push((header.key, header.value.into_bytes()));
    }
    message.fields.retain(|(own, _)| !taken_off.iter().any(|name| own.eq_ignore_ascii_case(name)));
    message
}
