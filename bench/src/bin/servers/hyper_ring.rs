//! The limit of a hyper body. Events are encoded once, into a ring that all streams share, and
//! events that are published together are one frame. It has no topics, bounds, limits or ends of
//! streams.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use axum::{Router, routing::get};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Response, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep};
use tower_sse_bench::{Mode, Workload};

use super::{Result, listen_tokio};

/// The number of frames that are kept.
const KEPT: usize = 64;
/// How many bytes a flood yields before it lets the server write.
const BUDGET: usize = 64 << 10;

#[derive(Default)]
struct Ring {
    frames: VecDeque<Bytes>,
    /// The position of the first frame.
    first: usize,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

type Shared = Arc<Mutex<Ring>>;

/// The same ring under `axum::serve`, to show the cost of `axum::serve` itself.
pub(super) async fn on_axum(workload: Workload) -> Result<()> {
    let listener = listen_tokio(&workload)?;
    let ring = ring(&workload);
    let stream = async move || {
        (
            [(CONTENT_TYPE, "text/event-stream")],
            axum::body::Body::new(Stream::new(&workload, &ring)),
        )
    };
    axum::serve(listener, Router::new().route("/", get(stream))).await?;
    Ok(())
}

fn ring(workload: &Workload) -> Shared {
    let ring = Shared::default();
    if workload.mode == Mode::Fanout {
        let (workload, ring) = (workload.clone(), ring.clone());
        tokio::spawn(async move { workload.publish(|burst| publish(&ring, burst)).await });
    }
    ring
}

pub(super) async fn run(workload: Workload) -> Result<()> {
    let listener = listen_tokio(&workload)?;
    let ring = ring(&workload);
    let workload = Arc::new(workload);
    let server = http1::Builder::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let (workload, ring) = (workload.clone(), ring.clone());
        let service = service_fn(move |_| {
            let stream = Stream::new(&workload, &ring);
            async move {
                let response = Response::builder().header(CONTENT_TYPE, "text/event-stream");
                Ok::<_, Infallible>(response.body(stream).expect("it is a response"))
            }
        });
        let connection = server.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move { connection.await.is_ok() });
    }
}

fn publish(ring: &Shared, burst: &[String]) {
    let mut frame = BytesMut::with_capacity(burst.iter().map(|data| data.len() + 8).sum());
    for data in burst {
        encode(data, &mut frame);
    }
    let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
    ring.frames.push_back(frame.freeze());
    if ring.frames.len() > KEPT {
        ring.frames.pop_front();
        ring.first += 1;
    }
    ring.wakers.iter_mut().filter_map(Option::take).for_each(Waker::wake);
}

fn encode(data: &str, buffer: &mut BytesMut) {
    buffer.put_slice(b"data: ");
    buffer.put_slice(data.as_bytes());
    buffer.put_slice(b"\n\n");
}

enum Stream {
    Fanout { ring: Shared, next: usize, slot: usize },
    Flood { data: String, given: usize },
    Idle { first: Option<Bytes>, alarm: Pin<Box<Sleep>>, every: std::time::Duration },
}

impl Stream {
    fn new(workload: &Workload, shared: &Shared) -> Self {
        match workload.mode {
            Mode::Fanout => {
                let mut ring = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let next = ring.first + ring.frames.len();
                let slot = ring.free.pop().unwrap_or_else(|| {
                    ring.wakers.push(None);
                    ring.wakers.len() - 1
                });
                Self::Fanout { ring: shared.clone(), next, slot }
            }
            Mode::Flood => Self::Flood { data: workload.data(), given: 0 },
            Mode::Idle => {
                let every = workload.keep_alive();
                let mut first = BytesMut::new();
                encode(&workload.data(), &mut first);
                Self::Idle { first: Some(first.freeze()), alarm: Box::pin(sleep(every)), every }
            }
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut *self {
            Self::Fanout { ring, next, slot } => {
                let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
                *next = (*next).max(ring.first);
                let Some(frame) = ring.frames.get(*next - ring.first).cloned() else {
                    ring.wakers[*slot] = Some(cx.waker().clone());
                    return Poll::Pending;
                };
                *next += 1;
                frame
            }
            Self::Flood { data, given } => {
                if *given >= BUDGET {
                    *given = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let mut buffer = BytesMut::with_capacity(BUDGET + data.len() + 8);
                while buffer.len() < BUDGET {
                    encode(data, &mut buffer);
                }
                *given += buffer.len();
                buffer.freeze()
            }
            Self::Idle { first, alarm, every } => match first.take() {
                Some(first) => first,
                None => {
                    std::task::ready!(alarm.as_mut().poll(cx));
                    alarm.as_mut().reset(Instant::now() + *every);
                    Bytes::from_static(b": keep-alive\n\n")
                }
            },
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Self::Fanout { ring, slot, .. } = self {
            let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            ring.wakers[*slot] = None;
            ring.free.push(*slot);
        }
    }
}
