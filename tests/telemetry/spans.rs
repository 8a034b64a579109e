//! Spans: one for each stream, in which its handler is polled, without secrets.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Request;
use tower_sse::{Connect, Event, EventBody, event_channel_handler};

use crate::support::{
    http::{call, get},
    log::Log,
    meter::counting,
    read_text,
};

#[test]
fn a_body_without_a_request_has_a_span() {
    let log = Log::start();
    let ((), _) = counting(async {
        let mut body = EventBody::new(|_| async { Ok(()) });
        while body.next_chunk().await.is_some() {}
    });
    let spans = log.spans();
    assert_eq!(spans.len(), 1);
    assert!(spans[0].starts_with("event_stream reason=\"finished\" events=0 bytes=12 duration="));
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn the_handler_is_polled_in_the_span_of_its_request() {
    use tracing::Instrument as _;

    use tracing_subscriber::{Registry, registry::LookupSpan as _};

    fn span_name() -> &'static str {
        tracing::Span::current().metadata().map_or("none", tracing::Metadata::name)
    }

    /// Returns the names of the current spans, from the outermost.
    fn scope() -> String {
        let span = tracing::Span::current();
        let names = span.with_subscriber(|(id, dispatch)| {
            let registry = dispatch.downcast_ref::<Registry>().unwrap();
            let scope = registry.span(id).unwrap().scope().from_root();
            scope.map(|span| span.name()).collect::<Vec<_>>()
        });
        names.unwrap().join(">")
    }

    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry());
    let handler = event_channel_handler::<_, _, ()>(|_, events| async move {
        for _ in 0..2 {
            events.send(Event::new(scope())).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    });
    for handler in [handler.clone(), handler.spawn_handler()] {
        let span = tracing::info_span!("request");
        let response = async { call(&handler, get("/")).await }.instrument(span).await;
        // The server polls the body outside of that span.
        assert_eq!(span_name(), "none");
        let text = read_text(response.into_body()).await;
        let scope = "data: request>event_stream\n\n";
        assert_eq!(text, format!(": connected\n{scope}{scope}"));
        assert_eq!(span_name(), "none");
    }
}

/// Which spans have closed, and what they follow.
#[cfg(feature = "tracing")]
#[derive(Clone, Default)]
struct Closed(Arc<Mutex<Vec<String>>>);

#[cfg(feature = "tracing")]
impl<S> tracing_subscriber::Layer<S> for Closed
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn on_follows_from(
        &self,
        span: &tracing::span::Id,
        follows: &tracing::span::Id,
        context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let name = |id| context.span(id).unwrap().name();
        self.0.lock().unwrap().push(format!("{} follows {}", name(span), name(follows)));
    }

    fn on_close(&self, id: tracing::span::Id, context: tracing_subscriber::layer::Context<'_, S>) {
        self.0.lock().unwrap().push(format!("{} has ended", context.span(&id).unwrap().name()));
    }
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn the_span_of_a_head_ends_while_the_stream_is_open() {
    use tracing_subscriber::layer::SubscriberExt as _;

    let closed = Closed::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(closed.clone()));
    let seen = || std::mem::take(&mut *closed.0.lock().unwrap());
    let handler = event_channel_handler::<_, _, ()>(|_, _| std::future::pending()).on_connect(
        |connect: Connect| async move {
            assert_eq!(tracing::Span::current().metadata().unwrap().name(), "event_stream_head");
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(tracing::Span::current().metadata().unwrap().name(), "event_stream_head");
            Ok(connect.accept())
        },
    );
    let response = call(&handler, get("/")).await;
    assert_eq!(seen(), ["event_stream follows event_stream_head", "event_stream_head has ended"]);
    drop(response);
    assert_eq!(seen(), ["event_stream has ended"]);

    let log = Log::start();
    let handler = event_channel_handler::<_, _, ()>(|_, _| std::future::pending())
        .route("/rooms/{id}")
        .max_streams(1);
    let request = Request::get("/rooms/7?x=y").header("last-event-id", "5").body(()).unwrap();
    let first = call(&handler, request).await;
    drop(call(&handler, get("/rooms/8")).await);
    drop(first);
    let spans = log.spans();
    let head = "event_stream_head method=\"GET\" path=\"/rooms/7\" last_event_id=\"5\" route=\"/rooms/{id}\" status=200";
    assert_eq!(spans[0], head);
    assert!(spans[1].starts_with("event_stream method=\"GET\" path=\"/rooms/7\" route=\"/rooms/{id}\" last_event_id=\"5\""), "{}", spans[1]);
    assert_eq!(
        spans[2],
        "event_stream_head method=\"GET\" path=\"/rooms/8\" route=\"/rooms/{id}\" status=503"
    );
}

#[tokio::test(start_paused = true)]
async fn the_query_is_neither_shown_nor_logged() {
    let log = Log::start();
    let shown = Arc::new(Mutex::new(String::new()));
    let shows = shown.clone();
    let handler = event_channel_handler::<_, _, ()>(|_, _| async { Err("failed".into()) })
        .on_connect(move |connect: Connect| {
            let accept = {
                let mut shown = shows.lock().unwrap();
                shown.push_str(&format!("{connect:?}"));
                let accept = connect.accept();
                shown.push_str(&format!("{accept:?}"));
                accept
            };
            async move { Ok(accept) }
        })
        .on_disconnect(|end| panic!("{end:?}"));
    let request = Request::get("/path?token=secret").header("cookie", "secret").body(()).unwrap();
    let mut body = call(&handler, request).await.into_body();
    while body.next_chunk().await.is_some_and(|chunk| chunk.is_ok()) {}
    let shown = shown.lock().unwrap().clone();
    assert!(shown.contains("/path") && !shown.contains("secret"), "{shown}");
    let logged = log.lines().concat();
    assert_eq!(logged.contains("failed"), cfg!(feature = "tracing"));
    assert!(!logged.contains("secret"), "{logged}");
}

/// One request must not make each line of the log long.
#[tokio::test(start_paused = true)]
async fn a_long_last_event_id_is_cut_in_the_spans() {
    let log = Log::start();
    let handler = event_channel_handler::<_, _, ()>(|_, _| async { Ok(()) });
    let request = Request::get("/").header("last-event-id", "x".repeat(8000)).body(()).unwrap();
    read_text(call(&handler, request).await.into_body()).await;
    let spans = log.spans();
    assert_eq!(spans.len(), 2);
    for span in spans {
        assert!(span.contains(&"x".repeat(200)) && span.len() < 600, "{} bytes", span.len());
    }
}
