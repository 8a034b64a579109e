//! Where a body takes its events from.

mod external;
mod handler;
mod stream;
mod task;

use std::{
    mem,
    task::{Context, Poll},
};

pub use self::stream::StreamItem;
pub(super) use self::stream::forward;
use self::{external::External, handler::Handler, task::Task};
pub(crate) use self::{
    external::ExternalSource,
    handler::{BoxHandler, HandlerSettings, StartHandler},
};
use crate::{
    channel::{ChannelEnd, EventReceiver, Interest, Polled, Segment},
    lifecycle::{StopRequest, StreamHandle},
    shutdown::Shutdown,
    trace::Span,
};

/// Where a body takes its events from. Every source gives [`Polled`] items.
#[derive(Debug)]
pub(super) enum Source {
    /// A channel without a handler. A handler that has returned is replaced by its channel.
    Channel(EventReceiver),
    /// A handler that the body polls, and the channel that it sends to.
    Handler(Handler),
    /// A handler that runs in a task, and the channel that it sends to.
    Task(Task),
    /// A source that produces segments itself and has no channel: a reader of a hub, or the body of another
    /// service.
    External(External),
    /// The source was dropped at the end of the stream.
    Ended,
}

impl Source {
    pub(super) fn handler(
        start: StartHandler,
        receiver: EventReceiver,
        settings: HandlerSettings,
    ) -> Self {
        receiver.set_send_timeout(settings.send_timeout);
        Self::Handler(Handler::new(start, receiver, settings.spawn))
    }

    pub(super) fn external(source: Box<dyn ExternalSource>) -> Self {
        Self::External(External::new(source))
    }

    /// Does what is due before the first poll: moves the handler to a task, if the settings say so.
    pub(super) fn start(&mut self, span: &Span) {
        let Self::Handler(handler) = self else { return };
        if !handler.must_spawn() {
            return;
        }
        let Self::Handler(handler) = mem::replace(self, Self::Ended) else { return };
        *self = match handler.spawn_task(span) {
            Ok(task) => Self::Task(task),
            Err(receiver) => Self::Channel(receiver),
        };
    }

    /// Returns the next item, or stores the waker.
    #[inline]
    pub(super) fn poll(
        &mut self,
        interest: Interest,
        span: &Span,
        shutdown: Option<&Shutdown>,
        cx: &mut Context<'_>,
    ) -> Polled {
        match self {
            Self::Channel(receiver) | Self::Task(Task { receiver, .. }) => {
                receiver.poll(interest, cx)
            }
            Self::External(external) => external.poll(interest.hold, shutdown, cx),
            Self::Ended => Polled::End(ChannelEnd::Closed),
            Self::Handler(handler) => {
                let with_handler = Interest { handler: true, ..interest };
                match handler.receiver.poll(with_handler, cx) {
                    Polled::HandlerWoken => {}
                    polled => return polled,
                }
                if let Poll::Ready(result) = handler.poll(span) {
                    let Self::Handler(handler) = mem::replace(self, Self::Ended) else {
                        return Polled::Empty;
                    };
                    let receiver = handler.finish(result);
                    let polled = receiver.poll_after_handler(interest, cx);
                    *self = Self::Channel(receiver);
                    return polled;
                }
                handler.receiver.poll_after_handler(with_handler, cx)
            }
        }
    }

    /// Returns whether a block may be inserted here.
    pub(super) fn is_between_events(&self) -> bool {
        match self {
            Self::External(external) => external.is_between_events(),
            _ => true,
        }
    }

    /// Returns the event that updates the client's last event ID, if it needs an update. Called
    /// when nothing else is ready.
    pub(super) fn refresh(&mut self) -> Option<Segment> {
        match self {
            Self::External(external) => external.refresh(),
            _ => None,
        }
    }

    /// Returns whether the stream may use a grace period. A reader of a hub has nothing to finish.
    pub(super) fn has_grace(&self) -> bool {
        match self {
            Self::External(external) => external.has_grace(),
            _ => true,
        }
    }

    /// Tells the senders that a graceful end has begun.
    pub(super) fn begin_ending(&self) {
        if let Some(receiver) = self.receiver() {
            receiver.begin_ending();
        }
    }

    /// Ends the stream, and returns whether it had not ended before. Queued events still go out.
    pub(super) fn close(&mut self) -> bool {
        match self {
            Self::External(external) => external.close(),
            _ => self.receiver().is_some_and(EventReceiver::close),
        }
    }

    /// Takes a stop request that the body has not taken yet.
    pub(super) fn take_stop_request(&self) -> Option<StopRequest> {
        match self {
            Self::External(external) => external.take_stop_request(),
            _ => self.receiver()?.take_stop_request(),
        }
    }

    /// Returns whether the stream has ended without an error, and everything was taken.
    pub(super) fn is_finished(&self) -> bool {
        self.receiver().is_some_and(EventReceiver::is_finished)
    }

    /// Returns the handle with which a shutdown ends the stream.
    pub(super) fn handle(&mut self) -> Option<StreamHandle> {
        match self {
            Self::External(external) => Some(external.handle()),
            _ => self.receiver().map(EventReceiver::handle),
        }
    }

    /// Tells the senders that the stream is not read any more. Returns how it had ended before.
    pub(super) fn abandon(&mut self) -> Option<ChannelEnd> {
        match self {
            Self::External(external) => external.abandon(),
            Self::Handler(handler) => match handler.receiver.abandon() {
                // The handler still runs, so the stream had not ended.
                Some(ChannelEnd::NoSenders) => None,
                end => end,
            },
            _ => self.receiver()?.abandon(),
        }
    }

    /// Returns how many events the buffer has dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.receiver().map_or(0, EventReceiver::dropped)
    }

    fn receiver(&self) -> Option<&EventReceiver> {
        match self {
            Self::Channel(receiver)
            | Self::Handler(Handler { receiver, .. })
            | Self::Task(Task { receiver, .. }) => Some(receiver),
            Self::External(_) | Self::Ended => None,
        }
    }
}
