//! Many topics that end and expire, in Redis.

use tower_sse::hub::backend::redis::RedisBackend;

use crate::redis_server::Redis;

#[tokio::test]
async fn topics_that_have_ended_and_expired_give_all_memory_back() {
    let server = Redis::with(&["--appendonly", "no"]).await;
    let open = |builder: tower_sse::hub::HubBuilder| {
        // The log itself keeps a few entries, and is trimmed again and again.
        let backend = RedisBackend::builder(server.url()).max_entries(2000);
        async move { builder.open(backend.connect().await.unwrap()).await.unwrap() }
    };
    let is_large = std::env::var_os("TOWER_SSE_TOPICS").is_some();
    let memory = || async {
        // The IDs of appends are kept for two minutes. A short run does not wait for that, and counts the
        // streams of topics.
        if !is_large {
            let keys: Vec<String> = server.run_command(&["KEYS", "*:topic:job.*"]).await;
            return 1 + keys.len() as u64;
        }
        let info: String = server.run_command(&["INFO", "memory"]).await;
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        used.unwrap().trim().parse().unwrap()
    };
    crate::scale::run(if is_large { "Redis, bytes" } else { "Redis, streams" }, open, memory).await;
}
