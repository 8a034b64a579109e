//! Late commit: the head of a response waits for the first event, so that a failure before it decides the
//! status.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Response, StatusCode};
use tokio::time::Instant;

use super::limits::count_refusal;
use crate::{
    body::EventBody,
    connect::Refusal,
    timer::{LazyTimer, saturating_add},
};

/// A stream whose head has not gone out.
pub(super) struct Committing {
    /// `None` once the head has gone out.
    body: Option<EventBody>,
    /// How long the head waits.
    within: Duration,
    /// When the head goes out in any case. `None` before the first poll.
    until: Option<Instant>,
    timer: LazyTimer,
}

impl Committing {
    pub(super) fn new(body: EventBody, within: Duration) -> Self {
        Self { body: Some(body), within, until: None, timer: LazyTimer::default() }
    }
}

impl Future for Committing {
    /// The stream, or the response instead of it.
    type Output = Result<EventBody, Response<EventBody>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { panic!("polled after completion") };
        if let Poll::Ready(committed) = body.poll_commit(cx) {
            // After a failure, the handler is dropped here.
            let body = this.body.take().unwrap_or_default();
            return Poll::Ready(committed.map(|()| body).map_err(|error| {
                count_refusal("handler");
                Refusal::response_in(&*error).unwrap_or_else(|| {
                    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR).into_http_response()
                })
            }));
        }
        let until = *this.until.get_or_insert_with(|| saturating_add(Instant::now(), this.within));
        // Without a runtime, there is no time to wait for.
        if this.timer.poll_at(until, cx).is_none_or(|polled| polled.is_ready()) {
            body.release();
            return Poll::Ready(Ok(this.body.take().unwrap_or_default()));
        }
        Poll::Pending
    }
}

impl EventBody {
    /// Waits for the first event before it wraps the body in a response, so that a handler which fails before
    /// its first event is answered with a status of its own.
    ///
    /// The response is that of [`into_http_response`](Self::into_http_response) if there is an event, the stream ends
    /// without an error, or `within` is over. Then the stream has begun, and later errors cut it short as
    /// usual. If the handler returns an error or panics before that, the response is the
    /// [`Refusal`] that the error [contains](Refusal::into_error), or else a 500. The error is logged, and
    /// [`on_disconnect`](Self::on_disconnect) is called, as for any stream that fails. It counts as a refusal too.
    ///
    /// Keep `within` short: a client, or a proxy, may give up a request without an answer, and a browser's
    /// `open` event waits as long. A browser's `EventSource` does not reconnect after a status other than 200; for
    /// browsers, use [`Refusal::retry_later`]. Without a tokio runtime it does not wait.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use std::time::Duration;
    /// use http::StatusCode;
    /// use tower_sse::{EventBody, Refusal};
    ///
    /// let body = EventBody::new(|_events| async move {
    ///     // The model has no capacity.
    ///     Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS).into_error())
    /// });
    /// let response = body.into_response_within(Duration::from_secs(2)).await;
    /// assert_eq!(response.status(), 429);
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the stream ends as if the client had left.
    pub async fn into_response_within(self, within: Duration) -> Response<Self> {
        match Committing::new(self, within).await {
            Ok(body) => body.into_http_response(),
            Err(response) => response,
        }
    }
}
