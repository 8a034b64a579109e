//! The service that starts runs, attaches to them and stops them.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::LOCATION};
use tower_service::Service;

use super::{
    registry::{Claim, Run, Runs, StartRunError},
    work::{RunEvents, StopSignal},
};
use crate::{
    BoxError,
    admission::{Acceptor, Admitted, HandlerFuture, MakeStream, acceptor_settings},
    body::{BodyOptions, EventBody, body_settings},
    connect::{Accept, Connect, Refusal},
    hub::subscription::Positions,
};

/// How long a client should wait before it asks for a run again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The owner of a run, in the answer of `on_connect`: see [`Accept::owner`].
#[derive(Clone, Debug)]
pub struct RunOwner(String);

impl Accept {
    /// Names the owner of the runs of a request, for [`Runs::handler`]: for example, the user who is logged in.
    pub fn owner(self, owner: impl Into<String>) -> Accept<RunOwner> {
        self.with_target(RunOwner(owner.into()))
    }
}

/// What a request is about.
#[derive(Default)]
pub struct RunTarget(Target);

#[derive(Default)]
enum Target {
    /// No hook has decided.
    #[default]
    None,
    /// A run that is to start.
    Start(Claim),
    /// A run to read.
    Read(Run),
}

/// A service that starts runs, attaches to them and stops them, made by [`Runs::handler`]. It is cheap to clone.
#[must_use = "a handler does nothing unless a server calls it"]
pub struct RunsHandler<B> {
    config: Arc<Config<B>>,
}

struct Config<B> {
    runs: Runs,
    acceptor: Acceptor<RunTarget>,
    work: Arc<Work<B>>,
}

type BoxWork = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
type Work<B> = dyn Fn(Request<B>, RunEvents, StopSignal) -> BoxWork + Send + Sync;

impl Runs {
    /// Makes a service for the runs of a path.
    ///
    /// | request | response |
    /// |---|---|
    /// | `POST` | starts the work with the request, and answers with its events, from the first one. `Location` is the path of the run: that of the request, and the ID |
    /// | `GET`, with the ID as the last segment of the path | the events of the run: from its start, or after the last event ID. A 204 if it has ended, and nothing is left to send |
    /// | `DELETE`, with the ID | stops the run, and answers with a 204 |
    ///
    /// The answer to a `POST` is a 200 at once, also with [`commit_within`](RunsHandler::commit_within) if the work fails:
    /// a run that was started is a stream with an end.
    ///
    /// `on_connect` names the owner, by [`accept().owner(…)`](Accept::owner). A run of another owner is a 404.
    /// If a limit of the [options](super::RunsOptions) is reached, the answer is a 503, or a 429 for the limit of
    /// an owner.
    ///
    /// ```
    /// use http::Request;
    /// use tower_sse::{Event, Hub, hub::runs::Runs};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let runs = Runs::new(&Hub::new());
    /// let handler = runs.handler::<(), _, _, _, _>(
    ///     |connect| async move { Ok(connect.accept().owner("ann")) },
    ///     |_request, events, stop| async move {
    ///         for word in ["to", "be", "or", "not"] {
    ///             if stop.is_requested() {
    ///                 break;
    ///             }
    ///             events.send(Event::new(word)).await?;
    ///         }
    ///         Ok(())
    ///     },
    /// );
    /// # let _ = handler;
    /// # }
    /// ```
    pub fn handler<B, F, Fut, W, WFut>(&self, on_connect: F, work: W) -> RunsHandler<B>
    where
        F: Fn(Connect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Accept<RunOwner>, Refusal>> + Send + 'static,
        W: Fn(Request<B>, RunEvents, StopSignal) -> WFut + Send + Sync + 'static,
        WFut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let mut acceptor = Acceptor::new();
        acceptor.set_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE]);
        let runs = self.clone();
        acceptor.set_on_connect(move |connect| {
            let (runs, method) = (runs.clone(), connect.method().clone());
            let path = connect.uri().path().to_owned();
            let decided = on_connect(connect);
            async move { runs.decide(&method, &path, decided.await?).await }
        });
        let work: Arc<Work<B>> =
            Arc::new(move |request, events, stop| Box::pin(work(request, events, stop)));
        RunsHandler { config: Arc::new(Config { runs: self.clone(), acceptor, work }) }
    }

    async fn decide(
        &self,
        method: &Method,
        path: &str,
        accept: Accept<RunOwner>,
    ) -> Result<Accept<RunTarget>, Refusal> {
        let (accept, RunOwner(owner)) = accept.take_target();
        if method == Method::POST {
            let claim = self.claim(&owner).await.map_err(|error| refuse(&error))?;
            let location = format!("{}/{}", path.trim_end_matches('/'), claim.run().id());
            let location = HeaderValue::try_from(location)?;
            return Ok(accept
                .header(LOCATION, location)
                .with_target(RunTarget(Target::Start(claim))));
        }
        let id = path.rsplit('/').next().unwrap_or_default();
        let found = self.get(&owner, id).await;
        let run = found.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND))?;
        if method == Method::DELETE {
            run.stop().await.map_err(|_| unavailable())?;
            return Err(Refusal::new(StatusCode::NO_CONTENT));
        }
        Ok(accept.with_target(RunTarget(Target::Read(run))))
    }
}

