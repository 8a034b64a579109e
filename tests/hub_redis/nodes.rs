//! The model of nodes, over Redis.

use tower_sse::hub::backend::redis::RedisBackend;

use crate::redis_server::Redis;

#[test]
fn readers_get_everything_in_order_on_all_nodes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Redis::with(&["--appendonly", "no"]));
    crate::nodes_model::run(40, |log, builder| {
        let backend = RedisBackend::builder(server.url()).log(format!("log-{log}"));
        async move { builder.open(backend.connect().await.unwrap()).await.unwrap() }
    });
}
