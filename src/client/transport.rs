//! The service that a source sends its requests with, with its types hidden.

use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use self::sealed::SealedService;
use crate::{
    BoxError,
    stream::{BoxChunks, box_chunks},
};

/// A service that an [`EventSource`](super::EventSource) can send requests with.
///
/// This trait is an alias: it is implemented for every [`Service`] that meets these bounds.
///
/// - It is `Send + 'static`, and its futures are `Send`.
/// - It takes a `Request<B>`, whose body is created from bytes: `B: From<Bytes> + 'static`.
/// - It returns a `Response<R>` with any body: `R: Body<Error: Into<BoxError>> + Send + 'static`.
/// - Its error converts into [`BoxError`].
///
/// The trait is sealed. Implement [`Service`] to get it.
#[diagnostic::on_unimplemented(
    message = "an `EventSource` cannot send requests with `{Self}`",
    label = "not an HTTP service with a request body of type `{B}`",
    note = "expected `S: tower_service::Service<http::Request<B>, Response = http::Response<R>> + \
            Send + 'static`",
    note = "with `B: From<Bytes> + 'static`, `R: http_body::Body<Error: Into<BoxError>> + Send + \
            'static`, `S::Error: Into<BoxError>` and `S::Future: Send`"
)]
pub trait HttpService<B>: SealedService<B> {}

#[diagnostic::do_not_recommend]
impl<S: SealedService<B>, B> HttpService<B> for S {}

mod sealed {
    use super::{
        BoxChunks, BoxError, BoxFuture, BoxTransport, Bytes, Context, Poll, Request, Response,
    };

    /// Seals [`HttpService`](super::HttpService), and hides the types of a service.
    pub trait SealedService<B>: Send + 'static {
        fn into_transport(self) -> BoxTransport;

        fn poll_transport(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>>;

        fn send(&mut self, request: Request<Bytes>) -> BoxFuture<Response<BoxChunks>>;
    }
}

/// A future of the application, or of its service.
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A service of any type, in a box.
pub(super) type BoxTransport = Box<dyn Transport>;

/// A service without its types.
pub trait Transport: Send {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>>;

    fn call(&mut self, request: Request<Bytes>) -> BoxFuture<Response<BoxChunks>>;
}

// The only place where the bounds of a service are written down in code.
impl<S, B, R> SealedService<B> for S
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: From<Bytes> + 'static,
    R: Body<Error: Into<BoxError>> + Send + 'static,
{
    fn into_transport(self) -> BoxTransport {
        Box::new(ServiceTransport { service: self, body: PhantomData })
    }

    fn poll_transport(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.poll_ready(cx).map_err(Into::into)
    }

    fn send(&mut self, request: Request<Bytes>) -> BoxFuture<Response<BoxChunks>> {
        let response = self.call(request.map(B::from));
        Box::pin(async { Ok(response.await.map_err(Into::into)?.map(box_chunks)) })
    }
}

/// A service, and the type of its request bodies.
struct ServiceTransport<S, B> {
    service: S,
    body: PhantomData<fn() -> B>,
}

impl<S: SealedService<B>, B> Transport for ServiceTransport<S, B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_transport(cx)
    }

    fn call(&mut self, request: Request<Bytes>) -> BoxFuture<Response<BoxChunks>> {
        self.service.send(request)
    }
}
