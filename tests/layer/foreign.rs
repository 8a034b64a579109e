//! Event streams of other services: bodies, and any text that may be one.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tokio::time::{Sleep, sleep};
use tower_sse::{BoxError, Event, layer::SseBody, parse::EventParser};

/// A body that yields chunks, each after a pause, and then ends, fails or waits.
pub(crate) struct Foreign {
    chunks: VecDeque<(Duration, Bytes)>,
    last: Last,
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Last {
    Ends,
    Fails,
    Waits,
}

impl Foreign {
    pub(crate) fn new<C: Into<Bytes>>(
        chunks: impl IntoIterator<Item = (u64, C)>,
        last: Last,
    ) -> Self {
        let chunks = chunks.into_iter();
        let chunks = chunks.map(|(pause, chunk)| (Duration::from_millis(pause), chunk.into()));
        Self { chunks: chunks.collect(), last, pause: None }
    }
}

impl Body for Foreign {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some((pause, _)) = self.chunks.front().cloned() else {
            return match self.last {
                Last::Ends => Poll::Ready(None),
                Last::Fails => Poll::Ready(Some(Err("the model is gone".into()))),
                Last::Waits => Poll::Pending,
            };
        };
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(pause)));
        if pause.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.pause = None;
        let (_, chunk) = self.chunks.pop_front().unwrap();
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

pub(crate) fn stream(body: Foreign) -> Response<Foreign> {
    let builder = Response::builder().header("content-type", "text/event-stream; charset=utf-8");
    builder.body(body).unwrap()
}

pub(crate) async fn read(body: SseBody<Foreign>) -> (Vec<u8>, Option<BoxError>) {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().unwrap()),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

/// The lines of streams, in every spelling.
pub(crate) fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("data: x".to_owned()),
        Just("data".to_owned()),
        Just("id: 7".to_owned()),
        Just("event: e".to_owned()),
        Just("retry: 5".to_owned()),
        Just(": a comment".to_owned()),
        Just("nonsense".to_owned()),
        Just(String::new()),
        Just(String::new()),
        "[a:\u{feff} ]{0,4}",
    ];
    let end = prop_oneof![Just("\n"), Just("\r"), Just("\r\n")];
    let lines = prop::collection::vec((line, end), 0..20);
    (any::<bool>(), lines, any::<bool>()).prop_map(|(has_mark, lines, is_cut)| {
        let mut text = if has_mark { "\u{feff}".to_owned() } else { String::new() };
        for (line, end) in lines {
            text.push_str(&line);
            text.push_str(end);
        }
        if is_cut {
            text.push_str("data: cut");
        }
        text
    })
}

pub(crate) fn parse(bytes: &[u8]) -> Vec<Event> {
    let mut parser = EventParser::new();
    parser.push(Bytes::copy_from_slice(bytes));
    let mut events = Vec::new();
    while let Some(event) = parser.next_event() {
        events.push(event.unwrap());
    }
    events
}
