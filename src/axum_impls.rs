//! With the feature `axum`: responses and an extractor for axum's handlers.

use std::{future::poll_fn, pin::Pin};

use axum_core::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use http::{StatusCode, request};
use http_body::Body as _;

use crate::{
    body::EventBody,
    connect::{Connect, InvalidLastEventId, LastEventId, Refusal},
};

/// How much of the body of a rejection is kept, in bytes.
const MAX_REJECTION: usize = 64 << 10;

impl Connect {
    /// Runs an extractor of axum on the head of the request, for example `Path`, `Query` or `TypedHeader`.
    ///
    /// # Errors
    ///
    /// A rejection becomes a refusal with its status, its headers, and the first 64 KiB of its body.
    ///
    /// ```
    /// use axum::extract::Path;
    /// use tower_sse::{Hub, hub::Selection};
    ///
    /// # #[cfg(feature = "hub")]
    /// let rooms = Hub::new().handler(|mut connect| async move {
    ///     let Path(room) = connect.extract::<Path<String>>().await?;
    ///     Ok(connect.accept().subscribe(Selection::new([format!("room.{room}")])?.last(50)))
    /// });
    /// # #[cfg(feature = "hub")]
    /// let app: axum::Router = axum::Router::new().route_service("/rooms/{room}/events", rooms);
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub async fn extract<E: FromRequestParts<()>>(&mut self) -> Result<E, Refusal> {
        self.extract_with(&()).await
    }

    /// Runs an extractor that needs the state of the application, as [`extract`](Self::extract) does.
    ///
    /// # Errors
    ///
    /// As [`extract`](Self::extract).
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub async fn extract_with<E: FromRequestParts<S>, S: Send + Sync>(
        &mut self,
        state: &S,
    ) -> Result<E, Refusal> {
        match E::from_request_parts(self.parts_mut(), state).await {
            Ok(extracted) => Ok(extracted),
            Err(rejection) => Err(refusal(rejection.into_response()).await),
        }
    }
}

/// Makes a refusal of a rejection, whose body is in memory.
async fn refusal(response: Response) -> Refusal {
    let (head, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let data = frame.into_data().unwrap_or_default();
        let room = MAX_REJECTION - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if bytes.len() == MAX_REJECTION {
            break;
        }
    }
    Refusal::from_response(Response::from_parts(head, bytes.freeze()))
}

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
