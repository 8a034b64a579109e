//! The settings of layers around event streams of other services, written once for all of them.

/// Adds the settings to a layer.
///
/// The type has a method `fn acceptor_mut(&mut self) -> &mut Acceptor<()>`.
macro_rules! foreign_settings {
    ($type:ident) => {
        impl $type {
            /// Sets what a stream sends when it has sent nothing else for a while. Defaults to a comment after 15
            /// seconds.
            pub fn keep_alive(mut self, keep_alive: $crate::body::KeepAlive) -> Self {
                self.acceptor_mut().options_mut().keep_alive = Some(keep_alive);
                self
            }

            /// Turns keep-alives off.
            pub fn without_keep_alive(mut self) -> Self {
                self.acceptor_mut().options_mut().keep_alive = None;
                self
            }

            /// Sets how long a stream may last. Defaults to no limit, and zero is no limit either. See
            /// [`BodyOptions::max_lifetime`](crate::BodyOptions::max_lifetime).
            pub fn max_lifetime(mut self, lifetime: std::time::Duration) -> Self {
                self.acceptor_mut().options_mut().max_lifetime =
                    $crate::body::Lifetime::new(lifetime);
                self
            }

            /// Ends the streams when this shutdown starts, and refuses new ones. By default no shutdown does. See
            /// [`shutdown`](crate::shutdown). [`SseGovern`](crate::SseGovern) ends them at once,
            /// [`SseRelay`](crate::SseRelay) gives the upstream the grace period of the farewell.
            pub fn shutdown(mut self, shutdown: &$crate::shutdown::Shutdown) -> Self {
                self.acceptor_mut().options_mut().shutdown = Some(shutdown.clone());
                self
            }

            /// Sets the hook that receives how each stream ended. See
            /// [`BodyOptions::on_disconnect`](crate::BodyOptions::on_disconnect). The extensions are those of the
            /// request as it came to this layer.
            pub fn on_disconnect(
                mut self,
                on_disconnect: impl Fn($crate::body::StreamEnd) + Send + Sync + 'static,
            ) -> Self {
                self.acceptor_mut().options_mut().on_disconnect =
                    Some(std::sync::Arc::new(on_disconnect));
                self
            }

            /// Sets a function that returns the label `route` of the [metrics](crate::telemetry#metrics) and spans for a
            /// request. By default, and for `None`, there is no label. See
            /// [`EventChannelHandler::route_of`](crate::EventChannelHandler::route_of).
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

            /// Sets after which time without an event a stream counts as stalled in the metrics. By default, and with
            /// zero, stalls are not counted. See [`BodyOptions::stall_after`](crate::BodyOptions::stall_after).
            pub fn stall_after(mut self, time: std::time::Duration) -> Self {
                let time = Some(time).filter(|time| !time.is_zero());
                self.acceptor_mut().options_mut().stall_after = time;
                self
            }

            /// Limits how many streams of this layer and its clones may be open. In axum, all routes of a layer share the
            /// limit. Defaults to no limit.
            ///
            /// [`SseGovern`](crate::SseGovern) takes a place when the inner service has answered with a stream. If all are
            /// taken, that answer is dropped. [`SseRelay`](crate::SseRelay) takes one before it calls the service, and gives
            /// it back if the answer is no stream. A browser that is refused gets a 200 and a
            /// stream with only `retry`, other clients get a 503.
            pub fn max_streams(mut self, streams: usize) -> Self {
                self.acceptor_mut().set_max_streams(streams);
                self
            }

            /// Limits how many streams with the same key may be open, for example of one address. Each call adds a limit
            /// with its own keys. A request without a key is not limited. Clients that are refused get a 429 in place of the 503.
            ///
            /// The key is read from the request as it came to this layer. So a layer that finds out the user, and puts it
            /// into the extensions, has to be around this one; in axum that is a later `.layer`.
            pub fn max_streams_per<F, K>(mut self, key: F, streams: usize) -> Self
            where
                F: Fn(&$crate::connect::Connect) -> Option<K> + Send + Sync + 'static,
                K: std::hash::Hash + Eq + Clone + Send + Sync + 'static,
            {
                self.acceptor_mut().add_max_streams_per(key, streams);
                self
            }

            /// Sets how long refused clients should wait. Defaults to 5 to 15 seconds. See
            /// [`EventChannelHandler::retry_after`](crate::EventChannelHandler::retry_after).
            pub fn retry_after(
                mut self,
                delay: impl Into<$crate::delay_range::DelayRange>,
            ) -> Self {
                self.acceptor_mut().set_retry_after(delay.into());
                self
            }
        }
    };
}
pub(in crate::layer) use foreign_settings;
