//! The stream that is the log: how it is made, checked and identified.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    error::{NatsError, NatsSettingError},
    link::{ApiError, Link, MESSAGE_NOT_FOUND, STREAM_EXISTS, STREAM_NOT_FOUND, unavailable},
    message::{ATTEMPT, MESSAGE_ID, check},
    raw_headers,
    subject::Subjects,
    timestamp::parse_nanos,
};
use crate::hub::backend::{
    error::{BackendError, Fault},
    identity::Identity,
    position::Position,
};

/// The longest window in which a server recognizes retries.
pub(super) const MAX_DEDUP: Duration = Duration::from_secs(120);
/// What a message takes in addition to its headers and data: its subject, and the server's record.
const MESSAGE_OVERHEAD: u64 = 8 << 10;
/// The name of the identity in the metadata of the stream.
const IDENTITY: &str = "tower-sse-identity";

/// How a stream is made that does not exist.
#[derive(Clone, Debug)]
pub(super) struct StreamOptions {
    pub(super) name: Box<str>,
    pub(super) subjects: Subjects,
    pub(super) replicas: u8,
    pub(super) is_in_memory: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) max_bytes: Option<u64>,
    pub(super) max_messages: Option<u64>,
}

/// The stream at one moment.
#[derive(Clone, Debug)]
pub(super) struct StreamInfo {
    pub(super) identity: Identity,
    /// The place of the oldest retained message, or the place after the newest one.
    pub(super) first: u64,
    /// The place of the newest message, also if it was removed.
    pub(super) last: u64,
    /// The number of retained messages.
    pub(super) messages: u64,
    pub(super) limits: Limits,
    pub(super) has_message_ttl: bool,
    /// On how many servers it is.
    pub(super) replicas: u64,
    /// The largest message, with its headers.
    pub(super) max_message_size: Option<u64>,
    pub(super) dedup: Duration,
}

/// The bounds of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_age: Option<Duration>,
    pub(super) max_bytes: Option<u64>,
    pub(super) max_messages: Option<u64>,
}

/// Why there is no information about the stream.
#[derive(Debug)]
pub(super) enum StreamFault {
    /// There is no such stream.
    Missing,
    Backend(BackendError),
    Unusable(NatsError),
}

/// A message, as the server returns it on request.
#[derive(Clone, Copy, Debug)]
struct StoredMessage {
    at: Position,
    /// Whether the client can read its headers.
    is_readable: bool,
}

/// The message at a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stored {
    At(Position),
    Missing,
}

impl StreamOptions {
    /// Returns the window in which the server is to recognize retries.
    fn dedup(&self) -> Duration {
        // The server refuses a longer window.
        self.max_age.map_or(MAX_DEDUP, |age| age.min(MAX_DEDUP))
    }

    fn config(&self) -> Value {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let limit = |limit: Option<u64>| limit.map_or(json!(-1), |limit| json!(limit));
        let identity = hex(Identity::random());
        json!({
            "name": self.name,
            "description": format!("the log of a hub of tower-sse, {IDENTITY}={identity}"),
            "subjects": [self.subjects.all()],
            "retention": "limits",
            "discard": "old",
            "storage": if self.is_in_memory { "memory" } else { "file" },
            "num_replicas": self.replicas,
            "max_age": self.max_age.map_or(0, nanos),
            "max_bytes": limit(self.max_bytes),
            "max_msgs": limit(self.max_messages),
            "duplicate_window": nanos(self.dedup()),
            "allow_rollup_hdrs": true,
            "allow_direct": true,
            // Servers before 2.10 ignore the metadata, servers before 2.11 the time to live.
            "metadata": { IDENTITY: identity },
            "allow_msg_ttl": true,
        })
    }

    /// Returns the stream, or makes it if it does not exist.
    pub(super) async fn open(&self, link: &Link) -> Result<StreamInfo, StreamFault> {
        // Other nodes may make, change and delete it meanwhile.
        for _ in 0..4 {
            match self.info(link).await {
                Err(StreamFault::Missing) => {}
                found => return found,
            }
            let subject = format!("STREAM.CREATE.{}", self.name);
            match link.request(&subject, &self.config()).await? {
                Ok(answer) => return self.read_info(&answer),
                Err(error) if error.code == STREAM_EXISTS => {}
                Err(error) => return Err(StreamFault::Unusable(NatsError::Request(error.into()))),
            }
        }
        Err(StreamFault::Backend(unavailable("the stream is made and deleted again and again")))
    }

