//! The HTTP client that comes with the feature `hyper-client`: hyper-util's, with rustls and the
//! system's roots.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::{
    error::{EventSourceError, Kind},
    source::{EventSource, get_request, invalid_uri},
    url::is_path,
};
use crate::BoxError;

type HyperClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

impl EventSource {
    /// Makes a source that gets a URL, `http` or `https`, over HTTP/1.1 or HTTP/2; certificates are
    /// checked against the system's roots. It must be polled in a tokio runtime.
    ///
    /// What is no URL with scheme and host is invalid, as the first item tells. A user and a password
    /// in it are left out: set `Authorization` instead.
    ///
    /// Each source has connections of its own. What is to be set otherwise (a proxy, other roots)
    /// takes a service of one's own, and [`EventSource::get`].
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

    /// Makes a source that sends a request, as [`new`](Self::new) gets a URL.
    ///
    /// ```no_run
    /// use http::Request;
    /// use tower_sse::{EventSource, EventStreamExt, Reconnection};
    ///
    /// # fn chat() -> Result<(), tower_sse::BoxError> {
    /// let request = Request::post("https://models.example/chat")
    ///     .header("content-type", "application/json")
    ///     .body(r#"{"stream": true}"#)?;
    /// let tokens = EventSource::send(request)
    ///     .reconnection(Reconnection::never())
    ///     .until_data("[DONE]");
    /// # Ok(()) }
    /// ```
    pub fn send(request: Request<impl Into<Bytes>>) -> Self {
        with_hyper(Ok(request.map(Into::into)))
    }
}

fn with_hyper(request: Result<Request<Bytes>, EventSourceError>) -> EventSource {
    let tls = tls();
    let request = request.and_then(|request| match &tls.missing {
        // There is nobody in this process to ask for a path.
        _ if is_path(request.uri()) => Err(invalid_uri()),
        Some(error) if request.uri().scheme_str() == Some("https") => {
            Err(Kind::Roots(error.clone().into()).into())
        }
        _ => Ok(request),
    });
    EventSource::with::<_, Full<Bytes>, _>(client(tls.config.clone()), request)
}

fn client(config: ClientConfig) -> HyperClient {
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    let connector = connector.enable_http1().enable_http2().build();
    Client::builder(TokioExecutor::new()).build(connector)
}

/// How certificates are checked.
struct Tls {
    config: ClientConfig,
    /// Why there are no roots, if there are none. Then every certificate would be refused.
    missing: Option<String>,
}

/// The system's roots are read once, when the first source is made.
fn tls() -> &'static Tls {
    static TLS: OnceLock<Tls> = OnceLock::new();
    TLS.get_or_init(|| {
        let builder = || {
            ClientConfig::builder_with_provider(ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .expect("ring has the protocol versions of rustls")
        };
        match builder().with_native_roots() {
            Ok(builder) => Tls { config: builder.with_no_client_auth(), missing: None },
            Err(error) => {
                let builder = builder().with_root_certificates(RootCertStore::empty());
                Tls { config: builder.with_no_client_auth(), missing: Some(error.to_string()) }
            }
        }
    })
}
