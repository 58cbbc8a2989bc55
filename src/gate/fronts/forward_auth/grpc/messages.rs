//! The messages of `envoy.service.auth.v3.Authorization/Check`, as far as it needs them: what is not named here is skipped.
//!
//! | here | protocol buffer |
//! | --- | --- |
//! | [`CheckRequest`], [`CheckResponse`], [`DeniedHttpResponse`], [`OkHttpResponse`] | `envoy/service/auth/v3/external_auth.proto` |
//! | [`AttributeContext`], [`RequestAttributes`], [`HttpRequest`] | `envoy/service/auth/v3/attribute_context.proto` |
//! | [`HeaderMap`], [`HeaderValue`], [`HeaderValueOption`] | `envoy/config/core/v3/base.proto` |
//! | [`HttpStatus`] | `envoy/type/v3/http_status.proto` |
//! | [`Status`] | `google/rpc/status.proto` |

use std::{collections::HashMap, fmt};

use bytes::Bytes;
use prost::{Message, Oneof};

/// The request of a check.
#[derive(Clone, PartialEq, Message)]
pub struct CheckRequest {
    /// About what.
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<AttributeContext>,
}

/// The attributes of a request.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeContext {
    /// The request.
    #[prost(message, optional, tag = "4")]
    pub request: Option<RequestAttributes>,
}

/// `AttributeContext.Request`: a request of some protocol.
#[derive(Clone, PartialEq, Message)]
pub struct RequestAttributes {
    /// One of HTTP.
    #[prost(message, optional, tag = "2")]
    pub http: Option<HttpRequest>,
}

/// `AttributeContext.HttpRequest`.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct HttpRequest {
    /// Its method.
    #[prost(string, tag = "2")]
    pub method: String,
    /// Its headers and pseudo-headers by lower-case name; the values of several headers of one name stand behind each
    /// other, with `,` between.
    #[prost(map = "string, string", tag = "3")]
    pub headers: HashMap<String, String>,
    /// Its path and query, as they were sent.
    #[prost(string, tag = "4")]
    pub path: String,
    /// Its `Host` or `:authority`.
    #[prost(string, tag = "5")]
    pub host: String,
    /// `http` or `https`.
    #[prost(string, tag = "6")]
    pub scheme: String,
    /// Always empty.
    #[prost(string, tag = "7")]
    pub query: String,
    /// Always empty.
    #[prost(string, tag = "8")]
    pub fragment: String,
    /// Instead of `headers`, where Envoy is told to `encode_raw_headers`: each header by itself.
    #[prost(message, optional, tag = "13")]
    pub header_map: Option<HeaderMap>,
}

/// Headers, those of one name each by itself.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderMap {
    /// The headers.
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<HeaderValue>,
}

/// A header.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct HeaderValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
    /// Its value, where it need not be UTF-8.
    #[prost(bytes = "bytes", tag = "3")]
    pub raw_value: Bytes,
}

/// A header, and what becomes of those that are there.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValueOption {
    /// The header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    /// The action if the header exists.
    #[prost(enumeration = "HeaderAppendAction", tag = "3")]
    pub append_action: i32,
    /// Keeps a header whose value is empty.
    #[prost(bool, tag = "4")]
    pub keep_empty_value: bool,
}

/// `HeaderValueOption.HeaderAppendAction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum HeaderAppendAction {
    /// They stay; the new one is put behind.
    AppendIfExistsOrAdd = 0,
    /// An existing header stays, and the new one is dropped.
    AddIfAbsent = 1,
    /// They go.
    OverwriteIfExistsOrAdd = 2,
    /// They go; if there is none, the new one is not taken.
    OverwriteIfExists = 3,
}

/// The response to a check.
#[derive(Clone, PartialEq, Message)]
pub struct CheckResponse {
    /// Code 0 (OK) lets the request pass; any other does not.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// The response that Envoy sends, or the changes that it makes.
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    pub http_response: Option<HttpResponse>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// A code of `google.rpc.Code`.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `CheckResponse.http_response`.
#[derive(Clone, PartialEq, Oneof)]
pub enum HttpResponse {
    /// The answer to the caller.
    #[prost(message, tag = "2")]
    DeniedResponse(DeniedHttpResponse),
    /// Changes to the request on its way to the upstream.
    #[prost(message, tag = "3")]
    OkResponse(OkHttpResponse),
}

/// The answer to the caller.
#[derive(Clone, PartialEq, Message)]
pub struct DeniedHttpResponse {
    /// Its status.
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    /// Its headers.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    /// Its body.
    #[prost(string, tag = "3")]
    pub body: String,
}

/// `envoy.type.v3.HttpStatus`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpStatus {
    /// The status code.
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// Changes to the request on its way to the upstream.
#[derive(Clone, PartialEq, Message)]
pub struct OkHttpResponse {
    /// Headers that the upstream gets.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    /// Headers that the upstream does not get; they are taken off after the others were set.
    #[prost(string, repeated, tag = "5")]
    pub headers_to_remove: Vec<String>,
    /// Headers that the caller gets with the upstream's answer.
    #[prost(message, repeated, tag = "6")]
    pub response_headers_to_add: Vec<HeaderValueOption>,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers hold tokens, and a query may.
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderValue").field("key", &self.key).finish_non_exhaustive()
    }
}
