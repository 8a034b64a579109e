//! A response that is being decided upon.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;

use super::handler::{Config, Connecting};
use crate::{
    body::EventBody,
    caught::{CaughtFuture, caught},
    connect::{Accept, Connect, Refusal},
};

/// The future of an [`EventChannelHandler`](super::EventChannelHandler)'s response: at once, unless there is an
/// `on_connect` to wait for.
#[must_use = "futures do nothing unless awaited"]
pub struct HandlerFuture<B> {
    state: State<B>,
}

enum State<B> {
    Ready(Box<Response<EventBody>>),
    Connecting { deciding: CaughtFuture<Result<Accept, Refusal>>, config: Arc<Config<B>>, body: B },
    Done,
}

const ON_CONNECT: &str = "on_connect";

impl<B> HandlerFuture<B> {
    pub(super) fn ready(response: Response<EventBody>) -> Self {
        Self { state: State::Ready(Box::new(response)) }
    }

    pub(super) fn connecting(config: Arc<Config<B>>, connect: Connect, body: B) -> Self {
        let Some(on_connect) = config.on_connect.clone() else {
            return Self { state: State::Done };
        };
        match caught(ON_CONNECT, || on_connect(connect)) {
            Err(panicked) => Self::ready(Refusal::from(panicked).into_response()),
            Ok(deciding) => Self::deciding(deciding, config, body),
        }
    }

    fn deciding(deciding: Connecting, config: Arc<Config<B>>, body: B) -> Self {
        let deciding = CaughtFuture::new(ON_CONNECT, deciding);
        Self { state: State::Connecting { deciding, config, body } }
    }
}

impl<B: Send + 'static> Future for HandlerFuture<B> {
    type Output = Result<Response<EventBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let decided = match &mut this.state {
            State::Connecting { deciding, .. } => Some(ready!(Pin::new(deciding).poll(cx))),
            State::Ready(_) | State::Done => None,
        };
        let response = match (std::mem::replace(&mut this.state, State::Done), decided) {
            (State::Ready(response), _) => *response,
            (State::Connecting { config, body, .. }, Some(decided)) => {
                match decided.unwrap_or_else(|panicked| Err(panicked.into())) {
                    Ok(accept) => {
                        let (parts, head, ()) = accept.into_parts();
                        config.accept(parts, head, body)
                    }
                    Err(refusal) => refusal.into_response(),
                }
            }
            (State::Connecting { .. } | State::Done, _) => return Poll::Pending,
        };
        Poll::Ready(Ok(response))
    }
}

/// The body is never pinned: it is only moved out, into the request.
impl<B> Unpin for HandlerFuture<B> {}

impl<B> fmt::Debug for HandlerFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ready(_) => "ready",
            State::Connecting { .. } => "connecting",
            State::Done => "done",
        };
        f.debug_tuple("HandlerFuture").field(&format_args!("{state}")).finish()
    }
}
