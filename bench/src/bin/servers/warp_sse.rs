//! warp's event streams. Its events cannot be cloned, so each event is built for each stream.

use std::{convert::Infallible, sync::Arc};

use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tower_sse_bench::{Mode, Workload};
use warp::{
    Filter as _, Reply,
    reply::Response,
    sse::{Event, keep_alive},
};

use super::{Result, listen_tokio};

pub(super) async fn run(workload: Workload) -> Result<()> {
    let listener = listen_tokio(&workload)?;
    let (publisher, _) = broadcast::channel::<Arc<str>>(4096);
    if workload.mode == Mode::Fanout {
        let (workload, publisher) = (workload.clone(), publisher.clone());
        tokio::spawn(async move {
            let publish = |burst: &[String]| {
                for data in burst {
                    let _ = publisher.send(data.as_str().into());
                }
            };
            workload.publish(publish).await;
        });
    }
    let streams = warp::path::end().and(warp::get()).map(move || stream_of(&workload, &publisher));
    warp::serve(streams).incoming(listener).run().await;
    Ok(())
}

fn stream_of(workload: &Workload, publisher: &broadcast::Sender<Arc<str>>) -> Response {
    let data = workload.data();
    match workload.mode {
        Mode::Fanout => {
            let all = BroadcastStream::new(publisher.subscribe());
            let events = tokio_stream::StreamExt::filter_map(all, |data| {
                data.ok().map(|data| Ok(Event::default().data(&*data)))
            });
            reply(events, workload)
        }
        Mode::Flood => {
            reply(stream::repeat_with(move || Ok(Event::default().data(data.as_str()))), workload)
        }
        Mode::Idle => {
            let first = async move { Ok(Event::default().data(data)) };
            reply(stream::once(first).chain(stream::pending()), workload)
        }
    }
}

fn reply(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + Sync + 'static,
    workload: &Workload,
) -> Response {
    let events = keep_alive().interval(workload.keep_alive()).stream(events);
    warp::sse::reply(events).into_response()
}
