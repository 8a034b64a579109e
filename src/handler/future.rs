//! A response that is being decided upon.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Method, Response};

use super::handler::{Config, OnConnect};
use crate::{
    admission::{Permits, refused},
    body::EventBody,
    caught::{CaughtFuture, caught},
    connect::{Accept, Connect, Refusal},
};

/// The future of an [`EventChannelHandler`](super::EventChannelHandler)'s response: at once, unless
/// there is an `on_connect` to wait for.
#[must_use = "futures do nothing unless awaited"]
pub struct HandlerFuture<B> {
    state: State<B>,
    /// The request was a `HEAD`, so that no body may follow, whatever the answer is.
    is_head: bool,
}

enum State<B> {
    Ready(Box<Response<EventBody>>),
    Connecting(Connecting<B>),
    Done,
}

struct Connecting<B> {
    deciding: CaughtFuture<Result<Accept, Refusal>>,
    config: Arc<Config<B>>,
    body: B,
    permits: Permits,
}

const ON_CONNECT: &str = "on_connect";

impl<B> HandlerFuture<B> {
    pub(super) fn ready(response: Response<EventBody>, is_head: bool) -> Self {
        Self { state: State::Ready(Box::new(response)), is_head }
    }

    pub(super) fn connecting(
        on_connect: &OnConnect,
        connect: Connect,
        body: B,
        config: Arc<Config<B>>,
        permits: Permits,
    ) -> Self {
        let is_head = connect.method() == Method::HEAD;
        match caught(ON_CONNECT, || on_connect(connect)) {
            Err(panicked) => {
                refused("on_connect");
                Self::ready(Refusal::from(panicked).into_response(), is_head)
            }
            Ok(deciding) => {
                let deciding = CaughtFuture::new(ON_CONNECT, deciding);
                let connecting = Connecting { deciding, config, body, permits };
                Self { state: State::Connecting(connecting), is_head }
            }
        }
    }
}

impl<B: Send + 'static> Future for HandlerFuture<B> {
    type Output = Result<Response<EventBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let decided = match &mut this.state {
            State::Connecting(connecting) => {
                Some(ready!(Pin::new(&mut connecting.deciding).poll(cx)))
            }
            State::Ready(_) | State::Done => None,
        };
        let response = match (std::mem::replace(&mut this.state, State::Done), decided) {
            (State::Ready(response), _) => *response,
            (State::Connecting(connecting), Some(decided)) => {
                let Connecting { config, body, permits, .. } = connecting;
                let decided = decided.unwrap_or_else(|panicked| Err(panicked.into()));
                let decided = decided.inspect_err(|_| refused("on_connect"));
                let accepted = decided.and_then(|accept| config.accept(accept, body, permits));
                accepted.unwrap_or_else(Refusal::into_response)
            }
            (State::Connecting(_) | State::Done, _) => panic!("polled after it was ready"),
        };
        Poll::Ready(Ok(if this.is_head {
            response.map(|_| EventBody::default())
        } else {
            response
        }))
    }
}

/// The body is never pinned: it is only moved out, into the request.
impl<B> Unpin for HandlerFuture<B> {}

impl<B> fmt::Debug for HandlerFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ready(_) => "ready",
            State::Connecting(_) => "connecting",
            State::Done => "done",
        };
        f.debug_tuple("HandlerFuture").field(&format_args!("{state}")).finish()
    }
}
