//! `EventStreamExt`: adaptors for streams of events.

use futures_core::Stream;

#[cfg(feature = "json")]
use super::json::Json;
use crate::event::Event;

/// Adaptors for streams of events.
///
/// The trait is implemented for every stream whose items are `Result<Event, E>`:
/// [`EventStream`](super::EventStream), [`EventSource`](crate::EventSource), and the streams that
/// other adaptors make from them.
pub trait EventStreamExt: Stream<Item = Result<Event, Self::Error>> + Sized {
    /// The error of the stream's items.
    type Error;

    /// Deserializes the data of each event from JSON into a value of type `T`.
    ///
    /// Events without data, or with only white space, are skipped. See [`Json`] for the type of the
    /// last event, and for events that are errors.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use http_body_util::Full;
    /// use tower_sse::{EventStream, EventStreamExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_sse::BoxError> {
    /// let body = Full::<bytes::Bytes>::from("data: [1, 2]\n\ndata: [DONE]\n\n");
    /// let mut numbers = EventStream::new(body).until_data("[DONE]").json::<Vec<u32>>();
    /// assert_eq!(numbers.next().await.unwrap()?, [1, 2]);
    /// assert!(numbers.next().await.is_none());
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "json")]
    fn json<T: serde::de::DeserializeOwned>(self) -> Json<Self, T> {
        Json::new(self)
    }
}

impl<S, E> EventStreamExt for S
where
    S: Stream<Item = Result<Event, E>>,
{
    type Error = E;
}
