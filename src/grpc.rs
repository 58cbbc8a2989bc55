//! gRPC for poem endpoints: tonic's framing around messages of one's own.

use std::{
    io,
    marker::PhantomData,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use futures_util::Stream;
use http::{StatusCode, Version, header};
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame};
use poem::{Request, Response};
use prost::{DecodeError, Message};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, ServerStreamingService, UnaryService},
};

/// A message as it was received. One that cannot be read is for the endpoint to judge: where it asks whether something is
/// allowed, the answer is no.
pub(crate) type Received<I> = Result<I, DecodeError>;

/// Answers a call of one message by one.
pub(crate) async fn unary<I, O, A, F>(request: Request, answer: A) -> Response
where
    I: Message + Default + 'static,
    O: Message + 'static,
    A: FnMut(Received<I>) -> F,
    F: Future<Output = Result<tonic::Response<O>, Status>>,
{
    if let Err(status) = speaks_grpc(&request) {
        return status.into();
    }
    let request: http::Request<BoxBody<Bytes, io::Error>> = request.into();
    poem_response(Grpc::new(Proto::new()).unary(Answering(answer), request).await)
}

/// Answers a call of one message by a stream of them.
pub(crate) async fn streaming<I, O, A, F, S>(request: Request, answer: A) -> Response
where
    I: Message + Default + 'static,
    O: Message + 'static,
    A: FnMut(Received<I>) -> F,
    F: Future<Output = Result<tonic::Response<S>, Status>>,
    S: Stream<Item = Result<O, Status>> + Send + 'static,
{
    if let Err(status) = speaks_grpc(&request) {
        return status.into();
    }
    let request: http::Request<BoxBody<Bytes, io::Error>> = request.into();
    poem_response(Grpc::new(Proto::new()).server_streaming(Answering(answer), request).await)
}

/// The response where no method is.
pub(crate) struct Unimplemented;

impl poem::Endpoint for Unimplemented {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(match speaks_grpc(&request) {
            Ok(()) => poem_response(Status::unimplemented("there is no such method here").into_http()),
            Err(status) => status.into(),
        })
    }
}

/// Checks that a request is gRPC: over HTTP/2, with the media type of gRPC (gRPC over HTTP2, "Requests").
fn speaks_grpc(request: &Request) -> Result<(), StatusCode> {
    if request.version() != Version::HTTP_2 {
        return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    }
    let rest = request.header(header::CONTENT_TYPE).and_then(|kind| kind.strip_prefix("application/grpc"));
    let is_proto =
        rest.and_then(|rest| rest.split(';').next()).is_some_and(|rest| matches!(rest, "" | "+proto"));
    if is_proto { Ok(()) } else { Err(StatusCode::UNSUPPORTED_MEDIA_TYPE) }
}

/// A handler of calls as tonic's service.
struct Answering<A>(A);

impl<I, O, A, F> UnaryService<Received<I>> for Answering<A>
where
    A: FnMut(Received<I>) -> F,
    F: Future<Output = Result<tonic::Response<O>, Status>>,
{
    type Response = O;
    type Future = F;

    fn call(&mut self, request: tonic::Request<Received<I>>) -> F {
        (self.0)(request.into_inner())
    }
}

impl<I, O, A, F, S> ServerStreamingService<Received<I>> for Answering<A>
where
    A: FnMut(Received<I>) -> F,
    F: Future<Output = Result<tonic::Response<S>, Status>>,
    S: Stream<Item = Result<O, Status>>,
{
    type Response = O;
    type ResponseStream = S;
    type Future = F;

    fn call(&mut self, request: tonic::Request<Received<I>>) -> F {
        (self.0)(request.into_inner())
    }
}

/// Protocol Buffers.
struct Proto<I, O>(PhantomData<fn(I) -> O>);

impl<I, O> Proto<I, O> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<I: Message + Default + 'static, O: Message + 'static> Codec for Proto<I, O> {
    type Encode = O;
    type Decode = Received<I>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::new()
    }

    fn decoder(&mut self) -> Self {
        Self::new()
    }
}

impl<I, O: Message> Encoder for Proto<I, O> {
    type Item = O;
    type Error = Status;

    fn encode(&mut self, message: O, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl<I: Message + Default, O> Decoder for Proto<I, O> {
    type Item = Received<I>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Received<I>>, Status> {
        // Taken whole, so that nothing of a message that cannot be read is taken for another.
        let message = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(I::decode(message)))
    }
}

fn poem_response(response: http::Response<tonic::body::Body>) -> Response {
    let (parts, body) = response.into_parts();
    let body = if body.is_end_stream() { poem::Body::empty() } else { BoxBody::new(Owned::new(body)).into() };
    let mut response = Response::builder().status(parts.status).body(body);
    *response.headers_mut() = parts.headers;
    response
}

/// A body that is written by whoever has it: nobody waits for its lock.
struct Owned(Mutex<tonic::body::Body>);

impl Owned {
    fn new(body: tonic::body::Body) -> Self {
        Self(Mutex::new(body))
    }
}

impl Body for Owned {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(body).poll_frame(cx).map_err(io::Error::other)
    }
}