    /// Returns the stream, with an identity.
    pub(super) async fn info(&self, link: &Link) -> Result<StreamInfo, StreamFault> {
        let answer = self.request_info(link).await?;
        let config = answer.get("config").unwrap_or(&Value::Null);
        if identity(config).is_some() {
            return self.read_info(&answer);
        }
        // Somebody else has made the stream. Check it before it is changed.
        self.check(config).map_err(|error| StreamFault::Unusable(NatsError::Setting(error)))?;
        let mut config = config.clone();
        let id = hex(Identity::random());
        let old = config.get("description").and_then(Value::as_str).unwrap_or_default();
        config["description"] = format!("{old} {IDENTITY}={id}").trim().into();
        if !config["metadata"].is_object() {
            config["metadata"] = json!({});
        }
        config["metadata"][IDENTITY] = id.into();
        let updated = link.request(&format!("STREAM.UPDATE.{}", self.name), &config).await?;
        updated.map_err(|error| StreamFault::Unusable(NatsError::Request(error.into())))?;
        // Another node may have done the same. The last one counts, for both.
        let answer = self.request_info(link).await?;
        self.read_info(&answer)
    }

    async fn request_info(&self, link: &Link) -> Result<Value, StreamFault> {
        match link.request(&format!("STREAM.INFO.{}", self.name), &Value::Null).await? {
            Ok(answer) => Ok(answer),
            Err(error) if error.code == STREAM_NOT_FOUND => Err(StreamFault::Missing),
            Err(error) => Err(StreamFault::Unusable(NatsError::Request(error.into()))),
        }
    }

    fn read_info(&self, answer: &Value) -> Result<StreamInfo, StreamFault> {
        let config = answer.get("config").unwrap_or(&Value::Null);
        self.check(config).map_err(|error| StreamFault::Unusable(NatsError::Setting(error)))?;
        let broken = || StreamFault::Backend(unavailable("the server's answer has no state"));
        let number = |name: &str| answer.pointer(&format!("/state/{name}"))?.as_u64();
        let identity = identity(config).ok_or_else(broken)?;
        let first = number("first_seq").ok_or_else(broken)?;
        let last = number("last_seq").ok_or_else(broken)?;
        Ok(StreamInfo {
            identity,
            // An empty stream has 0 in some versions.
            first: first.max(1),
            last,
            messages: number("messages").ok_or_else(broken)?,
            limits: Limits {
                max_age: limit(config, "max_age").map(Duration::from_nanos),
                max_bytes: limit(config, "max_bytes"),
                max_messages: limit(config, "max_msgs"),
            },
            has_message_ttl: is_set(config, "allow_msg_ttl"),
            replicas: limit(config, "num_replicas").unwrap_or(1),
            max_message_size: limit(config, "max_msg_size"),
            dedup: limit(config, "duplicate_window").map_or(Duration::ZERO, Duration::from_nanos),
        })
    }

