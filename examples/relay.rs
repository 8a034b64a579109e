//! A gateway: passes requests on to another server. Its event streams get keep-alives, time limits, and a farewell at
//! a shutdown, and a proxy in front does not cut a request while that server thinks.
//!
//! ```text
//! cargo run --example relay -- --upstream http://127.0.0.1:8080/events
//! curl -N http://127.0.0.1:8081/relay            the upstream's /events
//! curl -N http://127.0.0.1:8081/other?x=y        the upstream's /other?x=y
//! ```

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router, body::Body, extract::State, response::IntoResponse, routing::any,
    serve::ListenerExt as _,
};
use clap::Parser;
use http::{Request, Response, Uri, Version, header::HOST, uri::PathAndQuery};
use http_body::Body as _;
use tokio::net::TcpListener;
use tower::service_fn;
use tower_sse::{BoxError, Farewell, KeepAlive, Shutdown, SseRelay};

/// Passes requests on to another server.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8081")]
    addr: SocketAddr,
    /// The URL that `/relay` passes on. Other paths go to the same server
    #[arg(long)]
    upstream: Uri,
    /// How long the head of `/relay` waits for the upstream
    #[arg(long, default_value = "5s")]
    commit: humantime::Duration,
    /// Send a comment after this much silence
    #[arg(long, default_value = "10s")]
    keep_alive: humantime::Duration,
    /// How long the upstream may take until its first byte
    #[arg(long, default_value = "5m")]
    first_byte: humantime::Duration,
    /// How long the upstream may send nothing after its first byte
    #[arg(long, default_value = "5m")]
    idle: humantime::Duration,
    /// The data of the last event, for example `[DONE]`. A stream that ends without it was cut short
    #[arg(long)]
    until: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // On Ctrl-C, the upstream gets five seconds to finish its streams. The others then send a reconnection time, and end.
    let farewell = Farewell::new()
        .retry(Duration::from_secs(1)..Duration::from_secs(5))
        .grace_period(Duration::from_secs(5));
    let shutdown = Shutdown::new(farewell);
    let mut relay = SseRelay::new()
        .keep_alive(KeepAlive::every(*args.keep_alive))
        .first_byte_timeout(*args.first_byte)
        .idle_timeout(*args.idle)
        .max_streams(10_000)
        .shutdown(&shutdown)
        .on_disconnect(|end| eprintln!("{}: {} events", end.reason(), end.events()));
    if let Some(last) = args.until {
        relay = relay.until_data(last);
    }
    // The application chooses the cryptography provider.
    let _another_is_installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let gateway = Gateway { relay, commit: *args.commit, client, upstream: args.upstream };
    let app = Router::new().fallback(any(pass_on)).with_state(gateway);
    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Gateway {
    relay: SseRelay,
    commit: Duration,
    client: reqwest::Client,
    upstream: Uri,
}

async fn pass_on(State(gateway): State<Gateway>, mut request: Request<Body>) -> impl IntoResponse {
    // `/relay` is an event stream, so it becomes one although the upstream has not answered. Of the others, only
    // those whose `Accept` asks for a stream do.
    let relay = match request.uri().path() {
        "/relay" => gateway.relay.clone().commit_within(gateway.commit),
        _ => gateway.relay.clone(),
    };
    *request.uri_mut() = gateway.target(request.uri());
    // Host and version are those of the connection to this server.
    request.headers_mut().remove(HOST);
    *request.version_mut() = Version::default();
    let client = gateway.client;
    let service = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let request =
                reqwest::Request::try_from(request.map(|body| match body.is_end_stream() {
                    true => reqwest::Body::default(),
                    false => reqwest::Body::wrap_stream(body.into_data_stream()),
                }))?;
            let response = client.execute(request).await?;
            Ok::<Response<reqwest::Body>, BoxError>(response.into())
        }
    });
    relay.send(service, request).await
}

impl Gateway {
    /// Returns the URL that a path of this server stands for.
    fn target(&self, uri: &Uri) -> Uri {
        let own = uri.path_and_query().cloned();
        let path = match uri.path() {
            "/relay" => match (uri.query(), self.upstream.query()) {
                (Some(query), None) => format!("{}?{query}", self.upstream.path()).parse().ok(),
                _ => self.upstream.path_and_query().cloned(),
            },
            _ => own,
        };
        let mut parts = self.upstream.clone().into_parts();
        parts.path_and_query = path.or(Some(PathAndQuery::from_static("/")));
        Uri::from_parts(parts).unwrap_or_else(|_| self.upstream.clone())
    }
}
