//! tower-sse: its hub, and its handler, each under `axum::serve` and on hyper's HTTP/1 alone.

use std::convert::Infallible;

use axum::Router;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, error::RecvError},
};
use tower_service::Service;
use tower_sse::{
    Buffer, Connect, EncodedEvent, Event, EventBody, EventChannelHandler, Hub, KeepAlive,
    event_channel_handler,
    hub::{HubHandler, Publication, Selection, Topic},
};
use tower_sse_bench::{Mode, Workload};

use super::{Result, listen_tokio};

type Hyper = Request<Incoming>;
type Axum = Request<axum::body::Body>;

pub(super) async fn hub_on_axum(workload: Workload) -> Result<()> {
    serve_axum(listen_tokio(&workload)?, hub(workload)?).await
}

pub(super) async fn hub_on_hyper(workload: Workload) -> Result<()> {
    serve_hyper(listen_tokio(&workload)?, hub(workload)?).await
}

pub(super) async fn handler_on_axum(workload: Workload) -> Result<()> {
    serve_axum(listen_tokio(&workload)?, handler(workload)).await
}

pub(super) async fn handler_on_hyper(workload: Workload) -> Result<()> {
    serve_hyper(listen_tokio(&workload)?, handler(workload)).await
}

async fn serve_axum<S>(listener: TcpListener, service: S) -> Result<()>
where
    S: Service<Axum, Response = Response<EventBody>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    axum::serve(listener, Router::new().route_service("/", service)).await?;
    Ok(())
}

/// Serves as in the recipe "Serve streams alone" of the docs: with HTTP/1 only, and without a
/// router.
async fn serve_hyper<S>(listener: TcpListener, service: S) -> Result<()>
where
    S: Service<Hyper, Response = Response<EventBody>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
{
    // A handler is always ready, so `call` needs no `poll_ready`.
    let service = service_fn(move |request| service.clone().call(request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = server.serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move { connection.await.is_ok() });
    }
}

/// All streams read one topic. If each stream starts with an event, that event is the state of a
/// key.
fn hub(workload: Workload) -> Result<HubHandler> {
    let hub = Hub::new();
    let topic = Topic::try_from("all")?;
    let mut topics = Selection::new([topic.clone()])?;
    match workload.mode {
        Mode::Fanout => {
            let (hub, workload) = (hub.clone(), workload.clone());
            tokio::spawn(publish(hub, topic, workload));
        }
        Mode::Idle => {
            topics = topics.with_state();
            let state = Publication::new(topic, workload.data()).key("state");
            let hub = hub.clone();
            tokio::spawn(async move { hub.publish_all([state]).await.expect("it is small") });
        }
        Mode::Flood => return Err("a hub has no events for one stream alone".into()),
    }
    let handler = hub.handler(move |connect: Connect| {
        let topics = topics.clone();
        async move { Ok(connect.accept().subscribe(topics)) }
    });
    // A window of zero turns batching off.
    Ok(handler.keep_alive(KeepAlive::every(workload.keep_alive())).batch_window(workload.window()))
}

async fn publish(hub: Hub, topic: Topic, workload: Workload) {
    let mut pace = workload.pace();
    loop {
        pace.tick().await;
        let burst =
            (0..workload.burst).map(|_| Publication::new(topic.clone(), workload.stamped()));
        hub.publish_all(burst).await.expect("they are small");
    }
}

fn handler<B: Send + 'static>(workload: Workload) -> EventChannelHandler<B> {
    let (keep_alive, window) = (KeepAlive::every(workload.keep_alive()), workload.window());
    let handler = match workload.mode {
        Mode::Fanout => fanout(workload),
        Mode::Flood => event_channel_handler(move |_, events| {
            let data = workload.data();
            async move {
                loop {
                    events.send(Event::new(&data)).await?;
                }
            }
        }),
        Mode::Idle => event_channel_handler(move |_, events| {
            let data = workload.data();
            async move {
                events.send(Event::new(data)).await?;
                std::future::pending().await
            }
        }),
    };
    handler.keep_alive(keep_alive).batch_window(window)
}

fn fanout<B: Send + 'static>(workload: Workload) -> EventChannelHandler<B> {
    let (publisher, _) = broadcast::channel::<EncodedEvent>(4096);
    let all = publisher.clone();
    tokio::spawn(async move {
        let publish = |burst: &[String]| {
            for data in burst {
                let _ = publisher.send(Event::new(data).encode());
            }
        };
        workload.publish(publish).await;
    });
    let handler = event_channel_handler(move |_, events| {
        let mut all = all.subscribe();
        async move {
            loop {
                match all.recv().await {
                    Ok(event) => events.send(event).await?,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                }
            }
        }
    });
    handler.buffer(Buffer::fixed(256))
}
