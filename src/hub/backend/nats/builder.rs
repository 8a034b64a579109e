//! The options of a connection and of a stream.

use std::{fmt, path::PathBuf, time::Duration};

use super::{
    backend::NatsBackend,
    error::NatsError,
    link::{Link, Login},
    stream::StreamOptions,
    subject::Subjects,
};

/// The name of the stream, unless it is set.
const STREAM: &str = "events";
/// The first segment of all subjects, unless it is set.
const PREFIX: &str = "events";
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_BYTES: u64 = 1 << 30;

/// Where a stream is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NatsStorage {
    /// On disk.
    #[default]
    File,
    /// In the memory of the server. Nothing survives its restart, unless there are other replicas.
    Memory,
}

/// Connects a [`NatsBackend`] with other options than the defaults. Created by
/// [`NatsBackend::builder`].
///
/// The options of the stream count when it is made. A stream that exists keeps its settings.
///
/// ```no_run
/// # async fn run() -> Result<(), tower_sse::BoxError> {
/// use std::time::Duration;
/// use tower_sse::hub::backend::nats::NatsBackend;
///
/// let backend = NatsBackend::builder("nats://n1.example:4222,nats://n2.example:4222")
///     .user_and_password("hub", "secret")
///     .stream("orders")
///     .prefix("shop.orders")
///     .replicas(3)
///     .max_age(Duration::from_secs(7 * 24 * 60 * 60))
///     .connect()
///     .await?;
/// # let _ = backend;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing unless `connect` is called"]
pub struct NatsBuilder {
    urls: String,
    login: Login,
    stream: String,
    prefix: String,
    replicas: u8,
    storage: NatsStorage,
    max_age: Option<Duration>,
    max_bytes: Option<u64>,
    max_messages: Option<u64>,
    compacts_keys: bool,
}

impl NatsBackend {
    /// Connects to a server with the default options, and opens the stream `events`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`NatsBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> Result<Self, NatsError> {
        Self::builder(url).connect().await
    }

    /// Creates a builder. `url` is `nats://host:port`, or `tls://host:port` for TLS. Several URLs of
    /// one cluster are separated by commas. A URL may contain a login: `nats://user:password@host` or
    /// `nats://token@host`.
    pub fn builder(url: impl Into<String>) -> NatsBuilder {
        NatsBuilder {
            urls: url.into(),
            login: Login::default(),
            stream: STREAM.into(),
            prefix: PREFIX.into(),
            replicas: 1,
            storage: NatsStorage::File,
            max_age: Some(MAX_AGE),
            max_bytes: Some(MAX_BYTES),
            max_messages: None,
            compacts_keys: false,
        }
    }
}

impl NatsBuilder {
    /// Sets the name of the stream. Defaults to `events`.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = name.into();
        self
    }

    /// Sets the first segments of all subjects: letters, digits, `-` and `_`, separated by dots.
    /// Defaults to `events`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets on how many servers of a cluster the stream is kept: 1 to 5. Defaults to 1.
    pub fn replicas(mut self, replicas: u8) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets where the stream is kept. Defaults to [`NatsStorage::File`].
    pub fn storage(mut self, storage: NatsStorage) -> Self {
        self.storage = storage;
        self
    }

    /// Sets how long entries are retained. Defaults to a day. `None` is no limit.
    pub fn max_age(mut self, max_age: impl Into<Option<Duration>>) -> Self {
        self.max_age = max_age.into();
        self
    }

    /// Sets how many bytes are retained. Defaults to 1 GiB. `None` is no limit. The server reserves
    /// this much, and refuses the stream if it does not have it.
    pub fn max_bytes(mut self, max_bytes: impl Into<Option<u64>>) -> Self {
        self.max_bytes = max_bytes.into();
        self
    }

    /// Sets how many entries are retained. Defaults to `None`, which is no limit.
    pub fn max_messages(mut self, max_messages: impl Into<Option<u64>>) -> Self {
        self.max_messages = max_messages.into();
        self
    }

    /// Sets whether the server removes the older entries of a key when a newer one is appended.
    /// Defaults to false.
    ///
    /// The state of keys then survives longer within the same bounds. In exchange, entries that a
    /// newer one has replaced are missing when older events are read. A node that follows the log may
    /// miss them too, and then [`Hub::publish`](crate::Hub::publish) waits for its timeout. Set it
    /// equally on all nodes.
    pub fn compact_keys(mut self, compacts_keys: bool) -> Self {
        self.compacts_keys = compacts_keys;
        self
    }

    /// Sets the login. By default it is that of the URL, if there is one.
    pub fn user_and_password(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.login.user_and_password = Some((user.into(), password.into()));
        self
    }

    /// Sets a token as the login. By default it is that of the URL, if there is one.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.login.token = Some(token.into());
        self
    }

    /// Adds the certificates of a PEM file to those that a server's certificate may be signed with.
    /// By default they are those of the system.
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.login.root_certificates = Some(path.into());
        self
    }

    /// Requires TLS for `nats://` too. By default the server decides.
    pub fn require_tls(mut self) -> Self {
        self.login.requires_tls = true;
        self
    }

    /// Connects, and opens the stream. Makes the stream if it does not exist.
    ///
    /// Once connected, the backend reconnects by itself.
    ///
    /// # Errors
    ///
    /// Returns an error if an option is invalid, if no server can be reached, if JetStream refuses
    /// the stream, or if the stream has a setting with which the backend would break a promise.
    pub async fn connect(self) -> Result<NatsBackend, NatsError> {
        let invalid = |text: String| Err(NatsError::Option(text));
        let Some(subjects) = Subjects::new(&self.prefix) else {
            return invalid(format!("the prefix {:?} is not made of plain segments", self.prefix));
        };
        // A server refuses such a name, or takes it for another subject of its API.
        let is_bad =
            |char: char| char.is_whitespace() || char.is_control() || ".*>/\\".contains(char);
        if self.stream.is_empty() || self.stream.len() > 255 || self.stream.contains(is_bad) {
            return invalid(format!("the name {:?} of the stream", self.stream));
        }
        if !(1..=5).contains(&self.replicas) {
            return invalid(format!("{} replicas, 1 to 5 are possible", self.replicas));
        }
        // The server refuses a window for retries below 100 ms, and it is not longer than this.
        if self.max_age.is_some_and(|age| age < Duration::from_secs(1)) {
            return invalid("a max_age below one second".into());
        }
        let link = Link::connect(&self.urls, self.login).await?;
        let options = StreamOptions {
            name: self.stream.into(),
            subjects,
            replicas: self.replicas,
            is_in_memory: self.storage == NatsStorage::Memory,
            max_age: self.max_age,
            max_bytes: self.max_bytes,
            max_messages: self.max_messages,
        };
        NatsBackend::open(link, options, self.compacts_keys).await
    }
}

impl fmt::Debug for NatsBuilder {
    /// Leaves out the login, which may also be part of the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBuilder")
            .field("stream", &self.stream)
            .field("prefix", &self.prefix)
            .field("replicas", &self.replicas)
            .field("storage", &self.storage)
            .field("max_age", &self.max_age)
            .field("max_bytes", &self.max_bytes)
            .field("max_messages", &self.max_messages)
            .field("compact_keys", &self.compacts_keys)
            .finish_non_exhaustive()
    }
}
