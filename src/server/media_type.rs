//! The media types of streams.

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

/// Returns `true` if a message is gRPC's.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    has_media_type(headers, "application/grpc")
}

/// Returns `true` if a response is a stream, which may last for as long as both sides want: events or gRPC.
pub(crate) fn is_stream(headers: &HeaderMap) -> bool {
    has_media_type(headers, "text/event-stream") || is_grpc(headers)
}

/// Returns `true` if the media type is `wanted`, or has it as a prefix that ends with `+` or `-`.
fn has_media_type(headers: &HeaderMap, wanted: &str) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) else { return false };
    let Some((start, rest)) = value.split_at_checked(wanted.len()) else { return false };
    start.eq_ignore_ascii_case(wanted.as_bytes())
        && rest.first().is_none_or(|next| matches!(next, b';' | b'+' | b'-' | b' ' | b'\t'))
}
