//! A real browser, headless Chromium, against streams of ours: that it takes them, comes back, and
//! says where it was.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod chromium;
#[cfg(feature = "hub")]
mod dashboard;
#[cfg(feature = "hub")]
mod hub;
mod returns;
#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "its `main` is the example's")]
#[path = "../../examples/demo.rs"]
mod demo;

use std::{
    env, fs,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request, response::Html, routing::get};
use chromium::Browser;
use http::{StatusCode, Version};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use support::process::Example;
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};
use tower::util::MapRequestLayer;
use tower_sse::{Accept, Connect, Event, Refusal, Shutdown, event_channel_handler};

/// Asserts that the demo page shows two streams of three events, one going on where the other
/// ended.
async fn assert_demo_goes_on(browser: &Browser) {
    let ids = "[...document.querySelectorAll('#events .event')].map(e => e.dataset.id).reverse()";
    browser.until(&format!("{ids}.length >= 6")).await;
    let shown = browser.eval(&format!("{ids}.slice(0, 6)")).await;
    assert_eq!(shown, json!(["1", "2", "3", "4", "5", "6"]));
    let data = "[...document.querySelectorAll('#events .event .data')].map(e => e.firstChild.data)";
    let shown = browser.eval(&format!("{data}.reverse().slice(0, 6)")).await;
    assert_eq!(shown, json!((1..=6).map(|n| format!("Hello World! {n}")).collect::<Vec<_>>()));
    let types = "new Set([...document.querySelectorAll('#events .type')].map(e => e.textContent))";
    assert_eq!(browser.eval(&format!("[...{types}]")).await, json!(["my-custom-event"]));
    let reconnects = browser.eval("+document.querySelector('#reconnects').textContent").await;
    assert!(reconnects.as_u64().unwrap() >= 1, "{reconnects}");
    // As it came in: three events, the end, the return, which says where it was.
    let lines = "[...document.querySelectorAll('#events li')].reverse().slice(3, 5)\
                 .map(e => e.firstChild.textContent)";
    assert_eq!(
        browser.eval(lines).await,
        json!(["The stream has ended", "Back again, behind event 3"])
    );
}

