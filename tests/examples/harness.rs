//! A server that answers by a script, and takes the callbacks of `contract_service`.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};

use crate::support::{http::Server, process::PATIENCE};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The response of the server to a request for a stream.
pub(crate) enum Answer {
    /// These chunks, and then the end.
    Ends(&'static [&'static [u8]]),
    /// These chunks, and then silence.
    Holds(&'static [&'static [u8]]),
    Status(u16, &'static [(&'static str, &'static str)]),
}

/// A server of streams that also takes callbacks, like the harness of the contract tests.
pub(crate) struct Harness {
    pub(crate) server: Server,
    pub(crate) requests: UnboundedReceiver<(request::Parts, Bytes)>,
    pub(crate) callbacks: UnboundedReceiver<(String, Value)>,
}

impl Harness {
    /// Responds in this order, and then with a stream that is silent.
    pub(crate) async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let script: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(script.into_iter().collect()));
        let (request_sender, requests) = unbounded_channel();
        let (callback_sender, callbacks) = unbounded_channel();
        let senders = Senders { requests: request_sender, callbacks: callback_sender };
        let server = Server::start(tower::service_fn(move |request| {
            let (script, senders) = (script.clone(), senders.clone());
            async move { Ok::<_, Infallible>(serve(request, &script, senders).await) }
        }));
        Self { server: server.await, requests, callbacks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    pub(crate) async fn request(&mut self) -> (request::Parts, Bytes) {
        timeout(PATIENCE, self.requests.recv()).await.expect("a request").unwrap()
    }

    /// Returns the next callback, which must have this number.
    pub(crate) async fn callback(&mut self, number: u32) -> Value {
        let (path, value) =
            timeout(PATIENCE, self.callbacks.recv()).await.expect("a callback").unwrap();
        assert_eq!(path, format!("/callback/{number}"), "{value}");
        value
    }

    pub(crate) async fn nothing_comes(&mut self) {
        let wait = Duration::from_millis(500);
        assert!(timeout(wait, self.requests.recv()).await.is_err(), "a request");
    }
}

#[derive(Clone)]
pub(crate) struct Senders {
    pub(crate) requests: UnboundedSender<(request::Parts, Bytes)>,
    pub(crate) callbacks: UnboundedSender<(String, Value)>,
}

pub(crate) async fn serve(
    request: Request<Incoming>,
    script: &Mutex<VecDeque<Answer>>,
    senders: Senders,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    if head.uri.path().starts_with("/callback") {
        senders
            .callbacks
            .send((head.uri.path().to_owned(), serde_json::from_slice(&body).unwrap()))
            .unwrap();
        return response(202, &[], stream::empty());
    }
    senders.requests.send((head, body)).unwrap();
    let answer = script.lock().unwrap().pop_front().unwrap_or(Answer::Holds(&[]));
    let frames = |chunks: &'static [&'static [u8]]| {
        stream::iter(chunks).map(|chunk| Ok(Frame::data(Bytes::from_static(chunk)))).then(
            |frame| async {
                // Each chunk is a write of its own.
                tokio::time::sleep(Duration::from_millis(5)).await;
                frame
            },
        )
    };
    let event_stream = &[("content-type", "text/event-stream")];
    match answer {
        Answer::Ends(chunks) => response(200, event_stream, frames(chunks)),
        Answer::Holds(chunks) => {
            response(200, event_stream, frames(chunks).chain(stream::pending()))
        }
        Answer::Status(status, headers) => response(status, headers, stream::empty()),
    }
}

pub(crate) fn response(
    status: u16,
    headers: &[(&str, &str)],
    frames: impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + 'static,
) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(StreamBody::new(frames).boxed_unsync()).unwrap()
}
