//! The HTTP client of the feature `hyper-client`: hyper-util's client, with rustls and the root
//! certificates of the system.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header::USER_AGENT};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::runtime::{self, Handle};
use tower_service::Service;

use super::{
    error::{EventSourceError, SourceErrorKind},
    request::is_path,
    source::{EventSource, get_request},
};
use crate::BoxError;

type HyperClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

const OUR_USER_AGENT: &str = concat!("tower-sse/", env!("CARGO_PKG_VERSION"));

impl EventSource {
    /// Creates a source that gets an http or https URL over HTTP/1.1 or HTTP/2. It must be polled
    /// in a tokio runtime.
    ///
    /// A URL without scheme or host is an error, returned as the first item. A user and a password
    /// in the URL are removed: set `Authorization` instead.
    ///
    /// Certificates are checked against the root certificates of the system. All sources of a
    /// runtime share their connections. `User-Agent` is `tower-sse` with its version, unless the
    /// request has one. To use a proxy or other root certificates, build a client of your own and
    /// pass it to [`EventSource::get`].
    ///
    /// ```no_run
    /// use tower_sse::EventSource;
    ///
    /// # #[tokio::main] async fn main() -> Result<(), tower_sse::BoxError> {
    /// let mut source = EventSource::new("https://example.org/events");
    /// while let Some(event) = source.next_event().await {
    ///     println!("{}", event?.data());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn new<U>(uri: U) -> Self
    where
        U: TryInto<Uri>,
        U::Error: Into<BoxError>,
    {
        with_hyper(get_request(uri))
    }

    /// Creates a source that sends a request, with the same client as [`new`](Self::new).
    ///
    /// ```no_run
    /// use http::Request;
    /// use tower_sse::{EventSource, Reconnection};
    ///
    /// # fn chat() -> Result<(), tower_sse::BoxError> {
    /// let request = Request::post("https://models.example/chat")
    ///     .header("content-type", "application/json")
    ///     .body(r#"{"stream": true}"#)?;
    /// let tokens = EventSource::send(request)
    ///     .reconnection(Reconnection::until_event())
    ///     .until_data("[DONE]")
    ///     .required();
    /// # Ok(()) }
    /// ```
    pub fn send(request: Request<impl Into<Bytes>>) -> Self {
        with_hyper(Ok(request.map(Into::into)))
    }
}

fn with_hyper(request: Result<Request<Bytes>, EventSourceError>) -> EventSource {
    let tls = tls();
    let request = request.and_then(|request| match &tls.roots_error {
        // A bare path is valid only for a service in the same process.
        _ if is_path(request.uri()) => Err(no_host()),
        Some(error) if request.uri().scheme_str() == Some("https") => {
            Err(SourceErrorKind::Roots(error.clone().into()).into())
        }
        _ => Ok(request),
    });
    EventSource::with::<_, Full<Bytes>>(SharedClient, request)
}

fn no_host() -> EventSourceError {
    SourceErrorKind::InvalidUri("expected an http or https URL with a host".into()).into()
}

/// The client that all sources of a runtime share, so that they share its connections.
#[derive(Clone, Copy, Debug)]
struct SharedClient;

impl Service<Request<Full<Bytes>>> for SharedClient {
    type Response = <HyperClient as Service<Request<Full<Bytes>>>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        let user_agent = HeaderValue::from_static(OUR_USER_AGENT);
        request.headers_mut().entry(USER_AGENT).or_insert(user_agent);
        let client = shared_client();
        Box::pin(async move { Ok(client?.request(request).await?) })
    }
}

/// The clients of all runtimes. A connection is driven by a task of the runtime that it was made
/// in, so another runtime must not use it.
static CLIENTS: Mutex<Vec<(runtime::Id, HyperClient)>> = Mutex::new(Vec::new());

/// Returns the client of the present runtime.
fn shared_client() -> Result<HyperClient, BoxError> {
    let handle = Handle::try_current()?;
    let id = handle.id();
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, client)) = clients.iter().find(|(runtime, _)| *runtime == id) {
        return Ok(client.clone());
    }
    let client = client(tls().config.clone());
    clients.push((id, client.clone()));
    // A runtime that is ending drops the task, and with it the client, at once.
    drop(clients);
    let forget = ForgetClient(id);
    handle.spawn(async move {
        let _forget = forget;
        pending::<()>().await;
    });
    Ok(client)
}

/// Drops the client of a runtime when its task is dropped, because the runtime ends.
struct ForgetClient(runtime::Id);

impl Drop for ForgetClient {
    fn drop(&mut self) {
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        let at = clients.iter().position(|(runtime, _)| *runtime == self.0);
        let client = at.map(|at| clients.swap_remove(at));
        drop(clients);
        drop(client);
    }
}

fn client(config: ClientConfig) -> HyperClient {
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    let connector = connector.enable_http1().enable_http2().build();
    // The timer closes connections that nobody uses.
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

/// The configuration of TLS.
struct Tls {
    config: ClientConfig,
    /// Why the root certificates could not be read. Without them every certificate is refused.
    roots_error: Option<String>,
}

/// Returns the configuration. The root certificates are read once, for the first source.
fn tls() -> &'static Tls {
    static TLS: OnceLock<Tls> = OnceLock::new();
    TLS.get_or_init(|| {
        let builder = || {
            ClientConfig::builder_with_provider(ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .expect("ring has the protocol versions of rustls")
        };
        match builder().with_native_roots() {
            Ok(builder) => Tls { config: builder.with_no_client_auth(), roots_error: None },
            Err(error) => {
                let builder = builder().with_root_certificates(RootCertStore::empty());
                Tls { config: builder.with_no_client_auth(), roots_error: Some(error.to_string()) }
            }
        }
    })
}
