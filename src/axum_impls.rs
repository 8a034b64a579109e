//! With the feature `axum`: responses and an extractor for axum's handlers.

use axum_core::{
    body::Body,
    extract::OptionalFromRequestParts,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request};

use crate::{
    body::EventBody,
    connect::{InvalidLastEventId, LastEventId, Refusal},
};

/// The response of [`EventBody::into_http_response`], for axum's handlers.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for EventBody {
    fn into_response(self) -> Response {
        self.into_http_response().map(Body::new)
    }
}

/// The response of [`Refusal::into_http_response`], for axum's handlers.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.into_http_response().map(Body::new)
    }
}

/// A 400 that says what is wrong.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for InvalidLastEventId {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.to_string()).into_response()
    }
}

/// Extracts the last event ID from the header, or else from the query: `Option<LastEventId>` is an argument of axum's
/// handlers.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Sync> OptionalFromRequestParts<S> for LastEventId {
    type Rejection = InvalidLastEventId;

    async fn from_request_parts(
        parts: &mut request::Parts,
        _: &S,
    ) -> Result<Option<Self>, InvalidLastEventId> {
        match Self::from_headers(&parts.headers)? {
            None => Self::from_query(&parts.uri),
            found => Ok(found),
        }
    }
}
