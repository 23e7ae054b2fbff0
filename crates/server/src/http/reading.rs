//! What all reads share: the staging in the path, the position to wait for, the page to show.

use std::time::Duration;

use axum::RequestPartsExt;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use dm_api::{PAGE_DEFAULT, PAGE_MAX};
use dm_domain::ids::StagingName;
use dm_eventstore::Position;

use crate::app::App;
use crate::error::ApiError;
use crate::http::asked::bad_path;
use crate::http::query::{Query, number};
use crate::http::violations::Violations;

/// How long a read waits for the position that it is asked for.
const BEHIND_AFTER: Duration = Duration::from_secs(5);

/// A read: its path parameter and its query, with what all reads may say in it.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The path parameter; empty when the route has none.
    path: String,
    /// The rest of the query.
    pub(crate) query: Query,
    at_least: Option<Position>,
}

impl<S: Send + Sync> FromRequestParts<S> for Reading {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let params = parts.extract::<Path<Vec<(String, String)>>>().await.map_err(|_| bad_path())?;
        let path = params.0.into_iter().next().map(|(_, value)| value).unwrap_or_default();
        let mut query = Query::of(&parts.uri);
        let at_least = query.optional("at_least", |text| number(text, 0, i64::MAX).map(Position));
        Ok(Self { path, query, at_least })
    }
}

impl Reading {
    /// The staging in the path.
    pub(crate) fn name(&mut self) -> Option<StagingName> {
        self.query.violations.take("path:name", StagingName::parse(&self.path))
    }

    /// The path parameter itself.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Faults found so far.
    pub(crate) fn violations(&mut self) -> &mut Violations {
        &mut self.query.violations
    }

    /// How many items a page shall have.
    pub(crate) fn limit(&mut self) -> u32 {
        self.query.optional("limit", |text| number(text, 1, PAGE_MAX)).unwrap_or(PAGE_DEFAULT)
    }

    /// Refuses what is wrong with the request, then waits until the read models have come to what it asks for.
    pub(crate) async fn ready(self, app: &App) -> Result<(), ApiError> {
        let at_least = self.at_least;
        self.query.done()?;
        match at_least {
            Some(position) => Ok(app.projector.reach(position, BEHIND_AFTER).await?),
            None => Ok(()),
        }
    }
}

/// Waits until the read models have come to the end of the log. That something is not there is said only then: whoever
/// was just told of a run may ask for it at once.
pub(crate) async fn caught_up(app: &App) -> Result<(), ApiError> {
    let head = app.store.head().await?.position;
    Ok(app.projector.reach(head, BEHIND_AFTER).await?)
}

/// The cursor of the page after this one. A page that is full may be the last one all the same; the next is empty then.
pub(crate) fn next<T>(items: &[T], limit: u32, cursor: impl Fn(&T) -> String) -> Option<String> {
    let full = usize::try_from(limit).is_ok_and(|limit| items.len() >= limit);
    if full { items.last().map(cursor) } else { None }
}