    /// Checks that the stream has no setting with which a promise would be broken.
    fn check(&self, config: &Value) -> Result<(), NatsSettingError> {
        let fail = |setting: &'static str, cure: String| {
            let value = config.get(setting).unwrap_or(&Value::Null).to_string();
            Err(NatsSettingError::new(&self.name, setting, value, cure))
        };
        let text = |setting: &str| config.get(setting).and_then(Value::as_str).unwrap_or_default();
        let all = self.subjects.all();
        let subjects = config.get("subjects").and_then(Value::as_array);
        if !subjects.is_some_and(|subjects| subjects.iter().any(|it| *it == *all)) {
            return fail("subjects", format!("add {all:?}, the subjects of the hub's topics"));
        }
        if text("retention") != "limits" {
            let cure = "make the stream again with the retention \"limits\", since otherwise reading \
                        removes entries";
            return fail("retention", cure.into());
        }
        if text("discard") != "old" {
            let cure =
                "set it to \"old\", since otherwise entries are refused once the stream is full";
            return fail("discard", cure.into());
        }
        if limit(config, "max_msgs_per_subject").is_some() {
            let cure = "set it to -1 and limit max_age, max_bytes or max_msgs instead, since \
                        otherwise entries disappear from the middle of the log";
            return fail("max_msgs_per_subject", cure.into());
        }
        let needed = limit(config, "max_age")
            .map_or(MAX_DEDUP, |age| MAX_DEDUP.min(Duration::from_nanos(age)));
        if limit(config, "duplicate_window").is_none_or(|it| Duration::from_nanos(it) < needed) {
            let cure = format!(
                "set it to {needed:?} or more, since otherwise a retry may append an entry twice"
            );
            return fail("duplicate_window", cure);
        }
        if !is_set(config, "allow_rollup_hdrs") {
            let cure = "set it to true, since otherwise entries with keys cannot be compacted";
            return fail("allow_rollup_hdrs", cure.into());
        }
        for (setting, cure) in [
            (
                "deny_purge",
                "make the stream again without it, since topics that are over are purged",
            ),
            ("no_ack", "set it to false, since otherwise no append is acknowledged"),
            ("sealed", "make the stream again, since nothing can be appended to a sealed one"),
        ] {
            if is_set(config, setting) {
                return fail(setting, cure.into());
            }
        }
        for (setting, cure) in [
            ("mirror", "use the original stream, since nothing can be appended to a mirror"),
            ("subject_transform", "remove it, since topics are found by the subjects as published"),
        ] {
            if config.get(setting).is_some_and(|value| !value.is_null()) {
                return fail(setting, cure.into());
            }
        }
        Ok(())
    }

    /// Asks for the position of the message at a place.
    pub(super) async fn stored(&self, link: &Link, place: u64) -> Result<Stored, BackendError> {
        let message = self.message(link, &json!({ "seq": place })).await?;
        Ok(message.map_or(Stored::Missing, |message| Stored::At(message.at)))
    }

    /// Returns the position of the newest message with a subject.
    pub(super) async fn last_of(
        &self,
        link: &Link,
        subject: &str,
    ) -> Result<Option<Position>, BackendError> {
        let message = self.message(link, &json!({ "last_by_subj": subject })).await?;
        Ok(message.map(|message| message.at))
    }

    /// Returns the subjects of messages that match a filter.
    pub(super) async fn subjects_like(
        &self,
        link: &Link,
        filter: &str,
    ) -> Result<Vec<String>, BackendError> {
        let subject = format!("STREAM.INFO.{}", self.name);
        match link.request(&subject, &json!({ "subjects_filter": filter })).await? {
            Ok(info) => {
                let counts = info.pointer("/state/subjects").and_then(Value::as_object);
                let subjects = counts.into_iter().flat_map(|counts| counts.keys());
                // A subject with a wildcard is junk, and would be a filter for others.
                Ok(subjects.filter(|subject| !subject.contains(['*', '>'])).cloned().collect())
            }
            Err(error) if error.code == STREAM_NOT_FOUND => {
                Err(BackendError::new(Fault::Lost, error))
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Returns the position of the next message from a place, if the client cannot read it.
    pub(super) async fn next_unreadable(
        &self,
        link: &Link,
        place: u64,
        filters: &[String],
    ) -> Result<Option<Position>, BackendError> {
        let next = self.next(link, place, filters).await?;
        Ok(next.filter(|next| !next.is_readable).map(|next| next.at))
    }

    /// Returns the place of the next message from a place.
    pub(super) async fn next_place(
        &self,
        link: &Link,
        place: u64,
        filters: &[String],
    ) -> Result<Option<u64>, BackendError> {
        Ok(self.next(link, place, filters).await?.map(|next| next.at.major()))
    }

    async fn next(
        &self,
        link: &Link,
        place: u64,
        filters: &[String],
    ) -> Result<Option<StoredMessage>, BackendError> {
        let mut next: Option<StoredMessage> = None;
        for filter in filters {
            let query = json!({ "seq": place, "next_by_subj": filter });
            let found = self.message(link, &query).await?;
            next = match (next, found) {
                (Some(next), Some(found)) if found.at.major() < next.at.major() => Some(found),
                (next, found) => next.or(found),
            };
        }
        Ok(next)
    }

    async fn message(
        &self,
        link: &Link,
        query: &Value,
    ) -> Result<Option<StoredMessage>, BackendError> {
        let subject = format!("STREAM.MSG.GET.{}", self.name);
        let answer = match link.request(&subject, query).await? {
            Ok(answer) => answer,
            Err(ApiError { code: MESSAGE_NOT_FOUND | STREAM_NOT_FOUND, .. }) => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        };
        let text = |name: &str| answer.pointer(&format!("/message/{name}"))?.as_str();
        let place = answer.pointer("/message/seq").and_then(Value::as_u64);
        let headers = text("hdrs");
        let header = |name: &str| raw_headers::find(headers?, name);
        let nanos = text("time").and_then(parse_nanos);
        let (Some(place), Some(nanos)) = (place, nanos) else {
            return Err(unavailable("the server's answer has no place or time"));
        };
        let check = check(header(MESSAGE_ID).as_deref(), header(ATTEMPT).as_deref(), nanos);
        let at = Position::new(place).with_check(check);
        Ok(Some(StoredMessage { at, is_readable: headers.is_none_or(raw_headers::are_readable) }))
    }
}

impl StreamInfo {
    /// Returns whether no entry after a place can have been removed to keep the stream within its
    /// bounds. `elapsed` is at least the time since the entry at this place was stored, if it is
    /// known, and `largest` is the size of the largest message.
    pub(super) fn retains_all_after(
        &self,
        place: u64,
        elapsed: Option<Duration>,
        largest: usize,
    ) -> bool {
        // The oldest entries are removed first.
        if self.first <= place.saturating_add(1) {
            return true;
        }
        let Limits { max_age, max_bytes, max_messages } = self.limits;
        let later = self.last.saturating_sub(place);
        let size = (largest as u64).saturating_add(MESSAGE_OVERHEAD).saturating_mul(later);
        max_age.is_none_or(|max| elapsed.is_some_and(|elapsed| elapsed < max))
            && max_messages.is_none_or(|max| later <= max)
            && max_bytes.is_none_or(|max| size <= max)
    }
}

impl From<BackendError> for StreamFault {
    fn from(error: BackendError) -> Self {
        Self::Backend(error)
    }
}

impl From<StreamFault> for BackendError {
    fn from(fault: StreamFault) -> Self {
        match fault {
            StreamFault::Missing => unavailable("the stream does not exist"),
            StreamFault::Backend(error) => error,
            StreamFault::Unusable(error) => unavailable(error),
        }
    }
}

/// Returns a limit. Servers write that there is no limit as -1 or 0, or omit it.
fn limit(config: &Value, setting: &str) -> Option<u64> {
    config.get(setting).and_then(Value::as_u64).filter(|limit| *limit > 0)
}

fn is_set(config: &Value, setting: &str) -> bool {
    config.get(setting).and_then(Value::as_bool).unwrap_or_default()
}

fn hex(identity: Identity) -> String {
    format!("{:032x}", u128::from_be_bytes(*identity.as_bytes()))
}

fn identity(config: &Value) -> Option<Identity> {
    let of_metadata = config.pointer(&format!("/metadata/{IDENTITY}")).and_then(Value::as_str);
    let of_description = || {
        let description = config.get("description")?.as_str()?;
        description.split_once(&format!("{IDENTITY}="))?.1.get(..32)
    };
    let digits = of_metadata.or_else(of_description)?;
    Some(Identity::new(u128::from_str_radix(digits, 16).ok()?.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> StreamOptions {
        StreamOptions {
            name: "S".into(),
            subjects: Subjects::new("events").unwrap(),
            replicas: 1,
            is_in_memory: false,
            max_age: None,
            max_bytes: None,
            max_messages: None,
        }
    }

    #[test]
    fn the_stream_that_is_made_passes_the_check() {
        let config = options().config();
        assert_eq!(options().check(&config), Ok(()));
        assert!(identity(&config).is_some());
        let mut without_metadata = config.clone();
        without_metadata["metadata"] = Value::Null;
        assert_eq!(identity(&config), identity(&without_metadata));
        let short = StreamOptions { max_age: Some(Duration::from_secs(5)), ..options() };
        assert_eq!(short.config()["duplicate_window"], 5_000_000_000_u64);
        assert_eq!(options().check(&short.config()), Ok(()));
    }

    #[test]
    fn a_setting_that_breaks_a_promise_is_named() {
        for (setting, value) in [
            ("subjects", json!(["events.orders.>"])),
            ("retention", json!("workqueue")),
            ("retention", json!("interest")),
            ("discard", json!("new")),
            ("max_msgs_per_subject", json!(1)),
            ("duplicate_window", json!(1_000_000_000)),
            ("allow_rollup_hdrs", json!(false)),
            ("deny_purge", json!(true)),
            ("no_ack", json!(true)),
            ("sealed", json!(true)),
            ("mirror", json!({ "name": "other" })),
            ("subject_transform", json!({ "src": "a", "dest": "b" })),
        ] {
            let mut config = options().config();
            config[setting] = value.clone();
            let error = options().check(&config).unwrap_err();
            assert_eq!((error.setting(), error.value()), (setting, &*value.to_string()));
        }
    }

    #[test]
    fn entries_are_retained_if_the_bounds_were_not_reached() {
        let limits = Limits {
            max_age: Some(Duration::from_secs(9)),
            max_bytes: Some(50_000),
            max_messages: Some(5),
        };
        let info = |first, last| StreamInfo {
            identity: Identity::new([0; 16]),
            first,
            last,
            messages: 1,
            limits,
            replicas: 1,
            has_message_ttl: false,
            max_message_size: None,
            dedup: MAX_DEDUP,
        };
        let retains = |first, last, seconds| {
            info(first, last).retains_all_after(10, Some(Duration::from_secs(seconds)), 1000)
        };
        // The entry itself, or the one after it, is retained.
        assert!(retains(10, 99, 99) && retains(11, 99, 99));
        assert!(retains(12, 15, 8));
        assert!(!retains(12, 15, 9), "they may be too old");
        assert!(!retains(12, 16, 8), "they may be too many or too large");
    }
}