#[tokio::test]
async fn the_demo_comes_back_over_http_1_and_goes_on_behind_the_last_event() {
    let demo = Example::start("demo", &["--count", "3", "--every", "100ms"]).await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/", demo.addr)).await;
    assert_demo_goes_on(&browser).await;
    let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.eval(protocol).await, "http/1.1");

    // Closed by hand, it stays closed; opened by hand, it goes on by the query.
    browser.eval("document.querySelector('#toggle').click()").await;
    assert_eq!(browser.eval("source.readyState").await, 2);
    let last = browser.eval("lastEventId").await;
    browser.eval("document.querySelector('#toggle').click()").await;
    browser.until(&format!("lastEventId > {last}")).await;
    let list = "[...document.querySelectorAll('#events .event')].map(e => +e.dataset.id)";
    let shown = browser.eval(&format!("{list}.reverse()")).await;
    let shown: Vec<_> = shown.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(shown, (1..=shown.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_demo_comes_back_over_http_2_and_goes_on_behind_the_last_event() {
    // What was asked for, with the protocol it was asked over and the `Last-Event-ID`.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = seen.clone();
    let look = MapRequestLayer::new(move |request: Request| {
        let last = request.headers().get("last-event-id");
        let last = last.map(|id| id.to_str().unwrap().to_owned());
        let path = request.uri().path().to_owned();
        seeing.lock().unwrap().push((path, request.version(), last));
        request
    });
    let app = demo::app(3, Duration::from_millis(100), &Shutdown::now()).layer(look);
    let server = Server::tls(app).await;
    let browser = Browser::start().await;
    browser.goto(&format!("https://{}/", server.addr)).await;
    assert_demo_goes_on(&browser).await;
    let protocol = "performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.eval(protocol).await, "h2");

    let seen = seen.lock().unwrap();
    let request = |path: &str, last: Option<&str>| {
        (path.to_owned(), Version::HTTP_2, last.map(str::to_owned))
    };
    let expected = [request("/", None), request("/events", None), request("/events", Some("3"))];
    assert_eq!(seen[..3], expected);
}

/// Serves a page that opens a stream and writes down what happens, and the stream: the hook
/// decides, given how many requests came before. Counts the requests.
async fn refusing(
    decide: impl Fn(Connect, usize) -> Result<Accept, Refusal> + Send + Sync + 'static,
) -> (Server, Arc<AtomicUsize>) {
    const PAGE: &str = "<!doctype html><title>refusing</title><link rel=icon href='data:,'><script>
        const seen = [];
        const source = new EventSource('/events');
        source.onopen = () => seen.push('open');
        source.onerror = () => seen.push(source.readyState === 2 ? 'closed' : 'error');
        source.onmessage = (event) => { seen.push(event.data); source.close(); };
        </script>";
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = requests.clone();
    let decide = Arc::new(decide);
    let events = event_channel_handler(|_request, events| async move {
        events.send(Event::new("welcome")).await?;
        events.closed().await;
        Ok(())
    })
    .on_connect(move |connect| {
        let decided = decide(connect, counter.fetch_add(1, Ordering::SeqCst));
        async move { decided }
    });
    let app = Router::new().route("/", get(Html(PAGE))).route_service("/events", events);
    (Server::plain(app).await, requests)
}

#[tokio::test]
async fn a_browser_that_is_told_to_come_back_does() {
    let (server, requests) = refusing(|connect, before| match before {
        0 | 1 => Err(Refusal::retry_later(Duration::from_millis(50))),
        _ => Ok(connect.accept()),
    })
    .await;
    let browser = Browser::start().await;
    browser.goto(&format!("http://{}/", server.addr)).await;
    let expected = json!(["open", "error", "open", "error", "open", "welcome"]);
    browser.wait_for("seen", expected).await;
    assert_eq!(requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_browser_that_is_stopped_or_gets_a_503_does_not_come_back() {
    let browser = Browser::start().await;
    for status in [StatusCode::NO_CONTENT, StatusCode::SERVICE_UNAVAILABLE] {
        let (server, requests) = refusing(move |_, _| {
            Err(match status {
                StatusCode::NO_CONTENT => Refusal::stop(),
                _ => Refusal::new(status).retry_after(Duration::from_millis(1)),
            })
        })
        .await;
        browser.goto(&format!("http://{}/", server.addr)).await;
        browser.wait_for("seen", json!(["closed"])).await;
        assert_eq!(browser.eval("source.readyState").await, 2);
        // Had it been going to, it would have said `error`, and come back after the time it was
        // told.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(browser.eval("seen").await, json!(["closed"]));
        assert_eq!(requests.load(Ordering::SeqCst), 1, "{status}");
    }
}

/// Writes a picture of the demo to the path in `DEMO_SCREENSHOT`, if that is set: `docs/demo.png`
/// was made so, after a minute, when the chart is full.
#[tokio::test]
async fn the_demo_can_be_seen() {
    let path = env::var("DEMO_SCREENSHOT").ok();
    let (every, events) = if path.is_some() { ("1500ms", 38) } else { ("100ms", 8) };
    let demo = Example::start("demo", &["--count", "6", "--every", every]).await;
    let browser = Browser::start().await;
    browser.client.set_window_size(880, 980).await.unwrap();
    browser.goto(&format!("http://{}/", demo.addr)).await;
    // What is new has been faded in after half a second.
    let ready = format!("received > {events} && performance.now() - lastArrival > 600");
    while browser.eval(&ready).await != true {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let picture = browser.client.screenshot().await.unwrap();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{} bytes", picture.len());
    if let Some(path) = path {
        fs::write(path, picture).unwrap();
    }
}

/// A server in this process, over HTTP/1.1 without TLS, over HTTP/2 with. It ends when it is
/// dropped.
struct Server {
    addr: SocketAddr,
    task: AbortHandle,
}

impl Server {
    async fn plain(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await });
        Self { addr, task: task.abort_handle() }
    }

    async fn tls(app: Router) -> Self {
        let certified =
            rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                let service = TowerToHyperService::new(app.clone());
                tokio::spawn(async move {
                    // A browser opens connections that it does not use.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { addr, task: task.abort_handle() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
