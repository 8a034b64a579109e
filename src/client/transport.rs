//! Any service as one: what a source makes its requests with.

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

use crate::{
    BoxError,
    stream::{BoxChunks, box_chunks},
};

/// A future of the application, or of its service.
pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A service of any type.
pub(super) trait Transport: Send {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>>;

    fn call(&mut self, request: Request<Bytes>) -> BoxFuture<Response<BoxChunks>>;
}

/// Hides the types of a service and of its bodies.
pub(super) fn transport<S, B, R>(service: S) -> Box<dyn Transport>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: From<Bytes> + 'static,
    R: Body<Error: Into<BoxError>> + Send + 'static,
{
    Box::new(Erased { service, body: PhantomData })
}

struct Erased<S, B> {
    service: S,
    body: PhantomData<fn() -> B>,
}

impl<S, B, R> Transport for Erased<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: From<Bytes> + 'static,
    R: Body<Error: Into<BoxError>> + Send + 'static,
{
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Bytes>) -> BoxFuture<Response<BoxChunks>> {
        let response = self.service.call(request.map(B::from));
        Box::pin(async { Ok(response.await.map_err(Into::into)?.map(box_chunks)) })
    }
}
