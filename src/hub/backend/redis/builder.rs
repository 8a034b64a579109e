//! The settings of a log in Redis.

use std::{collections::HashMap, fmt, time::Duration};

use redis::{ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};

use super::{backend::RedisBackend, error::fault, link::Link, options::Options, servers::Servers};
use crate::{
    hub::backend::error::{BackendError, Fault},
    trace,
};

/// The settings of a [`RedisBackend`]. Created by [`RedisBackend::builder`],
/// [`RedisBackend::sentinels`], or [`RedisBackend::cluster`].
#[must_use = "a builder does nothing until it connects"]
#[derive(Clone)]
pub struct RedisBuilder {
    way: Way,
    login: Login,
    options: Options,
}

/// How the server is found.
#[derive(Clone)]
enum Way {
    Url(String),
    Sentinels { urls: Vec<String>, master: String },
    Cluster { urls: Vec<String> },
}

impl Way {
    fn servers(self, login: Login, log: &str) -> Result<Servers, BackendError> {
        let with_login = |url: String| {
            let info = parse(url)?;
            let settings = login.clone().add_to(info.redis_settings().clone());
            Ok::<_, BackendError>(info.set_redis_settings(settings))
        };
        Ok(match self {
            Self::Url(url) => Servers::One(with_login(url)?),
            Self::Sentinels { urls, master } => {
                let sentinels = urls.into_iter().map(parse).collect::<Result<_, _>>()?;
                Servers::sentinels(sentinels, master, login.add_to(RedisConnectionInfo::default()))
            }
            Self::Cluster { urls } => {
                let nodes = urls.into_iter().map(with_login).collect::<Result<_, _>>()?;
                Servers::cluster(nodes, log.to_owned())
            }
        })
    }
}

fn parse(url: String) -> Result<ConnectionInfo, BackendError> {
    url.into_connection_info().map_err(|error| fault(error, Fault::Refused))
}

/// The login at the servers with the data, where it is not in their URLs.
#[derive(Clone, Default)]
struct Login {
    username: Option<String>,
    password: Option<String>,
    database: Option<i64>,
}

impl Login {
    fn add_to(self, mut settings: RedisConnectionInfo) -> RedisConnectionInfo {
        if let Some(username) = self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = self.password {
            settings = settings.set_password(password);
        }
        if let Some(database) = self.database {
            settings = settings.set_db(database);
        }
        settings
    }
}

impl RedisBuilder {
    fn new(way: Way) -> Self {
        let options = Options {
            log: "events".into(),
            max_entries: 100_000,
            max_entry_bytes: 1 << 20,
            topic_ttl: Duration::from_secs(24 * 60 * 60),
        };
        Self { way, login: Login::default(), options }
    }

    /// Sets the name of the user at the servers that have the data. Defaults to the one in their URLs. The
    /// URL of a Sentinel has the user at the Sentinel, not at the master.
    pub fn username(mut self, name: impl Into<String>) -> Self {
        self.login.username = Some(name.into());
        self
    }

    /// Sets the password at the servers that have the data. Defaults to the one in their URLs. The URL of
    /// a Sentinel has the password of the Sentinel, not of the master.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.login.password = Some(password.into());
        self
    }

    /// Sets the number of the database. Defaults to the one in the URL, and to 0 with Sentinels. A
    /// cluster has only database 0.
    pub fn database(mut self, number: i64) -> Self {
        self.login.database = Some(number);
        self
    }

    /// Sets the key of the log. All nodes of a hub have the same one. Defaults to `events`.
    pub fn log(mut self, key: impl Into<String>) -> Self {
        self.options.log = key.into();
        self
    }

    /// Sets about how many entries the log retains, over all topics. At least 1. Defaults to 100,000.
    pub fn max_entries(mut self, max: u64) -> Self {
        self.options.max_entries = max.max(1);
        self
    }

    /// Sets the largest size of an entry, in bytes: topic, key, fields and data. Defaults to 1 MiB. A
    /// node reads up to 256 entries at a time.
    pub fn max_entry_bytes(mut self, max: usize) -> Self {
        self.options.max_entry_bytes = max;
        self
    }

    /// Sets how long a topic is kept after its last entry, for the state of its keys and for readers that start
    /// from its start: these get a gap once its first entry is older than this. Defaults to a day. All nodes
    /// need the same value.
    pub fn topic_ttl(mut self, ttl: Duration) -> Self {
        self.options.topic_ttl = ttl.max(Duration::from_millis(1));
        self
    }

    /// Connects, and makes the log if it does not exist.
    ///
    /// Logs a warning if Redis may evict keys (`maxmemory` is set, and the policy is not `noeviction`), and if
    /// `appendonly` is off.
    ///
    /// # Errors
    ///
    /// Returns [`Fault::Refused`] if a URL or the name of the log is invalid, the password is wrong, no
    /// Sentinel knows the master, or the key of the log has another type. Returns [`Fault::Unavailable`] if
    /// the server cannot be reached.
    pub async fn connect(self) -> Result<RedisBackend, BackendError> {
        let refused = |text: &str| BackendError::new(Fault::Refused, text);
        if self.options.log.is_empty() || self.options.log.contains(['{', '}']) {
            return Err(refused("the name of a log must not be empty or contain { or }"));
        }
        let servers = self.way.servers(self.login, &self.options.log)?;
        let backend = RedisBackend::new(Link::new(servers), self.options);
        backend.find().await?;
        backend.check_server().await;
        Ok(backend)
    }
}

