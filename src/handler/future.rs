//! A response that is being decided upon.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;

use super::handler::Handling;
use crate::{admission::Entering, body::EventBody};

/// The future of an [`EventChannelHandler`](super::EventChannelHandler)'s response: at once, unless
/// there is an `on_connect` to wait for.
#[must_use = "futures do nothing unless awaited"]
pub struct HandlerFuture<B>(pub(super) Entering<(), Handling<B>>);

impl<B: Send + 'static> Future for HandlerFuture<B> {
    type Output = Result<Response<EventBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.get_mut().0).poll(cx)
    }
}

impl<B> fmt::Debug for HandlerFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HandlerFuture").field(&self.0).finish()
    }
}
