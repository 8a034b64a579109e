//! A real browser, headless Chromium, against streams of ours: that it takes them, comes back, and
//! says where it was.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

#[allow(dead_code, reason = "its `main` is the example's")]
#[path = "../examples/demo.rs"]
mod demo;

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{Router, extract::Request, response::Html, routing::get};
use fantoccini::{Client, ClientBuilder};
use http::{StatusCode, Version};
use hyper_util::{
    client::legacy::connect::HttpConnector,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use support::process::{Example, PATIENCE, Process};
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};
use tower::util::MapRequestLayer;
use tower_sse::{Accept, Connect, Event, Refusal, event_channel_handler};

/// A browser with a profile of its own. Whatever becomes of the test, dropping it ends the browser.
struct Browser {
    client: Client,
    driver_addr: SocketAddr,
    session: String,
    id: String,
    // They are dropped in this order: the browser writes to its profile until it has ended.
    _driver: Process,
    _profile: Profile,
}

impl Browser {
    async fn start() -> Self {
        assert!(
            Command::new("chromedriver").arg("--version").output().is_ok(),
            "chromedriver is missing; ./ci/test installs it with the browser (Debian: chromium, chromium-driver)"
        );
        let mut driver = Process::start(Command::new("chromedriver").arg("--port=0"));
        let started = "ChromeDriver was started successfully on port ";
        let port = loop {
            let line = driver.line().await;
            if let Some(port) = line.strip_prefix(started) {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        let driver_addr = SocketAddr::from(([127, 0, 0, 1], port));
        let profile = Profile::new();
        let options = json!({"goog:chromeOptions": {"args": [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--ignore-certificate-errors",
            "--hide-scrollbars",
            "--force-device-scale-factor=1.25",
            format!("--user-data-dir={}", profile.0.display()),
        ]}});
        let Value::Object(capabilities) = options else { unreachable!("it is written as one") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://{driver_addr}"))
            .await
            .unwrap();
        let id = client.capabilities().unwrap()["goog:processID"].to_string();
        let session = client.session_id().await.unwrap().unwrap();
        Self { client, driver_addr, session, id, _driver: driver, _profile: profile }
    }

    async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Evaluates an expression in the page.
    async fn eval(&self, expression: &str) -> Value {
        self.client.execute(&format!("return {expression};"), Vec::new()).await.unwrap()
    }

    /// Waits until an expression has a value.
    async fn wait_for(&self, expression: &str, expected: Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.eval(expression).await;
            if value == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{expression} is {value}, not {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the browser without a runtime, which may be gone when a test has failed.
    fn end_session(&self) -> io::Result<usize> {
        let mut driver = TcpStream::connect(self.driver_addr)?;
        driver.set_read_timeout(Some(PATIENCE))?;
        let Self { session, .. } = self;
        write!(driver, "DELETE /session/{session} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        // It answers when the browser has ended.
        driver.read(&mut [0; 512])
    }

    /// Waits until an expression is true.
    async fn until(&self, expression: &str) {
        self.wait_for(expression, true.into()).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A driver that is killed leaves its browser behind, so it is asked to end it first.
        if self.end_session().is_err() {
            let _ = Command::new("kill").args(["-KILL", &self.id]).status();
        }
    }
}

/// A folder that is removed in the end.
struct Profile(PathBuf);

impl Profile {
    fn new() -> Self {
        let name = format!("tower-sse-browser-{}", uuid::Uuid::new_v4());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // The browser's last processes may still be writing to it.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

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
    let app = demo::app(3, Duration::from_millis(100)).layer(look);
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
        0 | 1 => Err(Refusal::come_back(Duration::from_millis(50))),
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
