//! A connection that a shutdown can cut.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handle::Shutdown;

pin_project! {
    /// A connection that is cut when streams are overdue.
    /// [`Shutdown::cut_io`](super::Shutdown::cut_io) creates it.
    ///
    /// Until then it reads and writes like the connection that it wraps, through tokio's traits.
    /// One task must poll both reading and writing, as servers do: only the last task that polled
    /// is woken when the connection is cut.
    pub struct ShutdownIo<IO> {
        #[pin]
        io: IO,
        // Completes when the connection must be cut. `None` once it is.
        overdue: Option<Overdue>,
        shutdown: Shutdown,
        // The task that `overdue` wakes when the shutdown starts.
        waker: Option<Waker>,
    }
}

type Overdue = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl Shutdown {
    /// Wraps a connection so that it is cut when streams are [overdue](Self::overdue): from then on
    /// reading and writing fail. It cuts all wrapped connections that are open at that time, also
    /// those that carry no stream.
    pub fn cut_io<IO>(&self, io: IO) -> ShutdownIo<IO> {
        ShutdownIo::new(io, self)
    }
}

impl<IO> ShutdownIo<IO> {
    pub(super) fn new(io: IO, shutdown: &Shutdown) -> Self {
        let waiting = shutdown.clone();
        let overdue: Overdue = Box::pin(async move { waiting.overdue().await });
        Self { io, overdue: Some(overdue), shutdown: shutdown.clone(), waker: None }
    }

    /// Returns the wrapped connection.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    /// Returns the wrapped connection.
    pub fn get_mut(&mut self) -> &mut IO {
        &mut self.io
    }

    /// Returns the wrapped connection. The shutdown cannot cut it any more.
    pub fn into_inner(self) -> IO {
        self.io
    }

    /// Returns the connection, or an error once it is cut.
    ///
    /// Before the shutdown starts it polls nothing, as long as the same task polls.
    fn open(self: Pin<&mut Self>, cx: &mut Context<'_>) -> io::Result<Pin<&mut IO>> {
        let this = self.project();
        let is_registered = this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_registered && !this.shutdown.is_started() {
            return Ok(this.io);
        }
        if !is_registered {
            *this.waker = Some(cx.waker().clone());
        }
        if this.overdue.as_mut().is_some_and(|overdue| overdue.as_mut().poll(cx).is_ready()) {
            *this.overdue = None;
        }
        match this.overdue {
            Some(_) => Ok(this.io),
            None => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "connection cut: the server shuts down and its event streams should have ended",
            )),
        }
    }
}

impl<IO: AsyncRead> AsyncRead for ShutdownIo<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open(cx)?.poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite> AsyncWrite for ShutdownIo<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open(cx)?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open(cx)?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open(cx)?.poll_shutdown(cx)
    }
}

impl<IO> fmt::Debug for ShutdownIo<IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownIo")
            .field("is_cut", &self.overdue.is_none())
            .finish_non_exhaustive()
    }
}
