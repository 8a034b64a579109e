//! A stream of JSON values, read from the data of events.

use std::{
    error::Error,
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;
use serde::de::DeserializeOwned;

use crate::event::{Event, JsonError};

pin_project! {
    /// The stream that [`EventStreamExt::json`](super::EventStreamExt::json) returns.
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Json<S, T> {
        #[pin]
        stream: S,
        value: PhantomData<fn() -> T>,
    }
}

impl<S, T> Json<S, T> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, value: PhantomData }
    }

    /// Returns the inner stream of events.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S, T, E> Stream for Json<S, T>
where
    S: Stream<Item = Result<Event, E>>,
    T: DeserializeOwned,
{
    type Item = Result<T, JsonItemError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.project().stream.poll_next(cx));
        Poll::Ready(item.map(|event| {
            let event = event.map_err(JsonItemError::Stream)?;
            event.parse_json().map_err(|error| JsonItemError::Json(error, Box::new(event)))
        }))
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Json<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The error of an item of [`Json`]: the inner stream failed, or the data of an event is not JSON
/// of the expected type.
///
/// After [`JsonItemError::Json`] the stream continues with the next event.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonItemError<E> {
    /// The inner stream returned an error.
    Stream(E),
    /// The data of this event is not JSON of the expected type.
    Json(JsonError, Box<Event>),
}

impl<E: fmt::Display> fmt::Display for JsonItemError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Json(error, event) => {
                write!(f, "{error}, in the data of an event of type {:?}", event.event_type())
            }
        }
    }
}

impl<E: Error> Error for JsonItemError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stream(error) => error.source(),
            Self::Json(error, _) => error.source(),
        }
    }
}
