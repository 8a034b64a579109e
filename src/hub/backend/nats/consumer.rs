//! A consumer that is read by pull requests over a plain subscription.
//!
//! Its state is in the memory of one server. It disappears with the server, or a few seconds after
//! the last request.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_nats::{HeaderMap, Message, Subscriber};
use futures_core::Stream;
use serde_json::json;
use tokio::time::timeout;

use super::link::{Link, STREAM_NOT_FOUND, Session, unavailable};
use crate::hub::backend::error::{BackendError, Fault};

/// How long a consumer lives without a request.
const MAX_IDLE: Duration = Duration::from_secs(10);
/// How long to wait until a consumer is made, before another one is made.
const CREATE_TIMEOUT: Duration = Duration::from_secs(2);
/// How many consumers to make until one answers.
const MAX_CREATED: usize = 3;

/// Where a consumer starts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// After this place.
    After(u64),
    /// With the newest message of each subject.
    LastPerSubject,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pull {
    pub(super) batch: u64,
    /// The request is over before a message would exceed this.
    pub(super) max_bytes: usize,
    /// How long the request waits for messages. `None` ends it when there are no more.
    pub(super) expires: Option<Duration>,
    /// How often the server shows that it still knows the request.
    pub(super) heartbeat: Option<Duration>,
}

pub(super) struct Consumer {
    link: Link,
    pub(super) session: Session,
    subscription: Subscriber,
    inbox: String,
    /// How many requests were sent. Each has an inbox of its own.
    pulls: u64,
    /// `STREAM.CONSUMER`.
    name: String,
    /// How many messages there were to deliver when it was made.
    pub(super) pending: u64,
    /// How many messages were asked for and have not come.
    pub(super) requested: u64,
}

/// A message, or a word of the server.
#[derive(Debug)]
pub(super) enum Received {
    Message(Message),
    /// The consumer has delivered this number of messages.
    Heartbeat(Option<u64>),
    /// An earlier request is over.
    EarlierDone,
    /// The last request is over: it has expired, or there are no more messages.
    Done,
    /// The last request is over, since the next message would exceed its bytes.
    Full,
    /// The consumer is gone, or something else is wrong.
    Broken(String),
}