impl RedisBackend {
    /// Returns a builder for a server. The URL has the form
    /// `redis://[user][:password@]host[:port][/database]`.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(Way::Url(url.into()))
    }

    /// Returns a builder for the master of this name, which these Sentinels know. The URL of a Sentinel
    /// has the form `redis://[user][:password@]host[:port]`, where user and password are those of the
    /// Sentinel, and its port is usually 26379.
    ///
    /// For each new connection, the Sentinels are asked one after the other until one names a master that
    /// can be reached, for up to two seconds each. So a failover is followed. A server that is not a master
    /// is not used.
    ///
    /// ```no_run
    /// # async fn open() -> Result<(), tower_sse::BoxError> {
    /// use tower_sse::hub::backend::redis::RedisBackend;
    ///
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let backend = RedisBackend::sentinels(sentinels, "mymaster").password("secret").connect().await?;
    /// # Ok(()) }
    /// ```
    pub fn sentinels<U: Into<String>>(
        urls: impl IntoIterator<Item = U>,
        master: impl Into<String>,
    ) -> RedisBuilder {
        let urls = urls.into_iter().map(Into::into).collect();
        RedisBuilder::new(Way::Sentinels { urls, master: master.into() })
    }

    /// Returns a builder for a Redis Cluster. Each URL is that of a node, of the form that
    /// [`builder`](Self::builder) takes, and any node will do. Name nodes of several machines, since one
    /// of them has to answer.
    ///
    /// All keys of a log are in one slot. For each new connection, the nodes are asked one after the other
    /// for the one that has the slot, for up to two seconds each. It is reached with the login of the node
    /// that has named it.
    pub fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> RedisBuilder {
        RedisBuilder::new(Way::Cluster { urls: urls.into_iter().map(Into::into).collect() })
    }

    /// Warns of settings of the server with which acknowledged entries get lost.
    async fn check_server(&self) {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("maxmemory*").arg("appendonly").arg("save");
        // A server may forbid this command. Then nothing is known.
        let Ok(settings) = self.shared.link.query::<HashMap<String, String>>(&command).await else {
            return;
        };
        let setting = |name: &str| settings.get(name).map_or("", String::as_str);
        for warning in warnings(&setting) {
            trace::engine_warning(&warning);
        }
    }
}

fn warnings<'a>(setting: &impl Fn(&str) -> &'a str) -> Vec<String> {
    let mut warnings = Vec::new();
    let policy = setting("maxmemory-policy");
    if setting("maxmemory") != "0" && policy != "noeviction" {
        warnings.push(format!(
            "Redis may evict the log: maxmemory-policy is {policy}. Set it to noeviction"
        ));
    }
    if setting("appendonly") == "no" && setting("save").is_empty() {
        warnings.push(
            "Redis persists nothing: a restart loses the log. Set appendonly to yes".to_owned(),
        );
    } else if setting("appendonly") == "no" {
        warnings.push(
            "Redis persists snapshots only: a crash loses entries since the last one. Set appendonly \
             to yes"
                .to_owned(),
        );
    }
    warnings
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL is omitted: it may contain a password.
        f.debug_struct("RedisBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_lose_entries_are_warned_of() {
        let warnings = |maxmemory, policy, appendonly, save| {
            let setting = |name: &str| match name {
                "maxmemory" => maxmemory,
                "maxmemory-policy" => policy,
                "appendonly" => appendonly,
                _ => save,
            };
            warnings(&setting).len()
        };
        assert_eq!(warnings("0", "noeviction", "yes", ""), 0);
        assert_eq!(warnings("0", "allkeys-lru", "yes", ""), 0);
        assert_eq!(warnings("100", "noeviction", "yes", ""), 0);
        assert_eq!(warnings("100", "allkeys-lru", "no", ""), 2);
        assert_eq!(warnings("100", "volatile-lru", "no", "3600 1"), 2);
    }
}
