//! clack-sse: on-connect, and where a stream is mounted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::sleep;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};
use tower_sse::{
    BoxError, Connect, EncodedEvent, EndReason, Event, EventChannelHandler, Refusal, SseLayer,
    event_channel_handler, layer::OriginalUri,
};

use super::{
    SECOND, endless, sends,
    support::{
        ends::Ends,
        http::{Server, call, get},
        log::Log,
        read_all, read_text,
    },
};

/// A handler that counts how often it runs.
fn counts() -> (EventChannelHandler<()>, Arc<AtomicUsize>) {
    let ran = Arc::new(AtomicUsize::new(0));
    let runs = ran.clone();
    let handler = event_channel_handler(move |_, _| {
        runs.fetch_add(1, SeqCst);
        async { Ok(()) }
    });
    (handler, ran)
}

#[tokio::test(start_paused = true)]
async fn k1_a_writer_and_on_connect_make_a_service() {
    let app = sends(vec![Event::new("x")])
        .on_connect(|connect: Connect| async move { Ok(connect.accept()) });
    let response = call(&app, get("/")).await;
    assert_eq!(read_text(response.into_body()).await, ": connected\n\ndata: x\n\n");
}

#[tokio::test(start_paused = true)]
async fn k3_on_connect_sees_the_request_and_accepts_with_a_session_or_refuses() {
    #[derive(Clone)]
    struct Peer(&'static str);
    #[derive(Clone)]
    struct User(String);
    #[derive(Clone)]
    struct Visit(u32);

    let mut ends = Ends::new();
    let app = event_channel_handler(|request: Request<()>, events| async move {
        let User(name) = request.extensions().get().unwrap();
        let Visit(visit) = request.extensions().get().unwrap();
        events.send(Event::new(format!("hello {name}, visit {visit}"))).await?;
        Ok(())
    })
    .without_greeting()
    .on_connect(|mut connect: Connect| async move {
        sleep(SECOND).await; // asks somebody
        let Peer(peer) = connect.extensions().get().unwrap();
        let seen = format!("{} {} {peer}", connect.method(), connect.uri());
        let Some(token) = connect.headers().get("authorization") else {
            let refusal = Refusal::new(StatusCode::UNAUTHORIZED).body("who are you?");
            return Err(refusal.header("www-authenticate", HeaderValue::from_static("Bearer")));
        };
        let user = User(token.to_str()?.to_owned());
        connect.extensions_mut().insert(user);
        Ok(connect.accept().header("x-seen", HeaderValue::try_from(seen)?).extension(Visit(7)))
    })
    .on_disconnect(ends.hook());

    let request = |token: Option<&str>| {
        let request = Request::get("/events?a=1").extension(Peer("peer"));
        let request =
            token.into_iter().fold(request, |it, token| it.header("authorization", token));
        request.body(()).unwrap()
    };
    let response = call(&app, request(Some("ann"))).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-seen"], "GET /events?a=1 peer");
    assert_eq!(read_text(response.into_body()).await, "data: hello ann, visit 7\n\n");
    assert_eq!(ends.only().extensions().get::<User>().unwrap().0, "ann");

    let response = call(&app, request(None)).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(read_text(response.into_body()).await, "who are you?");
    ends.none();
}

#[tokio::test(start_paused = true)]
async fn k4_the_default_is_200_an_event_stream_and_no_caching() {
    for app in [endless(), endless().on_connect(|connect| async { Ok(connect.accept()) })] {
        let response = call(&app, get("/")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(response.headers()["cache-control"].to_str().unwrap().contains("no-store"));
    }
}

#[tokio::test(start_paused = true)]
async fn k5_refused_means_that_the_handler_never_runs() {
    let mut ends = Ends::new();
    let (app, ran) = counts();
    let app = app.on_disconnect(ends.hook()).on_connect(|connect: Connect| async move {
        let status = connect.uri().path()[1..].parse()?;
        Err(Refusal::new(StatusCode::from_u16(status)?))
    });
    for status in [200, 204, 302, 403, 503] {
        let response = call(&app, get(&format!("/{status}"))).await;
        assert_eq!(response.status(), status);
        assert_eq!(read_text(response.into_body()).await, "");
    }
    assert_eq!(ran.load(SeqCst), 0);
    ends.none();
}

#[tokio::test(start_paused = true)]
async fn k6_an_error_in_on_connect_is_a_500_and_is_logged() {
    let log = Log::start();
    let (app, ran) = counts();
    let app = app.on_connect(|connect: Connect| async move {
        match connect.uri().path() {
            "/error" => Err("the database is gone".into()),
            "/panic" => panic!("the code is wrong"),
            _ => Ok(connect.accept()),
        }
    });
    for path in ["/error", "/panic"] {
        let response = call(&app, get(path)).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(read_text(response.into_body()).await, "", "nothing of it is told");
    }
    assert_eq!(ran.load(SeqCst), 0);
    if cfg!(feature = "tracing") {
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("ERROR") && lines[0].contains("the database is gone"));
        assert!(lines[1].starts_with("ERROR") && lines[1].contains("the code is wrong"));
    }
    read_text(call(&app, get("/fine")).await.into_body()).await;
    assert_eq!(ran.load(SeqCst), 1);
}

#[cfg(feature = "tracing")]
#[tokio::test(start_paused = true)]
async fn k8_each_connection_is_a_line_at_debug_level() {
    let log = Log::start();
    let handler = endless();
    let _bodies = [call(&handler, get("/a?secret")).await, call(&handler, get("/b")).await];
    assert_eq!(log.all_lines(), ["DEBUG message=event stream opened"; 2]);
    // Whose it is stands in its span.
    let spans = log.spans();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0], r#"event_stream method="GET" path="/a""#);
}

