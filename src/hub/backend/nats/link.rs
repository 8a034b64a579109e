//! The connection to the server, and requests over it.

use std::{fmt, pin::pin, task::Poll, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event, ServerAddr,
    jetstream::context::{Context, ContextBuilder},
};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::{sync::watch, time::timeout};

use super::error::NatsError;
use crate::{
    BoxError,
    hub::backend::error::{BackendError, Fault},
};

/// How long an answer may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest delay between two attempts to connect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// How long a call waits for a new connection before it returns an error.
const MAX_RECONNECT: Duration = Duration::from_secs(1);
/// How many messages a subscription holds. More are dropped, so it must be above that which a
/// consumer sends unasked.
pub(super) const SUBSCRIPTION_CAPACITY: usize = 16 << 10;
/// How many publications may wait for their acknowledgement. The backend has a lower limit.
const MAX_ACKS: usize = 1 << 16;

/// How to reach the server.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) user_and_password: Option<(String, String)>,
    pub(super) token: Option<String>,
    pub(super) root_certificates: Option<std::path::PathBuf>,
    pub(super) requires_tls: bool,
}

/// The connection. It reconnects by itself. A clone is cheap and has the same connection.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) context: Context,
    /// How often the connection was lost, and whether there is one.
    state: watch::Receiver<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    losses: u64,
    is_connected: bool,
}

/// The answer to a request of the JetStream API that is an error.
#[derive(Debug)]
pub(super) struct ApiError {
    /// The code in the list of JetStream's errors.
    pub(super) code: u64,
    text: String,
}

/// The code of the answer that there is no such stream.
pub(super) const STREAM_NOT_FOUND: u64 = 10059;
/// The code of the answer that another stream has this name.
pub(super) const STREAM_EXISTS: u64 = 10058;
/// The code of the answer that there is no such message.
pub(super) const MESSAGE_NOT_FOUND: u64 = 10037;

impl Link {
    /// Connects. `urls` is one URL or several, separated by commas.
    pub(super) async fn connect(urls: &str, login: Login) -> Result<Self, NatsError> {
        let invalid = |error| NatsError::Option(format!("a URL of a server: {error}"));
        let mut servers = Vec::new();
        let mut options = ConnectOptions::new();
        for url in urls.split(',').map(str::trim) {
            let server: ServerAddr = url.parse().map_err(|error: std::io::Error| invalid(error))?;
            // The client connects with the login of its options only.
            let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            options = match (server.username(), server.password()) {
                (Some(user), Some(password)) => {
                    options.user_and_password(decode(user), decode(password))
                }
                (Some(token), None) => options.token(decode(token)),
                (None, _) => options,
            };
            servers.push(server);
        }
        if let Some((user, password)) = login.user_and_password {
            options = options.user_and_password(user, password);
        }
        if let Some(token) = login.token {
            options = options.token(token);
        }
        if let Some(path) = login.root_certificates {
            options = options.add_root_certificates(path);
        }
        if login.requires_tls {
            options = options.require_tls(true);
        }
        let (sender, state) = watch::channel(State { losses: 0, is_connected: true });
        let options = options
            .name("tower-sse")
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .max_reconnects(None)
            .reconnect_delay_callback(|attempt| {
                let millis = 20_u64.saturating_mul(1 << attempt.min(10));
                Duration::from_millis(millis).min(MAX_RECONNECT_DELAY)
            })
            .event_callback(move |event| {
                match event {
                    Event::Disconnected | Event::Closed => sender.send_modify(|state| {
                        state.losses += 1;
                        state.is_connected = false;
                    }),
                    Event::Connected => sender.send_modify(|state| state.is_connected = true),
                    _ => {}
                }
                async {}
            });
        let client =
            options.connect(servers).await.map_err(|error| NatsError::Connect(error.into()))?;
        let context = ContextBuilder::new()
            .timeout(ANSWER_TIMEOUT)
            .ack_timeout(ANSWER_TIMEOUT)
            .max_ack_inflight(MAX_ACKS)
            .build(client.clone());
        Ok(Self { client, context, state })
    }

    /// Returns a connection that ends at the next loss. Waits for it if the client reconnects.
    pub(super) async fn session(&self) -> Result<Session, BackendError> {
        let mut state = self.state.clone();
        // Whether it was in time is read below.
        drop(timeout(MAX_RECONNECT, state.wait_for(|state| state.is_connected)).await);
        let State { losses, is_connected } = *state.borrow_and_update();
        if is_connected {
            Ok(Session { state, losses })
        } else {
            Err(disconnected(Fault::Unavailable))
        }
    }

    /// Sends a request to the JetStream API. The inner result is the answer of the server.
    ///
    /// An error means that no answer came. The request may have been served.
    pub(super) async fn request(
        &self,
        subject: &str,
        body: &Value,
    ) -> Result<Result<Value, ApiError>, BackendError> {
        let mut session = self.session().await?;
        let subject = format!("$JS.API.{subject}");
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = self.client.request(subject, body);
        let answer = session.limit(answer, Fault::Unavailable).await?.map_err(unavailable)?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(unavailable)?;
        let Some(error) = answer.get("error") else { return Ok(Ok(answer)) };
        let code = error.get("err_code").and_then(Value::as_u64).unwrap_or_default();
        let text =
            error.get("description").and_then(Value::as_str).unwrap_or("an error without text");
        Ok(Err(ApiError { code, text: text.to_owned() }))
    }
}

/// A connection from its start to its loss.
#[derive(Clone, Debug)]
pub(super) struct Session {
    state: watch::Receiver<State>,
    losses: u64,
}

impl Session {
    /// Waits until the connection is lost.
    pub(super) async fn over(&mut self) {
        let losses = self.losses;
        // The sender is dropped with the client's task, and then there is no connection either.
        let _closed = self.state.wait_for(|state| state.losses != losses).await;
    }

    /// Waits for an answer. An error with this fault if the connection is lost before, or if the
    /// answer takes too long.
    pub(super) async fn limit<T>(
        &mut self,
        answer: impl Future<Output = T>,
        fault: Fault,
    ) -> Result<T, BackendError> {
        let late = |_| BackendError::new(fault, "the server did not answer in time");
        match timeout(ANSWER_TIMEOUT, first(answer, self.over())).await.map_err(late)? {
            Some(answer) => Ok(answer),
            None => Err(disconnected(fault)),
        }
    }
}

/// Waits for a future, or until another one is done: then it returns `None`.
pub(super) async fn first<T>(future: impl Future<Output = T>, other: impl Future) -> Option<T> {
    let (mut future, mut other) = (pin!(future), pin!(other));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        other.as_mut().poll(cx).map(|_| None)
    })
    .await
}

pub(super) fn disconnected(fault: Fault) -> BackendError {
    BackendError::new(fault, "the connection to the server was lost")
}

pub(super) fn unavailable(cause: impl Into<BoxError>) -> BackendError {
    BackendError::new(Fault::Unavailable, cause)
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.code)
    }
}

impl std::error::Error for ApiError {}
