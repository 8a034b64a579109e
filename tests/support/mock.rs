//! A service that responds by a script and records its requests.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::time::Instant;
use tower_sse::{BoxError, EventSource, Update};

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The response to a request.
pub(crate) enum Answer {
    /// 200, these bytes, a clean end.
    Ends(&'static str),
    /// 200, these bytes, then the connection is cut.
    Cut(&'static str),
    /// 200, these bytes, then silence.
    Stays(&'static str),
    /// 200 and a body.
    Body(Body),
    /// A status, headers and no body.
    Status(u16, &'static [(&'static str, &'static str)]),
    /// The service fails.
    Refused,
    /// The service never responds.
    Never,
}

/// A request that was made.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| std::str::from_utf8(value.as_bytes()).unwrap())
    }
}

#[derive(Clone, Default)]
pub(crate) struct Mock {
    script: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Mock {
    /// Responds in this order, and then to no further request.
    pub(crate) fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        let script = script.into_iter().collect();
        Self { script: Arc::new(Mutex::new(script)), asked: Arc::default() }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Returns the last event ID of each request.
    pub(crate) fn ids(&self) -> Vec<Option<String>> {
        self.asked().iter().map(|asked| asked.header("last-event-id").map(str::to_owned)).collect()
    }

    /// Returns how many services share this script.
    pub(crate) fn copies(&self) -> usize {
        Arc::strong_count(&self.script)
    }

    pub(crate) fn source(&self) -> EventSource {
        EventSource::get(self.clone(), "http://server/events")
    }
}

pub(crate) fn body(
    chunks: impl IntoIterator<Item = &'static str>,
    end: impl futures_util::Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static,
) -> Body {
    let chunks: Vec<_> =
        chunks.into_iter().map(|chunk| Ok(Frame::data(Bytes::from(chunk)))).collect();
    StreamBody::new(stream::iter(chunks).chain(end)).boxed_unsync()
}

fn answer(answer: Answer) -> Result<Response<Body>, BoxError> {
    let open =
        |body| Response::builder().header("content-type", "text/event-stream").body(body).unwrap();
    Ok(match answer {
        Answer::Ends(text) => open(body([text], stream::empty())),
        Answer::Cut(text) => {
            let reset = io::Error::from(io::ErrorKind::ConnectionReset);
            open(body([text], stream::iter([Err(reset)])))
        }
        Answer::Stays(text) => open(body([text], stream::pending())),
        Answer::Body(body) => open(body),
        Answer::Status(status, headers) => {
            let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(body([], stream::empty())).unwrap()
        }
        Answer::Refused => return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        Answer::Never => unreachable!("it is never answered"),
    })
}

impl tower::Service<Request<Full<Bytes>>> for Mock {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let next = self.script.lock().unwrap().pop_front();
        let asked = self.asked.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let (method, uri) = (head.method, head.uri.to_string());
            let at = Instant::now();
            asked.lock().unwrap().push(Asked { method, uri, headers: head.headers, body, at });
            match next {
                None | Some(Answer::Never) => std::future::pending().await,
                Some(next) => answer(next),
            }
        })
    }
}

/// Returns the updates of a source in short form, until it has ended, waits for more than a day, or
/// got no answer within the default header timeout: the script has come to its end.
pub(crate) async fn reported(source: EventSource) -> Vec<String> {
    let mut updates = source.updates();
    let mut reported = Vec::new();
    let never = std::time::Duration::from_secs(60 * 60 * 24);
    while let Ok(Some(update)) = tokio::time::timeout(never, updates.next()).await {
        reported.push(match update {
            Ok(Update::Opened(opened)) => format!("opened {}", opened.attempt),
            Ok(Update::Event(event)) => format!("event {}", event.data()),
            Ok(Update::Block(block)) => {
                let id = block.id().map_or("none", |id| id.as_str());
                format!("block, id {id}, retry {:?}", block.retry().map(|time| time.as_millis()))
            }
            Ok(Update::Comment(text)) => format!("comment{}", text.as_str()),
            Ok(Update::Reconnecting(again))
                if again.cause.to_string() == "no response head within 30s" =>
            {
                break;
            }
            Ok(Update::Reconnecting(again)) => {
                format!("again {} in {}: {}", again.attempt, again.delay.as_millis(), again.cause)
            }
            Ok(other) => format!("{other:?}"),
            Err(error) if error.is_fatal() => format!("fatal: {error}"),
            Err(error) => format!("error: {error}"),
        });
    }
    reported
}
