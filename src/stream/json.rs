//! A stream of events as a stream of values.

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
    /// The stream that [`EventStreamExt::json`](super::EventStreamExt::json) makes.
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

    /// Returns the stream of events.
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

/// The error of one item of a stream of values. After data that is not the JSON it should be, the
/// stream goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonItemError<E> {
    /// The stream failed.
    Stream(E),
    /// The data of an event, which is given back, is not JSON of this type.
    Json(JsonError, Box<Event>),
}

impl<E: fmt::Display> fmt::Display for JsonItemError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Json(error, event) => {
                write!(f, "{error}: an event of the type {:?}", event.event_type())
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
