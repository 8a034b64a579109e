//! `on_connect`: it sees the request, decides the response head, and accepts or refuses.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use http::{HeaderValue, Request, StatusCode};
use tokio::time::sleep;
use tower_sse::{Connect, Event, EventChannelHandler, Refusal, event_channel_handler};

use crate::support::{
    SECOND,
    ends::Ends,
    http::{call, get},
    log::Log,
    read_text,
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
async fn the_head_is_decided_before_the_handler_starts() {
    let started = Arc::new(AtomicBool::new(false));
    let starts = started.clone();
    let handler = event_channel_handler(move |_, _| {
        starts.store(true, SeqCst);
        async { Ok(()) }
    })
    .on_connect(|connect| async move {
        sleep(SECOND).await;
        Ok(connect.accept().header("x-session", HeaderValue::from_static("7")))
    });
    let response = call(&handler, get("/")).await;
    assert_eq!(response.headers()["x-session"], "7");
    assert!(!started.load(SeqCst));
    read_text(response.into_body()).await;
    assert!(started.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn on_connect_sees_the_request_and_accepts_with_a_session_or_refuses() {
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
        sleep(SECOND).await; // stands for a query
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
async fn the_handler_of_a_refused_request_never_runs() {
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
async fn an_error_in_on_connect_is_a_500_and_is_logged() {
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
        assert_eq!(read_text(response.into_body()).await, "", "nothing of the error is sent");
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
