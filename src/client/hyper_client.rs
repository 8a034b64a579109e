//! The HTTP client of the feature `hyper-client`: hyper-util's client, with rustls and the root
//! certificates of the system.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri,
    header::USER_AGENT,
    uri::{Authority, Scheme},
};
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use pin_project_lite::pin_project;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::runtime::{self, Handle};
use tower_service::Service;

use super::{
    driver::no_host,
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
    /// Certificates are checked against the root certificates of the system. A source uses the connection
    /// of an earlier source of the same runtime, if that one was read to its end. Sources that are open
    /// at the same time have connections of their own. `User-Agent` is `tower-sse` with its version, unless the
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
    EventSource::with_hyper(SharedClient, request)
}

/// The client of all sources of [`EventSource::new`].
#[derive(Clone, Copy, Debug)]
struct SharedClient;

impl EventSource {
    fn with_hyper(client: SharedClient, request: Result<Request<Bytes>, EventSourceError>) -> Self {
        let mut source = Self::with::<_, Full<Bytes>>(client, request);
        source.needs_authority();
        source
    }
}

impl Service<Request<Full<Bytes>>> for SharedClient {
    type Response = Response<LeasedBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        let user_agent = HeaderValue::from_static(OUR_USER_AGENT);
        request.headers_mut().entry(USER_AGENT).or_insert(user_agent);
        let lease = Lease::take(request.uri());
        Box::pin(async move {
            let lease = lease?;
            let response = lease.client.request(request).await?;
            Ok(response.map(|body| LeasedBody::new(body, lease)))
        })
    }
}

fn client(config: ClientConfig) -> HyperClient {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    // A request must not wait for the acknowledgement of the one before.
    http.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    let connector = connector.enable_http1().enable_http2().wrap_connector(http);
    // The timer closes connections that nobody uses.
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

/// How many clients are kept for later requests.
const MAX_IDLE: usize = 64;

/// The clients that no request uses, the newest last.
static IDLE: Mutex<Vec<Lease>> = Mutex::new(Vec::new());

/// A client that one request uses, with its connection.
///
/// A request after another one uses the same connection. Requests at the same time have connections of
/// their own, also over HTTP/2: a stream that is not read would otherwise stop the others, and a server
/// allows only so many streams for each connection. If a response is not read to its end, its client is
/// dropped, because the connection may be dead.
struct Lease {
    client: HyperClient,
    /// A connection is driven by a task of the runtime that it was made in, so another runtime must not
    /// use it.
    runtime: runtime::Id,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
}

impl Lease {
    /// Takes an idle client of the present runtime with a connection to this server, or creates one.
    fn take(uri: &Uri) -> Result<Self, BoxError> {
        let runtime = Handle::try_current()?.id();
        let mut idle = idle();
        let at = idle.iter().rposition(|lease| {
            lease.runtime == runtime
                && lease.scheme.as_ref() == uri.scheme()
                && lease.authority.as_ref() == uri.authority()
        });
        if let Some(at) = at {
            return Ok(idle.remove(at));
        }
        drop(idle);
        let client = client(tls().config.clone());
        let (scheme, authority) = (uri.scheme().cloned(), uri.authority().cloned());
        Ok(Self { client, runtime, scheme, authority })
    }

    /// Keeps the client for a later request. The oldest one makes room.
    fn put_back(self) {
        let mut idle = idle();
        let oldest = (idle.len() == MAX_IDLE).then(|| idle.remove(0));
        idle.push(self);
        drop(idle);
        drop(oldest);
    }
}

fn idle() -> MutexGuard<'static, Vec<Lease>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

type HyperBody = <<HyperClient as Service<Request<Full<Bytes>>>>::Response as BodyOf>::Body;

/// The body of a response.
trait BodyOf {
    type Body;
}

impl<B> BodyOf for Response<B> {
    type Body = B;
}

pin_project! {
    /// A body that gives its client back at its end.
    struct LeasedBody {
        #[pin]
        body: HyperBody,
        // `None` once the client was given back.
        lease: Option<Lease>,
    }
}

impl LeasedBody {
    fn new(body: HyperBody, lease: Lease) -> Self {
        if body.is_end_stream() {
            lease.put_back();
            return Self { body, lease: None };
        }
        Self { body, lease: Some(lease) }
    }
}

impl Body for LeasedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        match (&frame, this.lease.take()) {
            (None, Some(lease)) => lease.put_back(),
            // A body that has failed has no connection that can be used again.
            (Some(Ok(_)), lease) => *this.lease = lease,
            _ => {}
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
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
