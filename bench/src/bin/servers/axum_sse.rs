//! axum's own event streams. Each event is built once and cloned, which costs less than building it
//! for each stream.

use std::convert::Infallible;

use axum::{
    Router,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tower_sse_bench::{Mode, Workload};

use super::{Result, listen_tokio};

pub(super) async fn run(workload: Workload) -> Result<()> {
    let listener = listen_tokio(&workload)?;
    let (publisher, _) = broadcast::channel::<Event>(4096);
    if workload.mode == Mode::Fanout {
        let (workload, publisher) = (workload.clone(), publisher.clone());
        tokio::spawn(async move {
            let publish = |burst: &[String]| {
                for data in burst {
                    let _ = publisher.send(Event::default().data(data));
                }
            };
            workload.publish(publish).await;
        });
    }
    let app = Router::new().route("/", get(async move || stream_of(&workload, &publisher)));
    axum::serve(listener, app).await?;
    Ok(())
}

fn stream_of(workload: &Workload, publisher: &broadcast::Sender<Event>) -> Response {
    let data = workload.data();
    match workload.mode {
        Mode::Fanout => {
            let all = BroadcastStream::new(publisher.subscribe());
            let events = tokio_stream::StreamExt::filter_map(all, |event| event.ok().map(Ok));
            sse(events, workload)
        }
        Mode::Flood => sse(stream::repeat_with(move || Ok(Event::default().data(&data))), workload),
        Mode::Idle => {
            let first = async move { Ok(Event::default().data(&data)) };
            sse(stream::once(first).chain(stream::pending()), workload)
        }
    }
}

fn sse(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
    workload: &Workload,
) -> Response {
    let keep_alive = KeepAlive::new().interval(workload.keep_alive());
    Sse::new(events).keep_alive(keep_alive).into_response()
}
