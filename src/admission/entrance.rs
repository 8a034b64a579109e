//! The way of a request to its stream: what it brings, whether there is a place, what `on_connect`
//! decides.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    hash::Hash,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Extensions, HeaderMap, Method, Response, request};

use super::{Admission, Permits, refused};
use crate::{
    body::{Accepted, EventBody, StreamOptions},
    catch_panic::{CatchPanic, catch_panic},
    connect::{
        Accept, AcceptParts, Connect, InvalidLastEventId, LastEventId, Refusal, ResponseHead,
    },
    delay_range::DelayRange,
    trace::Span,
};

/// What decides about requests for a stream, and what these are made with. `T` is what an answer
/// names besides.
pub(crate) struct Entrance<T> {
    on_connect: Option<Arc<OnConnect<T>>>,
    options: Arc<StreamOptions>,
    admission: Admission,
    last_event_id_from_query: bool,
}

type Deciding<T> = Pin<Box<dyn Future<Output = Result<Accept<T>, Refusal>> + Send>>;
type OnConnect<T> = dyn Fn(Connect) -> Deciding<T> + Send + Sync;

const ON_CONNECT: &str = "on_connect";

/// A request that was let in, and what its stream is made with.
pub(crate) struct Entered<T> {
    pub(crate) request: request::Parts,
    pub(crate) head: ResponseHead,
    pub(crate) accepted: Accepted,
    pub(crate) options: Arc<StreamOptions>,
    pub(crate) target: T,
}

/// What makes the stream of a request that was let in.
pub(crate) trait Open<T> {
    fn entrance(&self) -> &Entrance<T>;

    /// Answers where nothing decides.
    fn without_on_connect(&self, connect: Connect) -> Accept<T>;

    fn open(self, entered: Entered<T>) -> EventBody;
}

impl<T: 'static> Entrance<T> {
    pub(crate) fn new() -> Self {
        Self {
            on_connect: None,
            options: Arc::new(StreamOptions::new()),
            admission: Admission::new(),
            last_event_id_from_query: true,
        }
    }

    pub(crate) fn set_on_connect<F, Fut>(&mut self, on_connect: F)
    where
        F: Fn(Connect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Accept<T>, Refusal>> + Send + 'static,
    {
        self.on_connect = Some(Arc::new(move |connect| Box::pin(on_connect(connect))));
    }
}

impl<T> Entrance<T> {
    pub(crate) fn set_last_event_id_from_query(&mut self, from_query: bool) {
        self.last_event_id_from_query = from_query;
    }

    pub(crate) fn set_max_streams(&mut self, streams: usize) {
        self.admission.set_max_streams(streams);
    }

    pub(crate) fn add_max_streams_per<F, K>(&mut self, key: F, streams: usize)
    where
        F: Fn(&Connect) -> Option<K> + Send + Sync + 'static,
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.admission.add_max_streams_per(key, streams);
    }

    pub(crate) fn set_retry_after(&mut self, spread: DelayRange) {
        self.admission.set_away(spread);
    }

    pub(crate) fn options_mut(&mut self) -> &mut StreamOptions {
        Arc::make_mut(&mut self.options)
    }

    fn last_event_id(&self, connect: &Connect) -> Result<Option<LastEventId>, InvalidLastEventId> {
        match LastEventId::from_headers(connect.headers())? {
            None if self.last_event_id_from_query => LastEventId::from_query(connect.uri()),
            last_event_id => Ok(last_event_id),
        }
    }

    /// Looks at a request before `on_connect` does.
    fn enter(&self, connect: &mut Connect) -> Result<Permits, Refusal> {
        if let Some(last_event_id) = self.last_event_id(connect).map_err(|error| {
            refused("last_event_id");
            Refusal::bad_request(error)
        })? {
            connect.extensions_mut().insert(last_event_id);
        }
        // No stream follows, so it takes no place.
        if connect.method() == Method::HEAD {
            return Ok(Permits::default());
        }
        self.admission.enter(connect, self.options.shutdown_handle())
    }

    /// Lets a request in that was accepted, if there is a place for it. No stream follows a `HEAD`.
    fn admit(
        &self,
        accept: Accept<T>,
        mut permits: Permits,
    ) -> Result<(HeaderMap, Option<Entered<T>>), Refusal> {
        let is_head = accept.connect().method() == Method::HEAD;
        if !is_head {
            // It may have started while `on_connect` decided.
            self.admission.check(accept.connect(), self.options.shutdown_handle())?;
            self.admission.enter_keyed(&mut permits, accept.connect())?;
        }
        let AcceptParts { request, head, deadline, target } = accept.into_parts();
        let headers = HeaderMap::clone(head.headers());
        if is_head {
            return Ok((headers, None));
        }
        let session = if self.options.has_on_disconnect() {
            request.extensions.clone()
        } else {
            Extensions::new()
        };
        let last_event_id = request.extensions.get().map(LastEventId::as_str);
        let accepted = Accepted {
            span: Span::of_request(&request, last_event_id),
            extensions: session,
            deadline: deadline.map(Into::into),
            permits: permits.into_guard(),
        };
        let options = self.options.clone();
        Ok((headers, Some(Entered { request, head, accepted, options, target })))
    }
}

