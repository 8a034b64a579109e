//! What a body takes its events from: a handler's future, which any stream of events can be made.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use tokio::runtime::Handle;

use crate::exclusive::Exclusive;
use crate::{
    BoxError,
    catch_panic::{CatchPanic, catch_and_log},
    channel::{Control, Ending, EventReceiver, EventSender, Segment, Taken, is_closed_send},
    encode::{Encode, EncodedEvent},
    event::Event,
    trace::{self, Span},
};

/// What a handler closure makes.
pub(crate) type BoxHandler = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

type Handled = CatchPanic<Result<(), BoxError>>;

/// Where the handler of a stream is.
#[derive(Debug)]
pub(super) enum Handler {
    /// It has returned, or there never was one: the events come from senders elsewhere.
    None,
    /// It is polled by the body, in the span of the stream.
    Inside(Exclusive<Handled>),
    /// It has a task.
    InTask { _task: AbortOnDrop },
    /// There is none, but something that gives segments when it is asked; and what the channel was
    /// left when there was nothing in it.
    Feed(Box<dyn Feed>, Option<Left>),
}

/// The waker that a channel was left, and how much had been told before.
#[derive(Debug)]
pub(super) struct Left {
    waker: Waker,
    told: u64,
}

/// A source that gives segments itself: past the channel, by which the stream is governed still.
pub(crate) trait Feed: Send + Sync {
    /// Returns what is ready, at most about 64 KiB or one event.
    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<Fed>;

    /// Returns what brings the client's last event ID up to date, if that is needed. Asked while
    /// nothing is ready.
    fn refresh(&mut self) -> Option<Segment>;

    /// Returns whether the client was too slow for it.
    fn has_lagged(&mut self) -> bool;
}

/// What a feed gives.
#[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "for the hub"))]
pub(crate) enum Fed {
    Segment(Segment),
    /// There will be nothing more.
    Ended,
    /// The client was too slow.
    Lagged,
}

impl Handler {
    pub(super) fn new(future: BoxHandler) -> Self {
        Self::Inside(Exclusive::new(CatchPanic::new("the handler", future)))
    }

    /// Moves the handler to a task.
    pub(super) fn spawn(&mut self, receiver: &EventReceiver, span: &Span) {
        if !matches!(self, Self::Inside(_)) {
            return;
        }
        let Self::Inside(future) = std::mem::replace(self, Self::None) else { return };
        let control = receiver.control();
        let Ok(runtime) = Handle::try_current() else {
            let error =
                "spawn_handler needs a tokio runtime, and there is none where the body is polled";
            control.fail(error.into());
            return;
        };
        let open = OpenUntilReturned { events: receiver.sender(), returned: false };
        let mut future = future.into_inner();
        let span = span.clone();
        let task = runtime.spawn(async move {
            let result = poll_fn(|cx| span.enter(|| Pin::new(&mut future).poll(cx))).await;
            fail(&control, result);
            open.returned();
        });
        *self = Self::InTask { _task: AbortOnDrop(task.abort_handle()) };
    }

    /// Polls the handler, if it is inside; not any more once the stream is closed.
    pub(super) fn poll(&mut self, receiver: &EventReceiver, span: &Span, cx: &mut Context<'_>) {
        let Self::Inside(future) = self else { return };
        let future = Pin::new(future.get_mut());
        match receiver.while_polling(|| span.enter(|| future.poll(cx))) {
            Some(Poll::Pending) => {}
            Some(Poll::Ready(result)) => {
                *self = Self::None;
                fail(&receiver.control(), result);
            }
            None => *self = Self::None,
        }
    }

    /// Takes the first piece of what is there, or sees to it that the body is woken.
    pub(super) fn take(&mut self, receiver: &EventReceiver, cx: &mut Context<'_>) -> Taken {
        let told = EventReceiver::told();
        if !self.is_quiet(told, cx) {
            match receiver.take(cx) {
                // The handler has dropped its sender, and does something else before it returns.
                Taken::Ended(Ending::NoSenders) if self.is_inside() => {}
                Taken::Nothing => {}
                taken => return taken,
            }
            self.leave(told, cx);
        }
        let Self::Feed(feed, _) = self else { return Taken::Nothing };
        match feed.poll_feed(cx) {
            Poll::Pending => return Taken::Nothing,
            Poll::Ready(Fed::Segment(segment)) => return Taken::Segment(segment),
            Poll::Ready(Fed::Ended) => *self = Self::None,
            Poll::Ready(Fed::Lagged) => receiver.evict(),
        }
        // How it has ended; by a cut, if there was one in between.
        receiver.take(cx)
    }

    /// Takes only what cannot wait: what the stream is asked, its end, and what senders wait for
    /// that have no room. The body is woken for these alone: a feed is not looked at, and so not told
    /// that anybody waits.
    pub(super) fn take_pressing(&mut self, receiver: &EventReceiver, cx: &Context<'_>) -> Taken {
        let told = EventReceiver::told();
        if self.is_quiet(told, cx) {
            return Taken::Nothing;
        }
        match receiver.take_pressing(cx) {
            Taken::Ended(Ending::NoSenders) if self.is_inside() => {}
            Taken::Nothing => {}
            taken => return taken,
        }
        self.leave(told, cx);
        Taken::Nothing
    }

    /// Returns whether the channel of a feed was left this waker, and nothing has been told since.
    fn is_quiet(&self, told: u64, cx: &Context<'_>) -> bool {
        let Self::Feed(_, Some(left)) = self else { return false };
        left.told == told && left.waker.will_wake(cx.waker())
    }

    /// Keeps what the channel of a feed has been left. What was told must have been read before.
    fn leave(&mut self, told: u64, cx: &Context<'_>) {
        let Self::Feed(_, left) = self else { return };
        match left {
            Some(left) if left.waker.will_wake(cx.waker()) => left.told = told,
            _ => *left = Some(Left { waker: cx.waker().clone(), told }),
        }
    }

    /// Returns whether more can come that is not of the channel.
    pub(super) fn is_inside(&self) -> bool {
        matches!(self, Self::Inside(_) | Self::Feed(..))
    }

    pub(super) fn feed(&mut self) -> Option<&mut dyn Feed> {
        match self {
            Self::Feed(feed, _) => Some(&mut **feed),
            _ => None,
        }
    }
}

impl fmt::Debug for dyn Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

/// Ends the stream as the handler did, if that was with an error. One that comes after the end has
/// nobody to be told to but the log.
fn fail<E: Into<BoxError>>(control: &Control, result: Result<Result<(), BoxError>, E>) {
    let Err(error) = result.map_err(Into::into).and_then(|handled| handled) else { return };
    if let Some(late) = control.fail(error).filter(|error| !is_closed_send(&**error)) {
        catch_and_log("the error's Display", || trace::failed_after_the_end(&*late));
    }
}

/// Keeps the stream open until the handler has returned, even if it has dropped its own sender; and
/// tells if it never does, because its runtime has shut down.
struct OpenUntilReturned {
    events: EventSender,
    returned: bool,
}

impl OpenUntilReturned {
    fn returned(mut self) {
        self.returned = true;
    }
}

impl Drop for OpenUntilReturned {
    fn drop(&mut self) {
        if !self.returned {
            self.events.fail("the handler's task was cancelled");
        }
    }
}

#[derive(Debug)]
pub(super) struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends all that a stream yields.
pub(super) async fn forward<S>(stream: S, events: EventSender) -> Result<(), BoxError>
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

/// What a stream may yield to be the source of a body: [`Event`] or [`EncodedEvent`], or a `Result`
/// of one of them whose error ends the body. This trait is sealed.
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
