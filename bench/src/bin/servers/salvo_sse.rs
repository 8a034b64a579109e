//! salvo's event streams. The text is shared, and each event is built for each stream.

use std::{convert::Infallible, sync::Arc};

use futures_util::stream::{self, Stream, StreamExt as _};
use salvo::{
    Depot, FlowCtrl, Handler, Request, Response, Router, Server, async_trait,
    conn::tcp::TcpAcceptor,
    sse::{SseEvent, SseKeepAlive},
};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tower_sse_bench::{Mode, Workload};

use super::{Result, listen_tokio};

struct Streams {
    workload: Workload,
    publisher: broadcast::Sender<Arc<str>>,
}

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
    let router = Router::new().get(Streams { workload, publisher });
    Server::new(TcpAcceptor::try_from(listener)?).serve(router).await;
    Ok(())
}

#[async_trait]
impl Handler for Streams {
    async fn handle(&self, _: &mut Request, _: &mut Depot, res: &mut Response, _: &mut FlowCtrl) {
        let data = self.workload.data();
        match self.workload.mode {
            Mode::Fanout => {
                let all = BroadcastStream::new(self.publisher.subscribe());
                let events = tokio_stream::StreamExt::filter_map(all, |data| {
                    data.ok().map(|data| Ok(SseEvent::default().text(&*data)))
                });
                self.stream(events, res);
            }
            Mode::Flood => {
                let events =
                    stream::repeat_with(move || Ok(SseEvent::default().text(data.as_str())));
                self.stream(events, res);
            }
            Mode::Idle => {
                let first = async move { Ok(SseEvent::default().text(data)) };
                self.stream(stream::once(first).chain(stream::pending()), res);
            }
        }
    }
}

impl Streams {
    fn stream(
        &self,
        events: impl Stream<Item = Result<SseEvent, Infallible>> + Send + 'static,
        res: &mut Response,
    ) {
        SseKeepAlive::new(events).max_interval(self.workload.keep_alive()).stream(res);
    }
}
