//! A stream of JSON values, read from the data of events.

use std::{
    error::Error,
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use http::response;
use pin_project_lite::pin_project;
use serde::de::DeserializeOwned;

use super::{chunks::StepLimit, event_stream::EventStream};
use crate::{
    chain::write_chain,
    event::{Event, JsonError},
    excerpt::Excerpt,
};

/// How many characters of an event's data a message shows.
const MAX_SHOWN: usize = 160;

pin_project! {
    /// The stream that [`EventStreamExt::json`](super::EventStreamExt::json) returns.
    ///
    /// Events without data, or with only white space, are skipped, unless their type
    /// [counts as an error](Self::fail_on).
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use http_body_util::Full;
    /// use tower_sse::{EventStream, EventStreamExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
    /// let body = Full::<bytes::Bytes>::from(
    ///     "event: delta\ndata: 7\n\nevent: ping\ndata:\n\nevent: error\ndata: \"overloaded\"\n\n",
    /// );
    /// let mut numbers = EventStream::new(body).json::<u32>().fail_on("error");
    /// assert_eq!(numbers.next().await.unwrap()?, 7);
    /// assert_eq!(numbers.last_event().unwrap().event_type(), "delta");
    ///
    /// let error = numbers.next().await.unwrap().unwrap_err();
    /// assert_eq!(error.to_string(), r#"the server sent an event of type "error": "overloaded""#);
    /// # Ok(()) }
    /// ```
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct Json<S, T> {
        #[pin]
        stream: S,
        // The types of events that are errors.
        failing: Vec<String>,
        // The event that the last value was read from.
        last_event: Option<Event>,
        value: PhantomData<fn() -> T>,
    }
}

impl<S, T> Json<S, T> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, failing: Vec::new(), last_event: None, value: PhantomData }
    }

    /// Makes each event of this type an error, [`JsonItemError::Failed`], without reading its data. It can be called for several types.
    ///
    /// Servers report a failure in the middle of a stream as an event, often of the type `error`. A
    /// value type with default fields could otherwise take such an event for a success. The stream continues
    /// after the error.
    pub fn fail_on(mut self, event_type: impl Into<String>) -> Self {
        self.failing.push(event_type.into());
        self
    }

    /// Returns the event that the last value was read from: for example, to read its type.
    #[must_use]
    pub fn last_event(&self) -> Option<&Event> {
        self.last_event.as_ref()
    }

    /// Returns the inner stream of events.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the inner stream of events, for example to close it.
    ///
    /// An event that is read from it directly is not read as a value.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Returns the inner stream of events. No event is lost.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<B, T> Json<EventStream<B>, T> {
    /// Returns the head of the response: see [`EventStream::head`].
    #[must_use]
    pub fn head(&self) -> Option<&response::Parts> {
        self.stream.head()
    }
}

impl<S, T, E> Stream for Json<S, T>
where
    S: Stream<Item = Result<Event, E>>,
    T: DeserializeOwned,
{
    type Item = Result<T, JsonItemError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let mut limit = StepLimit::default();
        loop {
            ready!(limit.poll_step(cx));
            let event = match ready!(this.stream.as_mut().poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(JsonItemError::Stream(error)))),
                Some(Ok(event)) => event,
            };
            if this.failing.iter().any(|failing| event.event_type() == failing.as_str()) {
                return Poll::Ready(Some(Err(JsonItemError::Failed(Box::new(event)))));
            }
            if event.data().trim().is_empty() {
                continue;
            }
            return Poll::Ready(Some(match event.parse_json() {
                Ok(value) => {
                    *this.last_event = Some(event);
                    Ok(value)
                }
                Err(error) => Err(JsonItemError::Json(error, Box::new(event))),
            }));
        }
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Json<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The error of an item of [`Json`].
///
/// `{:#}` also shows the sources of the error.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonItemError<E> {
    /// The inner stream returned an error.
    Stream(E),
    /// The data of this event is not JSON of the expected type. The stream continues with the next
    /// event.
    Json(JsonError, Box<Event>),
    /// The server sent an event of a type that [counts as an error](Json::fail_on). The stream
    /// continues with the next event.
    Failed(Box<Event>),
}

impl<E: fmt::Display> fmt::Display for JsonItemError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(error) => error.fmt(f),
            Self::Json(error, event) => {
                let (event_type, shown) = (type_of(event), shown(event.data(), error));
                write!(f, "{error}, in an event of type {event_type:?}: {shown}")?;
                write_chain(f, error)
            }
            Self::Failed(event) => {
                let shown = Excerpt::new(event.data(), MAX_SHOWN);
                write!(f, "the server sent an event of type {:?}: {shown}", type_of(event))
            }
        }
    }
}

impl<E: Error> Error for JsonItemError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stream(error) => error.source(),
            Self::Json(error, _) => error.source(),
            Self::Failed(_) => None,
        }
    }
}

/// Returns the type of an event, as a message shows it.
fn type_of(event: &Event) -> String {
    Excerpt::new(event.event_type().as_str(), MAX_SHOWN).to_string()
}

/// Returns the piece of the data that a message shows: its start, or the part around the error, if
/// the error is not near the start.
fn shown<'a>(data: &'a str, error: &JsonError) -> Excerpt<'a> {
    let end = error.offset(data);
    let start = end.saturating_sub(MAX_SHOWN / 2);
    let start = if end < MAX_SHOWN { 0 } else { start };
    let start = (start..=data.len()).find(|&at| data.is_char_boundary(at)).unwrap_or_default();
    Excerpt::new(&data[start..], MAX_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_piece_of_the_data_is_where_the_error_is() {
        let error = |data: &str| Event::new(data).parse_json::<Vec<u32>>().unwrap_err();
        for (data, expected) in [
            ("{".to_owned(), "{"),
            ("<html>\n<body>".to_owned(), "<html> <body>"),
            (format!("[{}ä]", "1, ".repeat(200)), "1, ä]"),
            (format!("[\n{}x]", "1,\n".repeat(200)), "1, x]"),
        ] {
            let shown = shown(&data, &error(&data)).to_string();
            assert!(shown.ends_with(expected), "{shown}");
            assert!(shown.chars().count() <= MAX_SHOWN + 1, "{shown}");
        }
    }
}