impl Consumer {
    /// Makes a consumer of these subjects. `Fault::Lost` if there is no stream.
    pub(super) async fn create(
        link: &Link,
        stream: &str,
        start: Start,
        filters: &[String],
    ) -> Result<Self, BackendError> {
        let mut session = link.session().await?;
        let inbox = link.client.new_inbox();
        let subscribed = link.client.subscribe(format!("{inbox}.*"));
        let subscription = session.limit(subscribed, Fault::Unavailable).await?;
        let subscription = subscription.map_err(unavailable)?;
        let mut config = json!({
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": true,
            "num_replicas": 1,
            "inactive_threshold": nanos(MAX_IDLE),
        });
        match start {
            Start::After(place) => {
                config["deliver_policy"] = "by_start_sequence".into();
                config["opt_start_seq"] = place.saturating_add(1).into();
            }
            Start::LastPerSubject => config["deliver_policy"] = "last_per_subject".into(),
        }
        match filters {
            [] => {}
            [filter] => config["filter_subject"] = filter.as_str().into(),
            filters => config["filter_subjects"] = filters.into(),
        }
        // A server without `filter_subjects` ignores it, and delivers everything.
        let body = json!({ "stream_name": stream, "config": config });
        let subject = format!("CONSUMER.CREATE.{stream}");
        let mut created = 0;
        let answered = loop {
            created += 1;
            // A cluster chooses a server for each consumer. It may choose one that is down, and then no
            // answer comes.
            match timeout(CREATE_TIMEOUT, link.request(&subject, &body)).await {
                Ok(answered) => break answered?,
                Err(_) if created < MAX_CREATED => {}
                Err(_) => {
                    return Err(unavailable("no server of the stream made a consumer in time"));
                }
            }
        };
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) if error.code == STREAM_NOT_FOUND => {
                return Err(BackendError::new(Fault::Lost, error));
            }
            Err(error) => return Err(unavailable(error)),
        };
        let name = answer.get("name").and_then(|name| name.as_str());
        let name = name.ok_or_else(|| unavailable("the server's answer has no consumer"))?;
        let name = format!("{stream}.{name}");
        let pending = answer.get("num_pending").and_then(|pending| pending.as_u64());
        let (link, pending) = (link.clone(), pending.unwrap_or(0));
        Ok(Self { link, session, subscription, inbox, pulls: 0, name, pending, requested: 0 })
    }

    /// Asks for messages.
    pub(super) async fn pull(&mut self, pull: Pull) -> Result<(), BackendError> {
        let mut body = json!({ "batch": pull.batch, "max_bytes": pull.max_bytes });
        match pull.expires {
            Some(expires) => body["expires"] = nanos(expires).into(),
            None => body["no_wait"] = true.into(),
        }
        if let Some(heartbeat) = pull.heartbeat {
            body["idle_heartbeat"] = nanos(heartbeat).into();
        }
        self.pulls += 1;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}", self.name);
        let body = body.to_string().into();
        let sent = self.link.client.publish_with_reply(subject, self.last_inbox(), body);
        self.session.limit(sent, Fault::Unavailable).await?.map_err(unavailable)?;
        self.requested += pull.batch;
        Ok(())
    }

    /// Takes the next message. Cancel safe.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        Pin::new(&mut self.subscription).poll_next(cx).map(|message| match message {
            Some(message) => self.received(message),
            None => Received::Broken("the client was closed".into()),
        })
    }

    /// Returns the inbox of the last request.
    fn last_inbox(&self) -> String {
        format!("{}.{}", self.inbox, self.pulls)
    }

    fn received(&mut self, message: Message) -> Received {
        // A message of the stream may have a status too. Its subject is another one.
        let is_of_server = message.subject.starts_with(&*self.inbox);
        let Some(status) = message.status.filter(|_| is_of_server) else {
            self.requested = self.requested.saturating_sub(1);
            return Received::Message(message);
        };
        let is_of_last = *message.subject == *self.last_inbox();
        let number = |name: &str| number(message.headers.as_ref(), name);
        let text = message.description.as_deref().unwrap_or_default();
        let is_full = text.ends_with("MaxBytes");
        match status.as_u16() {
            100 => Received::Heartbeat(number("Nats-Last-Consumer")),
            404 | 408 => self.is_over(number("Nats-Pending-Messages"), is_of_last, Received::Done),
            409 if is_full => {
                self.is_over(number("Nats-Pending-Messages"), is_of_last, Received::Full)
            }
            // Newer servers say so after the last message of a request.
            409 if text == "Batch Completed" => self.is_over(Some(0), is_of_last, Received::Done),
            code => Received::Broken(format!("{code} {text}")),
        }
    }

    /// Notes that a request is over, and how many of its messages will not come: `None` is all that were
    /// asked for.
    fn is_over(&mut self, left: Option<u64>, is_of_last: bool, received: Received) -> Received {
        self.requested = self.requested.saturating_sub(left.unwrap_or(self.requested));
        if is_of_last { received } else { Received::EarlierDone }
    }
}

impl Drop for Consumer {
    /// Deletes the consumer, unless the client is busy: then it disappears by itself.
    fn drop(&mut self) {
        let Some((stream, name)) = self.name.split_once('.') else { return };
        let subject = format!("$JS.API.CONSUMER.DELETE.{stream}.{name}");
        let mut sent = Box::pin({
            let client = self.link.client.clone();
            async move { client.publish(subject, bytes::Bytes::new()).await }
        });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _sent = sent.as_mut().poll(&mut cx);
    }
}

fn number(headers: Option<&HeaderMap>, name: &str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
