//! `/items`: the resource of the tutorials, kept in the store.

use std::sync::Arc;

use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};

use super::etag::{etag, expected};
use crate::{
    problem::Problem,
    reason::Reason,
    store::{Item, ItemName, Items},
};

/// The most items of one answer.
const MOST: usize = 1000;

/// The items.
#[derive(Clone)]
pub struct ItemsApi {
    items: Arc<dyn Items>,
    base: Arc<str>,
}

/// An item.
#[derive(Object)]
#[oai(rename = "Item")]
struct ItemBody {
    /// Its number.
    id: i64,
    /// Its name.
    name: String,
}

/// An item to create or replace.
#[derive(Object)]
struct NewItem {
    /// Its name: 1 to 200 characters, none of them a control character.
    name: String,
}

#[derive(ApiResponse)]
enum Listed {
    /// The items, in the order of their numbers.
    #[oai(status = 200)]
    Page(
        Json<Vec<ItemBody>>,
        /// The next page, if there is one (RFC 8288).
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// The item.
    #[oai(status = 200)]
    Item(
        Json<ItemBody>,
        /// Its version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Created {
    /// The item that was created.
    #[oai(status = 201)]
    Item(
        Json<ItemBody>,
        /// Its version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
        /// Its place.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Gone,
}

impl ItemsApi {
    /// Items of this store, for links below this base path.
    pub fn new(items: Arc<dyn Items>, base: &str) -> Self {
        Self { items, base: base.into() }
    }
}

#[OpenApi]
impl ItemsApi {
    /// List the items.
    #[oai(path = "/items", method = "get", operation_id = "list_items")]
    async fn list(
        &self,
        /// The most entries: 1 to 1000.
        Query(limit): Query<Option<usize>>,
        /// Only items with a greater number.
        Query(after): Query<Option<i64>>,
    ) -> poem::Result<Listed> {
        let limit = limit.unwrap_or(MOST);
        if !(1..=MOST).contains(&limit) {
            return Err(invalid(
                Reason::InvalidLimit,
                format!("expected a limit of 1 to {MOST}, found {limit}"),
            )
            .into());
        }
        let page = self.items.list(after, limit).await.map_err(Problem::from)?;
        let last = page.items.last().filter(|_| page.more).map(|item| item.id);
        let next = last.map(|id| format!("<{}/items?limit={limit}&after={id}>; rel=\"next\"", self.base));
        Ok(Listed::Page(Json(page.items.iter().map(body).collect()), next))
    }

    /// Get an item.
    #[oai(path = "/items/:id", method = "get", operation_id = "get_item")]
    async fn get(&self, Path(id): Path<i64>) -> poem::Result<Found> {
        Ok(found(&self.items.find(id).await.map_err(Problem::from)?))
    }

    /// Create an item.
    #[oai(path = "/items", method = "post", operation_id = "create_item")]
    async fn create(&self, Json(new): Json<NewItem>) -> poem::Result<Created> {
        let item = self.items.create(name(&new)?).await.map_err(Problem::from)?;
        let version = etag(item.version);
        let location = format!("{}/items/{}", self.base, item.id);
        Ok(Created::Item(Json(body(&item)), version, location))
    }

    /// Replace an item.
    #[oai(path = "/items/:id", method = "put", operation_id = "replace_item")]
    async fn replace(
        &self,
        Path(id): Path<i64>,
        Json(new): Json<NewItem>,
        /// The version that is to be replaced; left out, whatever there is.
        #[oai(name = "If-Match")]
        Header(if_match): Header<Option<String>>,
    ) -> poem::Result<Found> {
        let expected = expected(if_match.as_deref())?;
        Ok(found(&self.items.replace(id, expected, name(&new)?).await.map_err(Problem::from)?))
    }

    /// Delete an item.
    #[oai(path = "/items/:id", method = "delete", operation_id = "delete_item")]
    async fn delete(
        &self,
        Path(id): Path<i64>,
        /// The version that is to be deleted; left out, whatever there is.
        #[oai(name = "If-Match")]
        Header(if_match): Header<Option<String>>,
    ) -> poem::Result<Deleted> {
        self.items.delete(id, expected(if_match.as_deref())?).await.map_err(Problem::from)?;
        Ok(Deleted::Gone)
    }
}

fn body(item: &Item) -> ItemBody {
    ItemBody { id: item.id, name: item.name.as_str().to_owned() }
}

fn found(item: &Item) -> Found {
    let version = etag(item.version);
    Found::Item(Json(body(item)), version)
}

fn name(new: &NewItem) -> Result<ItemName, Problem> {
    ItemName::parse(&new.name).map_err(|error| invalid(Reason::InvalidName, error.to_string()))
}

fn invalid(reason: Reason, description: String) -> Problem {
    Problem::new(reason, description)
}