#[tokio::test(start_paused = true)]
async fn k9_a_failing_writer_is_logged_and_the_stream_ends() {
    let log = Log::start();
    let app = event_channel_handler(|_, _| async { Err("cannot write".into()) });
    let (_, error) = read_all(&mut call(&app, get("/")).await.into_body()).await;
    assert!(error.is_some());
    let lines = log.lines();
    assert_eq!(lines.iter().any(|line| line.contains("cannot write")), cfg!(feature = "tracing"));
}

#[tokio::test(start_paused = true)]
async fn k10_a_normal_return_ends_the_stream_and_closes_it() {
    let (keep, kept) = std::sync::mpsc::channel();
    let app = event_channel_handler(move |_, events| {
        keep.send(events.clone()).unwrap();
        async move {
            events.send(Event::new("x")).await?;
            events.close();
            Ok(())
        }
    });
    let text = read_text(call(&app, get("/")).await.into_body()).await;
    assert_eq!(text, ": connected\n\ndata: x\n\n");
    let writer = kept.recv().unwrap();
    assert!(writer.is_closed());
    assert!(writer.try_send(Event::new("late")).unwrap_err().is_closed());
    // Without a sender elsewhere the return is enough.
    read_text(call(&sends(vec![Event::new("x")]), get("/")).await.into_body()).await;
}

#[tokio::test]
async fn k11_a_gone_client_is_quiet() {
    // One thread, so all that is logged is seen.
    let log = Log::start();
    let mut ends = Ends::new();
    let server = Server::start(endless().on_disconnect(ends.hook())).await;
    for _ in 0..3 {
        server.get_raw("/").await.until(": connected").await;
        let end = ends.next().await;
        assert_eq!(end.reason(), EndReason::ClientGone);
        assert!(end.error().is_none());
    }
    assert_eq!(log.lines(), [""; 0]);
}

#[test]
fn k12_a_stream_takes_no_thread_and_no_task_of_its_own() {
    // Without a runtime there is nothing to spawn on: the stream is served by whoever polls it.
    let app = sends(vec![Event::new("x")]).without_keep_alive();
    let body = call(&app, get("/")).now_or_never().unwrap().into_body();
    let text = read_text(body).now_or_never().unwrap();
    assert_eq!(text, ": connected\n\ndata: x\n\n");

    // And with one, ten thousand streams are not one task more.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut bodies = Vec::new();
        for _ in 0..10_000 {
            let mut body = call(&endless(), get("/")).await.into_body();
            body.next_chunk().await.unwrap().unwrap();
            bodies.push(body);
        }
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    });
}

#[tokio::test(start_paused = true)]
async fn k14_the_writer_may_write_raw_text() {
    let raw = EncodedEvent::from_bytes("data: raw\r\ndata: text\r\n\r\n").unwrap();
    let text = read_text(call(&sends(vec![raw]), get("/")).await.into_body()).await;
    assert_eq!(text, ": connected\n\ndata: raw\r\ndata: text\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn k15_it_is_mounted_under_a_path_of_any_app() {
    let app = service_fn(|request: Request<()>| async move {
        Ok::<_, BoxError>(Response::new(format!("page {}", request.uri())))
    });
    let mounted = || {
        event_channel_handler(|request: Request<()>, events| async move {
            let original = request.extensions().get::<OriginalUri>();
            let whole = original.map_or("-".to_owned(), |OriginalUri(uri)| uri.to_string());
            events.send(Event::new(format!("{} of {whole}", request.uri()))).await?;
            Ok(())
        })
        .without_greeting()
    };
    let layer = SseLayer::new(mounted()).path_prefix("/events");
    let by_path = ServiceBuilder::new().layer(layer).service(app);
    for (uri, text) in [
        ("/", "page /"),
        ("/eventsource", "page /eventsource"),
        ("/events", "data: / of /events\n\n"),
        ("/events/7?a=1", "data: /7?a=1 of /events/7?a=1\n\n"),
    ] {
        let response = by_path.clone().oneshot(get(uri)).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text, "{uri}");
    }

    let by_accept = ServiceBuilder::new().layer(SseLayer::new(mounted())).service(app);
    for (accept, text) in [("text/html", "page /any"), ("text/event-stream", "data: /any of -\n\n")]
    {
        let request = Request::builder().method(Method::GET).uri("/any").header("accept", accept);
        let response = by_accept.clone().oneshot(request.body(()).unwrap()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn k17_the_demo_says_hello_as_often_and_as_fast_as_it_is_told() {
    fn demo(count: u32, pace: Duration) -> EventChannelHandler<()> {
        event_channel_handler(move |_, events| async move {
            for n in 0..count {
                events.send(Event::new(format!("Hello World! {n}"))).await?;
                sleep(pace).await;
            }
            Ok(())
        })
    }
    for (count, pace) in [(100, 2 * SECOND), (3, SECOND / 2), (0, SECOND)] {
        let chunks = super::timed(call(&demo(count, pace), get("/events")).await.into_body()).await;
        let text: String = chunks.iter().map(|(_, text)| text.as_str()).collect();
        let hellos = (0..count).map(|n| format!("data: Hello World! {n}\n\n")).collect::<String>();
        assert_eq!(text, format!(": connected\n\n{hellos}"));
        let last = chunks.last().unwrap().0;
        let due = pace.as_millis() * u128::from(count.saturating_sub(1));
        assert!(last >= due && last <= due + u128::from(count), "{last} for {due}");
    }
}
