//! A stream while it lasts: what the body does at each poll.
//!
//! ```text
//! poll ─▶ let the server write after 64 KiB ─▶ rest of a segment?     ─▶ out
//!                                           └▶ handler ─▶ channel ─▶ segment ─▶ out
//!                                                                 ├▶ nothing ─▶ greeting | keep-alive | pending
//!                                                                 └▶ ended   ─▶ greeting | error after a pause | end
//! ```

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Extensions;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::{
    alarm::Alarm,
    end::{EndReason, Record},
    options::StreamOptions,
    source::Handler,
};
use crate::{
    channel::{Ending, EventReceiver, Segment, Taken},
    event::Event,
    trace,
};

/// How much goes out between two times that the body is pending, in bytes. A server gathers all it
/// can get before it writes, and more than this leaves the cache.
const BUDGET: usize = 64 << 10;
/// How large the first segment may be, in bytes, to be copied behind the greeting. A larger one
/// follows it.
const JOINED: usize = 16 << 10;
/// How long what was sent before an error has to get out before the error takes the connection
/// down.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

pin_project! {
    /// The fields are dropped in this order: the handler first, then what its senders send to, and
    /// last the record, whose drop tells how the stream ended.
    #[derive(Debug)]
    pub(crate) struct Live {
        handler: Handler,
        receiver: EventReceiver,
        #[pin]
        alarm: Alarm,
        opening: Opening,
        // What is on its way out. Its bytes are what is left of them.
        outgoing: Segment,
        // Bytes given since the body was last pending.
        since_pending: usize,
        // When bytes last left, kept only for a keep-alive.
        last_left: Option<Instant>,
        // Some once the stream has failed and everything else is out.
        failed: Option<(Arc<dyn Error + Send + Sync>, Instant)>,
        record: Record,
    }

    impl PinnedDrop for Live {
        fn drop(this: Pin<&mut Self>) {
            this.leave();
        }
    }
}

/// What goes out before all else.
#[derive(Debug)]
enum Opening {
    /// The body was not polled. The buffer is the setting's, unless the channel came with its own.
    NotPolled {
        own_buffer: bool,
    },
    Ready(Bytes),
    Gone,
}

/// The end of a stream.
#[derive(Debug)]
pub(super) enum End {
    Finished,
    Failed(Arc<dyn Error + Send + Sync>),
}

impl Live {
    /// Makes a stream of a handler and the channel that it sends to.
    pub(super) fn with_handler(
        handler: Handler,
        receiver: EventReceiver,
        options: Arc<StreamOptions>,
        extensions: Extensions,
    ) -> Self {
        let record = Record::new(options, extensions, receiver.control());
        Self::new(handler, receiver, false, record)
    }

    /// Makes a stream of a channel alone.
    pub(super) fn with_channel(receiver: EventReceiver) -> Self {
        let options = Arc::new(StreamOptions::new());
        let record = Record::new(options, Extensions::new(), receiver.control());
        Self::new(Handler::None, receiver, true, record)
    }

    fn new(handler: Handler, receiver: EventReceiver, own_buffer: bool, record: Record) -> Self {
        Self {
            handler,
            receiver,
            alarm: Alarm::default(),
            opening: Opening::NotPolled { own_buffer },
            outgoing: Segment::default(),
            since_pending: 0,
            last_left: None,
            failed: None,
            record,
        }
    }

    pub(super) fn options_mut(self: Pin<&mut Self>) -> &mut StreamOptions {
        Arc::make_mut(&mut self.project().record.options)
    }

