//! The settings of an [`Acceptor`](super::Acceptor), written once for all handlers.

/// Adds the settings of an acceptor to a type.
///
/// The type has a method `fn acceptor_mut(&mut self) -> &mut Acceptor<_>`.
macro_rules! acceptor_settings {
    ($type:ident $(<$generic:ident>)?) => {
        impl$(<$generic>)? $type$(<$generic>)? {
            /// Reads the last event ID only from the header.
            ///
            /// By default it is read from the query if there is no header: see
            /// [`LastEventId::from_query`](crate::LastEventId::from_query).
            pub fn without_last_event_id_query(mut self) -> Self {
                self.acceptor_mut().set_last_event_id_from_query(false);
                self
            }

            /// Sets the methods of the requests that may become streams. Defaults to `GET`, `HEAD` and `POST`.
            /// Requests with another method are refused with a 405.
            ///
            /// ```
            /// use http::Method;
            /// use tower_sse::event_channel_handler;
            ///
            /// let handler = event_channel_handler(|_, _events| async { Ok(()) })
            ///     .methods([Method::GET, Method::HEAD]);
            /// let app: axum::Router = axum::Router::new().route_service("/events", handler);
            /// ```
            pub fn methods(mut self, methods: impl IntoIterator<Item = http::Method>) -> Self {
                self.acceptor_mut().set_methods(methods);
                self
            }

            /// Delays the head of each response until the first event, for at most this time. Zero, the
            /// default, sends it at once.
            ///
            /// So a handler that fails before its first event is answered with a status: see
            /// [`EventBody::into_response_within`](crate::EventBody::into_response_within), which says what
            /// happens. Refusals, and responses to `HEAD`, are sent at once. If a shutdown ends the stream during
            /// the wait, the response is a 200 and the stream ends. Nothing is sent during the wait, no greeting
            /// and no keep-alive.
            ///
            /// A browser's `EventSource` does not reconnect after such a status. For browsers, return
            /// `Refusal::retry_later(…).into_error()`, or leave this setting out.
            ///
            /// ```
            /// use std::time::Duration;
            /// use http::StatusCode;
            /// use tower_sse::{Event, Refusal, event_channel_handler};
            ///
            /// # async fn ask_model() -> Result<&'static str, Refusal> { Ok("hello") }
            /// let handler = event_channel_handler(|_request, events| async move {
            ///     // The SDK of a client gets the status of the model.
            ///     let token = ask_model().await.map_err(Refusal::into_error)?;
            ///     events.send(Event::new(token)).await?;
            ///     Ok(())
            /// })
            /// .commit_within(Duration::from_secs(2));
            /// let app: axum::Router = axum::Router::new().route_service("/events", handler);
            /// ```
            pub fn commit_within(mut self, within: std::time::Duration) -> Self {
                self.acceptor_mut().set_commit_within(within);
                self
            }

            /// Sets the label `route` of the [metrics](crate::telemetry#metrics) by the request, for a
            /// handler on several routes. `None` leaves it to [`route`](Self::route).
            ///
            /// ```
            /// use axum::extract::MatchedPath;
            /// use tower_sse::{Connect, event_channel_handler};
            ///
            /// let handler = event_channel_handler(|_, _events| async { Ok(()) })
            ///     .route_of(|connect: &Connect| {
            ///         let path = connect.extensions().get::<MatchedPath>()?;
            ///         Some(path.as_str().to_owned().into())
            ///     });
            /// let app: axum::Router = axum::Router::new().route_service("/events", handler);
            /// ```
            pub fn route_of(
                mut self,
                route_of: impl Fn(&$crate::connect::Connect) -> Option<std::borrow::Cow<'static, str>>
                + Send
                + Sync
                + 'static,
            ) -> Self {
                self.acceptor_mut().set_route_of(route_of);
                self
            }

            /// Limits how many streams of this handler and its clones may be open. Defaults to no
            /// limit.
            ///
            /// While the limit is reached, new requests are turned away: browsers get a stream that
            /// contains only `retry` and ends, because they never reconnect after a 503, and other
            /// clients get a 503. [`retry_after`](Self::retry_after) sets the delay. Streams that
            /// are open stay open.
            ///
            /// A request waits up to 50 milliseconds for a place, in the order of arrival: a page that
            /// reloads opens its new stream a moment before the server notices the end of the old one.
            ///
            /// A place is taken before `on_connect` runs. It is freed when the stream ends or its body is
            /// dropped, or earlier if the request ends without a stream. `HEAD` requests take no place.
            ///
            /// A client that reads nothing keeps its place until its connection is cut, even after the
            /// end of a lifetime or deadline: see the recipe [Cut a client that has stopped
            /// reading](crate::recipes#cut-a-client-that-has-stopped-reading).
            pub fn max_streams(mut self, streams: usize) -> Self {
                self.acceptor_mut().set_max_streams(streams);
                self
            }

            /// Limits how many streams of this handler and its clones with the same key may be open, for example of one
            /// address or of one user. Each call adds a limit with its own keys.
            ///
            /// The key is read before `on_connect` runs. If it is `None`, it is read again after
            /// `on_connect` has accepted, because the hook may put the user into the extensions. A
            /// request that still has no key is not limited.
            ///
            /// While the limit is reached, new requests are turned away as by
            /// [`max_streams`](Self::max_streams), except that clients other than browsers get a
            /// 429.
            ///
            /// ```
            /// use tower_sse::{Connect, event_channel_handler};
            ///
            /// #[derive(Clone, PartialEq, Eq, Hash)]
            /// struct User(u64);
            ///
            /// let handler = event_channel_handler(|_, _events| async { Ok(()) })
            ///     .on_connect(|connect| async move { Ok(connect.accept().extension(User(7))) })
            ///     .max_streams(10_000)
            ///     .max_streams_per(|connect| connect.extensions().get::<User>().cloned(), 6);
            /// let app: axum::Router = axum::Router::new().route_service("/events", handler);
            /// ```
            pub fn max_streams_per<F, K>(mut self, key: F, streams: usize) -> Self
            where
                F: Fn(&$crate::connect::Connect) -> Option<K> + Send + Sync + 'static,
                K: std::hash::Hash + Eq + Clone + Send + Sync + 'static,
            {
                self.acceptor_mut().add_max_streams_per(key, streams);
                self
            }

            /// Sets how long clients that are turned away should wait before they reconnect.
            /// Defaults to 5 to 15 seconds.
            ///
            /// Browsers get the delay as `retry`, other clients as `Retry-After`. From a range, a
            /// delay is drawn for each request. It applies to requests over a limit, and to
            /// requests during a [shutdown](crate::shutdown) whose farewell has no reconnection
            /// time.
            pub fn retry_after(mut self, delay: impl Into<$crate::delay_range::DelayRange>) -> Self {
                self.acceptor_mut().set_retry_after(delay.into());
                self
            }
        }
    };
}
pub(crate) use acceptor_settings;
