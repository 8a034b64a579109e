//! tower-sse, by its handler.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::sync::broadcast::{self, error::RecvError};
use tower_sse::{
    Buffer, EncodedEvent, Event, EventChannelHandler, KeepAlive, event_channel_handler,
};
use tower_sse_bench::{Mode, Workload};

use super::{Result, listen_tokio};

pub(super) async fn on_axum(workload: Workload) -> Result<()> {
    let listener = listen_tokio(&workload)?;
    let app = Router::new().route_service("/", handler(workload));
    axum::serve(listener, app).await?;
    Ok(())
}

/// The recipe "Serve streams alone" of the docs: HTTP/1 without a choice, and
/// no router.
pub(super) async fn on_hyper(workload: Workload) -> Result<()> {
    let listener = listen_tokio(&workload)?;
    let service = TowerToHyperService::new(handler(workload));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new());
    loop {
        let (stream, _) = listener.accept().await?;
        let connection = server.serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(async move { connection.await.is_ok() });
    }
}

fn handler<B: Send + 'static>(workload: Workload) -> EventChannelHandler<B> {
    let keep_alive = KeepAlive::every(workload.keep_alive());
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
    handler.keep_alive(keep_alive)
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