    /// Returns the next bytes, or how the stream ends.
    pub(super) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        if self.since_pending >= BUDGET {
            return Self::let_others(self.project().since_pending, cx);
        }
        if self.outgoing.bytes.is_empty() {
            match self.as_mut().poll_segment(cx) {
                Poll::Ready(Ok(segment)) => *self.as_mut().project().outgoing = segment,
                Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                Poll::Pending => {
                    *self.project().since_pending = 0;
                    return Poll::Pending;
                }
            }
        }
        // Events that go out together are counted together, so only a large one is ever cut.
        let too_long = self.outgoing.bytes.len() > BUDGET - self.since_pending;
        if too_long && self.outgoing.events > 1 && self.since_pending > 0 {
            return Self::let_others(self.project().since_pending, cx);
        }
        Poll::Ready(Ok(self.give()))
    }

    /// Returns whether all has been given, and nothing else can come: the end, known before it is
    /// asked for.
    pub(super) fn is_finished(&self) -> bool {
        self.outgoing.bytes.is_empty()
            && matches!(self.opening, Opening::Gone)
            && !self.handler.is_inside()
            && self.receiver.is_finished()
    }

    /// Ends the stream, for this reason.
    pub(super) fn end(self: Pin<&mut Self>, end: &End) {
        let record = self.project().record;
        (record.reason, record.error) = match end {
            End::Finished => (Some(EndReason::Finished), None),
            End::Failed(error) => (Some(EndReason::Failed), Some(error.clone())),
        };
    }

    /// Tells the senders that nobody reads any more, before the handler is dropped. If the stream
    /// had ended before its client left, that is the reason.
    fn leave(mut self: Pin<&mut Self>) {
        let ended = self.receiver.leave();
        if self.record.reason.is_some() {
            return;
        }
        let opened = matches!(self.opening, Opening::Gone);
        let all_given = opened && self.outgoing.bytes.is_empty();
        match ended {
            Some(Ending::Failed(error)) => self.as_mut().end(&End::Failed(error)),
            Some(Ending::Closed) if all_given => self.as_mut().end(&End::Finished),
            Some(Ending::NoSenders) if all_given && !self.handler.is_inside() => {
                self.as_mut().end(&End::Finished);
            }
            Some(Ending::Closed | Ending::NoSenders) | None => {}
        }
    }

    /// Gives what is outgoing, as much as the budget allows, and the opening with it or before it.
    fn give(self: Pin<&mut Self>) -> Bytes {
        let this = self.project();
        let mut opening = None;
        if let Opening::Ready(bytes) = std::mem::replace(this.opening, Opening::Gone) {
            if this.outgoing.bytes.len() <= JOINED {
                this.outgoing.bytes = [&bytes[..], &this.outgoing.bytes].concat().into();
            } else {
                opening = Some(bytes);
            }
        }
        let most = BUDGET - *this.since_pending;
        let bytes = if let Some(opening) = opening {
            opening
        } else if this.outgoing.bytes.len() > most {
            this.outgoing.bytes.split_to(most)
        } else {
            this.record.count_events(this.outgoing);
            std::mem::take(&mut this.outgoing.bytes)
        };
        *this.since_pending += bytes.len();
        this.record.count_bytes(&bytes);
        if this.last_left.is_some() {
            *this.last_left = Some(Instant::now());
        }
        bytes
    }

    /// Is pending once, so that the server writes what it has.
    fn let_others<T>(since_pending: &mut usize, cx: &Context<'_>) -> Poll<T> {
        *since_pending = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_segment(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Segment, End>> {
        self.as_mut().open();
        let this = self.as_mut().project();
        if this.failed.is_none() {
            this.handler.poll(this.receiver, cx);
            match this.receiver.take(cx) {
                Taken::Segment(segment) => return Poll::Ready(Ok(segment)),
                // The opening goes out alone.
                Taken::Nothing | Taken::Ended(_) if matches!(this.opening, Opening::Ready(_)) => {
                    return Poll::Ready(Ok(Segment::default()));
                }
                Taken::Nothing => return self.poll_keep_alive(cx),
                // It has dropped its sender, and does something else before it returns.
                Taken::Ended(Ending::NoSenders) if this.handler.is_inside() => {
                    return self.poll_keep_alive(cx);
                }
                Taken::Ended(Ending::Closed | Ending::NoSenders) => {
                    return Poll::Ready(Err(End::Finished));
                }
                Taken::Ended(Ending::Failed(error)) => {
                    *this.failed = Some((error, Instant::now() + ERROR_PAUSE));
                }
            }
        }
        self.poll_failed(cx).map(Err)
    }

    /// Does what is done once, at the first poll, when the settings are final.
    fn open(self: Pin<&mut Self>) {
        let this = self.project();
        let &mut Opening::NotPolled { own_buffer } = this.opening else { return };
        let options = &this.record.options;
        if !own_buffer {
            this.receiver.set_buffer(options.buffer);
        }
        if options.in_task {
            this.handler.spawn(this.receiver);
        }
        if options.keep_alive.as_ref().is_some_and(|keep_alive| keep_alive.idle().is_some()) {
            *this.last_left = Some(Instant::now());
        }
        let mut opening = Event::default();
        if options.greeting {
            opening = opening.with_comment("connected");
        }
        if let Some(retry) = &options.retry {
            opening = opening.with_retry(retry.draw());
        }
        *this.opening = if options.greeting || options.retry.is_some() {
            Opening::Ready(opening.encode().to_bytes())
        } else {
            Opening::Gone
        };
    }

    fn poll_keep_alive(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Segment, End>> {
        let this = self.project();
        let (Some(keep_alive), Some(last_left)) =
            (&this.record.options.keep_alive, *this.last_left)
        else {
            return Poll::Pending;
        };
        // None where it is beyond what the clock can tell.
        let Some(due) = keep_alive.idle().and_then(|idle| last_left.checked_add(idle)) else {
            return Poll::Pending;
        };
        let Some(rung) = this.alarm.poll_at(due, cx) else {
            trace::no_runtime("keep_alive");
            *this.last_left = None;
            return Poll::Pending;
        };
        ready!(rung);
        Poll::Ready(Ok(Segment {
            bytes: keep_alive.bytes(),
            last_id: keep_alive.id(),
            ..Segment::default()
        }))
    }

    fn poll_failed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = self.project();
        let Some((error, at)) = this.failed else { return Poll::Pending };
        if let Some(rung) = this.alarm.poll_at(*at, cx) {
            ready!(rung);
        }
        Poll::Ready(End::Failed(error.clone()))
    }
}