fn refuse(error: &StartRunError) -> Refusal {
    if error.is_invalid_owner() {
        Refusal::bad_request(error)
    } else if error.is_full_for_owner() {
        Refusal::new(StatusCode::TOO_MANY_REQUESTS).retry_after(RETRY_AFTER)
    } else {
        unavailable()
    }
}

fn unavailable() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE).retry_after(RETRY_AFTER)
}

impl<B: Send + 'static> MakeStream<B, RunTarget> for Config<B> {
    fn acceptor(&self) -> &Acceptor<RunTarget> {
        &self.acceptor
    }

    fn make_stream(&self, body: B, admitted: Admitted<RunTarget>) -> Result<EventBody, Refusal> {
        let Admitted { request, last_event_id, accepted, options, target, .. } = admitted;
        let session = Arc::new(request.extensions.clone());
        let positions = Positions::of(&request.headers);
        let hub = &self.runs.shared.hub;
        let open = |run: &Run, last| match hub.source(run.selection(), last, session, positions) {
            Ok(Some(source)) => Ok(EventBody::with_source(options, accepted, source)),
            // Nothing will ever come. A browser stays away after a 204.
            Ok(None) => Err(Refusal::stop()),
            Err(_) => Err(unavailable()),
        };
        match target.0 {
            Target::Start(claim) => {
                // The work starts only if its client can read it. A last event ID is one of something else.
                let stream = open(claim.run(), None)?;
                let request = Request::from_parts(request, body);
                claim.start(|events, stop| (self.work)(request, events, stop));
                Ok(stream)
            }
            Target::Read(run) => open(&run, last_event_id.map(|id| id.as_str().to_owned())),
            Target::None => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }
}

impl<B> RunsHandler<B> {
    /// Takes all settings of the bodies from `options`. It replaces settings that were made before, so call it
    /// first.
    pub fn options(self, options: BodyOptions) -> Self {
        self.change_body(|own| *own = options)
    }

    fn change_body(mut self, change: impl FnOnce(&mut BodyOptions)) -> Self {
        change(self.acceptor_mut().options_mut());
        self
    }

    fn acceptor_mut(&mut self) -> &mut Acceptor<RunTarget> {
        &mut Arc::make_mut(&mut self.config).acceptor
    }
}

acceptor_settings!(RunsHandler<B>);
body_settings!(RunsHandler<B>);

impl<B: Send + 'static> Service<Request<B>> for RunsHandler<B> {
    type Response = Response<EventBody>;
    type Error = Infallible;
    type Future = HandlerFuture<B, RunTarget>;

    /// Always returns ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        HandlerFuture::new(parts, body, self.config.clone())
    }
}

impl<B> Clone for RunsHandler<B> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<B> Clone for Config<B> {
    fn clone(&self) -> Self {
        Self { runs: self.runs.clone(), acceptor: self.acceptor.clone(), work: self.work.clone() }
    }
}

impl<B> fmt::Debug for RunsHandler<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunsHandler")
            .field("acceptor", &self.config.acceptor)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RunTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunTarget")
    }
}
