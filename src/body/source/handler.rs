//! A handler that runs inside its body.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use crate::{
    BoxError,
    catch_panic::{Panicked, catch_and_log, catch_panic, poll_and_catch},
    channel::{EventReceiver, is_closed_send},
    exclusive::Exclusive,
    trace::{self, Span},
};

/// Calls a handler closure with its request and sender.
pub(crate) type StartHandler = Box<dyn FnOnce() -> BoxHandler + Send>;

/// The future that a handler closure returns.
pub(crate) type BoxHandler = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// How a handler's future ended, or its panic.
pub(super) type HandlerResult = Result<Result<(), BoxError>, Panicked>;

/// The settings of a handler that its source needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HandlerSettings {
    /// The buffer of its channel.
    pub(crate) buffer: crate::channel::Buffer,
    /// Whether the handler runs in a task of its own.
    pub(crate) spawn: bool,
    /// How long a sender outside of the body may wait.
    pub(crate) send_timeout: Option<Duration>,
}

/// A handler that its body polls, and the channel that it sends to.
///
/// The handler has a waker of its own, which is the channel. So the body knows whether the handler
/// was woken, and polls it only then: after a frame the server polls the body again at once, and an
/// event that is ready must not wait until the handler has computed the next one.
#[derive(Debug)]
pub(in crate::body) struct Handler {
    /// The channel that the handler sends to.
    pub(super) receiver: EventReceiver,
    /// The channel as the waker of the handler.
    waker: Waker,
    /// The handler. It is only `Send`.
    future: Exclusive<RunningHandler>,
}

impl Handler {
    pub(super) fn new(start: StartHandler, receiver: EventReceiver, spawn: bool) -> Self {
        let waker = receiver.handler_waker();
        let future = Exclusive::new(RunningHandler(Stage::NotStarted(start, spawn)));
        Self { receiver, waker, future }
    }

    /// Polls the handler in the span of the stream.
    #[inline]
    pub(super) fn poll(&mut self, span: &Span) -> Poll<HandlerResult> {
        let mut cx = Context::from_waker(&self.waker);
        let future = Pin::new(self.future.get_mut());
        span.enter(|| future.poll(&mut cx))
    }

    /// Ends the stream with the handler's error, if it has one. Returns the channel.
    pub(super) fn finish(self, result: HandlerResult) -> EventReceiver {
        if let Some(error) = error_of(result) {
            let error: Arc<dyn std::error::Error + Send + Sync> = Arc::from(error);
            log_late_error(self.receiver.fail(error));
        }
        self.receiver
    }

    /// Returns whether the handler has yet to move to a task.
    pub(super) fn must_spawn(&mut self) -> bool {
        matches!(self.future.get_mut().0, Stage::NotStarted(_, true))
    }

    pub(super) fn into_parts(self) -> (EventReceiver, RunningHandler) {
        (self.receiver, self.future.into_inner())
    }
}

/// The future of a handler, which starts at its first poll. Its panics are caught, when it is
/// polled and when it is dropped.
///
/// The closure with its request is freed when the handler has started. An `async` block around both
/// would keep room for the request as long as the stream lasts.
pub(super) struct RunningHandler(Stage);

enum Stage {
    /// The closure, and whether the handler moves to a task before it starts.
    NotStarted(StartHandler, bool),
    Started(BoxHandler),
    /// The handler has returned or panicked.
    Done,
}

const HANDLER: &str = "the handler";

impl RunningHandler {
    /// Drops the closure or the future. A panic of its drop is logged.
    fn finish(&mut self) {
        let stage = mem::replace(&mut self.0, Stage::Done);
        if !matches!(stage, Stage::Done) {
            catch_and_log(HANDLER, || drop(stage));
        }
    }
}

impl Future for RunningHandler {
    type Output = HandlerResult;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HandlerResult> {
        let this = self.get_mut();
        if let Stage::NotStarted(..) = this.0 {
            if let Stage::NotStarted(start, _) = mem::replace(&mut this.0, Stage::Done) {
                match catch_panic(HANDLER, start) {
                    Ok(future) => this.0 = Stage::Started(future),
                    Err(panicked) => return Poll::Ready(Err(panicked)),
                }
            }
        }
        let Stage::Started(future) = &mut this.0 else { return Poll::Pending };
        let result = ready!(poll_and_catch(HANDLER, future.as_mut(), cx));
        this.finish();
        Poll::Ready(result)
    }
}

impl Drop for RunningHandler {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Returns the error that a handler ended with.
pub(super) fn error_of(result: HandlerResult) -> Option<BoxError> {
    result.map_err(BoxError::from).and_then(|handled| handled).err()
}

/// Logs an error that came after the end of the stream. Nothing else can report it.
pub(super) fn log_late_error(error: Option<Arc<dyn std::error::Error + Send + Sync>>) {
    if let Some(error) = error.filter(|error| !is_closed_send(&**error)) {
        catch_and_log("the error's Display", || trace::failed_after_the_end(&*error));
    }
}