impl<T> Clone for Entrance<T> {
    fn clone(&self) -> Self {
        Self {
            on_connect: self.on_connect.clone(),
            options: self.options.clone(),
            admission: self.admission.clone(),
            last_event_id_from_query: self.last_event_id_from_query,
        }
    }
}

impl<T> fmt::Debug for Entrance<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance")
            .field("on_connect", &self.on_connect.is_some())
            .field("options", &self.options)
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}

/// The future of a response: at once, unless there is an `on_connect` to wait for.
pub(crate) struct Entering<T, O> {
    state: State<T, O>,
    /// The request was a `HEAD`, so that no body may follow, whatever the answer is.
    is_head: bool,
}

enum State<T, O> {
    Ready(Box<Response<EventBody>>),
    Connecting(Connecting<T, O>),
    Done,
}

struct Connecting<T, O> {
    deciding: CatchPanic<Result<Accept<T>, Refusal>>,
    permits: Permits,
    open: O,
}

impl<T, O: Open<T>> Entering<T, O> {
    pub(crate) fn new(parts: request::Parts, open: O) -> Self {
        let is_head = parts.method == Method::HEAD;
        let mut connect = Connect::new(parts);
        let entrance = open.entrance();
        let permits = match entrance.enter(&mut connect) {
            Ok(permits) => permits,
            Err(refusal) => return Self::ready(refusal.into_response(), is_head),
        };
        let Some(on_connect) = &entrance.on_connect else {
            let accept = open.without_on_connect(connect);
            return Self::ready(Self::accepted(open, accept, permits), is_head);
        };
        match catch_panic(ON_CONNECT, || on_connect(connect)) {
            Err(panicked) => {
                refused(ON_CONNECT);
                Self::ready(Refusal::from(panicked).into_response(), is_head)
            }
            Ok(deciding) => {
                let deciding = CatchPanic::new(ON_CONNECT, deciding);
                Self { state: State::Connecting(Connecting { deciding, permits, open }), is_head }
            }
        }
    }

    fn ready(response: Response<EventBody>, is_head: bool) -> Self {
        Self { state: State::Ready(Box::new(response)), is_head }
    }

    fn accepted(open: O, accept: Accept<T>, permits: Permits) -> Response<EventBody> {
        let (headers, entered) = match open.entrance().admit(accept, permits) {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal.into_response(),
        };
        let body = entered.map_or_else(EventBody::default, |entered| open.open(entered));
        let mut response = Response::new(body);
        *response.headers_mut() = headers;
        response
    }
}

