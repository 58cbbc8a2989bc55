//! Answers that several admin endpoints give.

use poem_openapi::{
    ApiResponse, Object,
    payload::Json,
    types::{ParseFromJSON, ToJSON, Type},
};

/// A page of a list.
#[derive(Object)]
pub(super) struct List<T: ParseFromJSON + ToJSON + Type + Send + Sync> {
    /// Its entries.
    pub items: Vec<T>,
    /// The value of `after` for the next page; left out on the last one.
    #[oai(skip_serializing_if_is_none)]
    pub next: Option<String>,
}

impl<T: ParseFromJSON + ToJSON + Type + Send + Sync> List<T> {
    /// A page after which there is more, if `next` says from where.
    pub(super) fn new(items: Vec<T>, next: Option<String>) -> Json<Self> {
        Json(Self { items, next })
    }
}

#[derive(ApiResponse)]
pub(super) enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Gone,
}

/// Sets a member of a JSON object.
pub(super) fn set(object: &mut serde_json::Value, name: &str, value: serde_json::Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}
