//! Any stream of events as a handler.

use std::{future::poll_fn, pin::pin};

use futures_core::Stream;

use crate::{
    BoxError,
    channel::EventSender,
    encode::{Encode, EncodedEvent},
    event::Event,
};

/// Sends everything that a stream yields.
pub(in crate::body) async fn forward<S>(stream: S, events: EventSender) -> Result<(), BoxError>
where
    S: Stream + Send,
    S::Item: StreamItem,
{
    let mut stream = pin!(stream);
    while let Some(item) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
        let event = sealed::StreamItem::into_event(item)?;
        events.send(event).await?;
    }
    Ok(())
}

/// An item of a stream that a body can be made of: [`Event`], [`EncodedEvent`], or a `Result` with
/// one of them, whose error ends the body. This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "a stream of `{Self}` is not a stream of events",
    label = "expected the items to be `Event`, `EncodedEvent` or a `Result` of one of them",
    note = "text becomes an event with `.map(Event::new)`"
)]
pub trait StreamItem: sealed::StreamItem {}

impl<T: sealed::StreamItem> StreamItem for T {}

mod sealed {
    use super::{BoxError, Encode, EncodedEvent, Event};

    pub trait StreamItem: Send {
        type Event: Encode;

        fn into_event(self) -> Result<Self::Event, BoxError>;
    }

    impl StreamItem for Event {
        type Event = Self;

        fn into_event(self) -> Result<Self, BoxError> {
            Ok(self)
        }
    }

    impl StreamItem for EncodedEvent {
        type Event = Self;

        fn into_event(self) -> Result<Self, BoxError> {
            Ok(self)
        }
    }

    impl<T: Encode, E: Into<BoxError> + Send> StreamItem for Result<T, E> {
        type Event = T;

        fn into_event(self) -> Result<T, BoxError> {
            self.map_err(Into::into)
        }
    }
}
