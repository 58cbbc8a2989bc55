//! `grpc.health.v1.Health`, on the gRPC listener: what `/readyz` says, for who asks over gRPC
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt, stream};
use poem::{Endpoint, Request, Response, Result};
use tonic::Status;

use super::health::Report;
use crate::{
    grpc::{self, Received},
    server::{Phase, Shutdown},
};

/// The number of streams of [`Watch`] that a node serves at once.
const WATCHERS: usize = 64;

/// Interval at which a watcher's status is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// `grpc.health.v1.HealthCheckRequest` (`grpc/health/v1/health.proto`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct HealthCheckRequest {
    /// The service that is asked about; empty for all of them.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct HealthCheckResponse {
    /// The state.
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// Not known.
    Unknown = 0,
    /// It can decide.
    Serving = 1,
    /// It cannot.
    NotServing = 2,
    /// There is no such service.
    ServiceUnknown = 3,
}

/// Says how a node is, for the services of one listener.
#[derive(Clone)]
pub struct GrpcHealth {
    report: Arc<dyn Report>,
    services: &'static [&'static str],
    shutdown: Shutdown,
    watchers: Arc<AtomicUsize>,
}

impl GrpcHealth {
    /// For these services; who watches is left when `shutdown` drains.
    pub fn new(report: Arc<dyn Report>, services: &'static [&'static str], shutdown: Shutdown) -> Self {
        Self { report, services, shutdown, watchers: Arc::default() }
    }

    fn status(&self, service: &str) -> ServingStatus {
        if !service.is_empty() && !self.services.contains(&service) {
            ServingStatus::ServiceUnknown
        } else if self.report.readiness().ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }

    /// Returns the status now, and whenever it changes.
    ///
    /// # Errors
    /// Too many watch already: the endpoint is open to any peer.
    fn watch(
        self,
        service: String,
    ) -> Result<impl Stream<Item = Result<HealthCheckResponse, Status>>, Status> {
        let watcher = Watcher(self.watchers.clone());
        if watcher.0.fetch_add(1, Ordering::Relaxed) >= WATCHERS {
            return Err(Status::resource_exhausted("too many watch this node already"));
        }

        let shutdown = self.shutdown.clone();
        let changes =
            stream::unfold((self, service, watcher, None), async |(health, service, watcher, told)| {
                loop {
                    let status = health.status(&service);
                    if told != Some(status) {
                        return Some((Ok(response(status)), (health, service, watcher, Some(status))));
                    }
                    tokio::time::sleep(LOOK).await;
                }
            });
        let end = stream::once(async { Err(Status::unavailable("this node ends")) });
        Ok(changes.take_until(async move { shutdown.reached(Phase::Draining).await }).chain(end))
    }
}

/// A place among the watchers, given back when it is dropped.
struct Watcher(Arc<AtomicUsize>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

fn service(request: Received<HealthCheckRequest>) -> Result<String, Status> {
    let request = request.map_err(|error| Status::invalid_argument(error.to_string()))?;
    Ok(request.service)
}

/// `Health/Check`.
pub struct Check(pub GrpcHealth);

impl Endpoint for Check {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let answer = grpc::unary(request, async |request| {
            let status = self.0.status(&service(request)?);
            if status == ServingStatus::ServiceUnknown {
                return Err(Status::not_found("there is no such service here"));
            }
            Ok(tonic::Response::new(response(status)))
        });
        Ok(answer.await)
    }
}

/// `Health/Watch`.
pub struct Watch(pub GrpcHealth);

impl Endpoint for Watch {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let answer = grpc::streaming(request, async |request| {
            Ok(tonic::Response::new(self.0.clone().watch(service(request)?)?))
        });
        Ok(answer.await)
    }
}

impl fmt::Debug for GrpcHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcHealth").field("services", &self.services).finish_non_exhaustive()
    }
}
