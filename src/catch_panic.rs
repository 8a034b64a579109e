//! Runs application code and contains its panics.

use std::{
    any::Any,
    error::Error,
    fmt,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::trace;

/// The error of application code that panicked, with the panic's message.
#[derive(Debug)]
pub(crate) struct Panicked {
    /// The name of the code, for example `on_connect`.
    place: &'static str,
    message: String,
}

/// Runs `f` and returns an error if it panics. After a panic the caller must drop the values that
/// `f` changes, because they may be half changed.
pub(crate) fn catch_panic<T>(place: &'static str, f: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(f))
        .map_err(|payload| Panicked { place, message: message(payload) })
}

/// Runs `f` and logs its panic, if any.
pub(crate) fn catch_and_log(place: &'static str, f: impl FnOnce()) {
    if let Err(panicked) = catch_panic(place, f) {
        trace::panicked(panicked.place, &panicked.message);
    }
}

fn message(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    // The payload is a value of the application, and its drop may panic too.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
    text.unwrap_or_else(|| "no message".into())
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} panicked: {}", self.place, self.message)
    }
}

impl Error for Panicked {}

/// Polls a future of the application. It completes with an error if the future panics.
pub(crate) fn poll_and_catch<T>(
    place: &'static str,
    future: Pin<&mut (dyn Future<Output = T> + Send)>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, Panicked>> {
    match catch_panic(place, || future.poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    }
}

/// A boxed future of the application, whose panics are caught when it is polled and dropped.
pub(crate) struct CatchPanic<T> {
    place: &'static str,
    /// `None` after it has returned or panicked.
    future: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
}

impl<T> CatchPanic<T> {
    pub(crate) fn new(
        place: &'static str,
        future: Pin<Box<dyn Future<Output = T> + Send>>,
    ) -> Self {
        Self { place, future: Some(future) }
    }
}

impl<T> Future for CatchPanic<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let place = self.place;
        let Some(future) = &mut self.future else { return Poll::Pending };
        let result = ready!(poll_and_catch(place, future.as_mut(), cx));
        self.drop_future();
        Poll::Ready(result)
    }
}

impl<T> CatchPanic<T> {
    /// Drops the future. A panic of its drop is logged.
    fn drop_future(&mut self) {
        let future = self.future.take();
        catch_and_log(self.place, || drop(future));
    }
}

impl<T> Drop for CatchPanic<T> {
    fn drop(&mut self) {
        self.drop_future();
    }
}
