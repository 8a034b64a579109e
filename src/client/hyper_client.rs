//! The HTTP client of the feature `hyper-client`: hyper-util's client, with rustls and the root
//! certificates of the system.

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
    error::{EventSourceError, SourceErrorKind},
    request::is_path,
    source::{EventSource, get_request, invalid_uri},
};
use crate::BoxError;

type HyperClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

impl EventSource {
    /// Creates a source that gets an http or https URL over HTTP/1.1 or HTTP/2. It must be polled
    /// in a tokio runtime.
    ///
    /// A URL without scheme or host is an error, returned as the first item. A user and a password
    /// in the URL are removed: set `Authorization` instead.
    ///
    /// Certificates are checked against the root certificates of the system. Each source has its
    /// own connections. To use a proxy or other root certificates, build a client of your own and
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
    let request = request.and_then(|request| match &tls.roots_error {
        // A bare path is valid only for a service in the same process.
        _ if is_path(request.uri()) => Err(invalid_uri()),
        Some(error) if request.uri().scheme_str() == Some("https") => {
            Err(SourceErrorKind::Roots(error.clone().into()).into())
        }
        _ => Ok(request),
    });
    EventSource::with::<_, Full<Bytes>>(client(tls.config.clone()), request)
}

fn client(config: ClientConfig) -> HyperClient {
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    let connector = connector.enable_http1().enable_http2().build();
    Client::builder(TokioExecutor::new()).build(connector)
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