impl<T, O: Open<T>> Future for Entering<T, O> {
    type Output = Result<Response<EventBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let decided = match &mut this.state {
            State::Connecting(connecting) => {
                Some(ready!(Pin::new(&mut connecting.deciding).poll(cx)))
            }
            State::Ready(_) | State::Done => None,
        };
        let response = match (std::mem::replace(&mut this.state, State::Done), decided) {
            (State::Ready(response), _) => *response,
            (State::Connecting(Connecting { permits, open, .. }), Some(decided)) => {
                let decided = decided.unwrap_or_else(|panicked| Err(panicked.into()));
                match decided.inspect_err(|_| refused(ON_CONNECT)) {
                    Ok(accept) => Self::accepted(open, accept, permits),
                    Err(refusal) => refusal.into_response(),
                }
            }
            (State::Connecting(_) | State::Done, _) => panic!("polled after it was ready"),
        };
        Poll::Ready(Ok(if this.is_head {
            response.map(|_| EventBody::default())
        } else {
            response
        }))
    }
}

/// What is in it is never pinned: it is only moved out.
impl<T, O> Unpin for Entering<T, O> {}

impl<T, O> fmt::Debug for Entering<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Ready(_) => "ready",
            State::Connecting(_) => "connecting",
            State::Done => "done",
        })
    }
}

/// Gives a type the settings of its entrance, on top of its method `entrance_mut(&mut self) -> &mut
/// Entrance<_>`.
macro_rules! entrance_settings {
    ($type:ident $(<$generic:ident>)?) => {
        impl$(<$generic>)? $type$(<$generic>)? {
            /// Leaves the query alone: a last event ID is taken from the header only. Default is to look
            /// into the query as well, see [`LastEventId::from_query`](crate::LastEventId::from_query).
            pub fn without_last_event_id_query(mut self) -> Self {
                self.entrance_mut().set_last_event_id_from_query(false);
                self
            }

            /// Limits how many streams of this handler may be open, over all its clones. Default is no
            /// limit.
            ///
            /// Who comes while it is reached is sent away for a while, see
            /// [`retry_after`](Self::retry_after): browsers by a stream that holds a `retry` and ends,
            /// others by a 503. Nobody is evicted. A place is taken before `on_connect` runs, and given
            /// back where the body is dropped, or whatever else there is of the request by then. `HEAD`
            /// takes none.
            pub fn max_streams(mut self, streams: usize) -> Self {
                self.entrance_mut().set_max_streams(streams);
                self
            }

            /// Limits how many streams with the same key may be open: of one address, or of one user.
            /// Each call adds a limit, with keys of its own.
            ///
            /// The key is asked for before `on_connect`. If it is not known then, because that is what
            /// finds out who it is, it is asked for again when `on_connect` has accepted; a request without
            /// a key then is not limited by it.
            ///
            /// Who comes while it is reached is sent away as by [`max_streams`](Self::max_streams), but
            /// others than browsers by a 429.
            ///
            /// ```
            /// use tower_sse::{Connect, event_channel_handler};
            ///
            /// #[derive(Clone, PartialEq, Eq, Hash)]
            /// struct User(u64);
            ///
            /// let handler = event_channel_handler::<_, _, ()>(|_, _events| async { Ok(()) })
            ///     .on_connect(|connect: Connect| async move { Ok(connect.accept().extension(User(7))) })
            ///     .max_streams(10_000)
            ///     .max_streams_per(|connect| connect.extensions().get::<User>().cloned(), 6);
            /// # let _ = handler;
            /// ```
            pub fn max_streams_per<F, K>(mut self, key: F, streams: usize) -> Self
            where
                F: Fn(&$crate::connect::Connect) -> Option<K> + Send + Sync + 'static,
                K: std::hash::Hash + Eq + Clone + Send + Sync + 'static,
            {
                self.entrance_mut().add_max_streams_per(key, streams);
                self
            }

            /// Sets how long those are sent away for whom there is no place, and those who come during a
            /// [shutdown](crate::shutdown) whose farewell has no `retry`: browsers by `retry`, others by
            /// `Retry-After`. Drawn for each. Default is 5 to 15 seconds.
            pub fn retry_after(mut self, spread: impl Into<$crate::delay_range::DelayRange>) -> Self {
                self.entrance_mut().set_retry_after(spread.into());
                self
            }
        }
    };
}
pub(crate) use entrance_settings;
