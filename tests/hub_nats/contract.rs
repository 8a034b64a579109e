//! The backend keeps the contract.

use std::sync::Arc;

use tower_sse::hub::backend::{
    nats::NatsBackend,
    testing::{self, Subject},
};

use crate::server::{NatsServer, Proxy};

/// An empty log on a server of its own, with all hooks.
async fn subject() -> Subject<NatsBackend> {
    let server = Arc::new(NatsServer::start());
    let proxy = Arc::new(Proxy::start(server.address()).await);
    let connect = |url: String| NatsBackend::builder(url).max_bytes(64 << 20).connect();
    let backend = connect(proxy.url()).await.unwrap();
    let node = connect(server.url()).await.unwrap();
    let [trim, recreate, lose_end, start, end] = [(); 5].map(|()| server.clone());
    Subject::new(backend)
        .with_node(node)
        .on_trim(move |at| {
            let server = trim.clone();
            async move { server.client().await.trim("events", at.major()).await }
        })
        .on_recreate(move || {
            let server = recreate.clone();
            async move { server.client().await.delete("events").await }
        })
        .on_lose_end(move |after| {
            let server = lose_end.clone();
            async move {
                server.kill();
                server.truncate("events", after.major());
                server.restart();
            }
        })
        .on_outage(
            move || {
                start.kill();
                async {}
            },
            move || {
                end.restart();
                async {}
            },
        )
        .on_lose_answer(move || {
            proxy.lose_answer();
            async {}
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    let report = testing::run_all(subject).await;
    println!("{report}");
    report.assert_all_kept();
}
