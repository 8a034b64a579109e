//! The model of nodes, over NATS.

use tower_sse::hub::backend::nats::NatsBackend;

use crate::server::NatsServer;

#[test]
fn readers_get_everything_in_order_on_all_nodes() {
    let server = NatsServer::start();
    crate::nodes_model::run(40, |log, builder| {
        let name = format!("log-{log}");
        let backend = NatsBackend::builder(server.url()).max_bytes(1 << 20).stream(&name);
        let backend = backend.prefix(&name);
        async move { builder.open(backend.connect().await.unwrap()).await.unwrap() }
    });
}
