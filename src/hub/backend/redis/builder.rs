//! The settings of a log in Redis.

use std::{collections::HashMap, fmt, time::Duration};

use redis::Client;

use super::{
    backend::RedisBackend,
    link::{self, Link},
    options::Options,
};
use crate::{
    hub::backend::error::{BackendError, Fault},
    trace,
};

/// The settings of a [`RedisBackend`]. Created by [`RedisBackend::builder`].
#[must_use = "a builder does nothing until it connects"]
#[derive(Clone)]
pub struct RedisBuilder {
    url: String,
    options: Options,
}

impl RedisBuilder {
    fn new(url: String) -> Self {
        let options = Options {
            log: "events".into(),
            max_entries: 100_000,
            max_entry_bytes: 1 << 20,
            topic_ttl: Duration::from_secs(24 * 60 * 60),
        };
        Self { url, options }
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

    /// Sets how long a topic is kept after its last entry, for readers that start from its start and for
    /// the state of its keys. Defaults to a day.
    pub fn topic_ttl(mut self, ttl: Duration) -> Self {
        self.options.topic_ttl = ttl.max(Duration::from_millis(1));
        self
    }

    /// Connects, and makes the log if it does not exist.
    ///
    /// Logs a warning if Redis may evict keys, or persists nothing.
    ///
    /// # Errors
    ///
    /// Returns [`Fault::Refused`] if the URL or the name of the log is invalid, the password is wrong, or
    /// the key of the log has another type. Returns [`Fault::Unavailable`] if the server cannot be reached.
    pub async fn connect(self) -> Result<RedisBackend, BackendError> {
        let refused = |text: &str| BackendError::new(Fault::Refused, text);
        if self.options.log.is_empty() || self.options.log.contains(['{', '}']) {
            return Err(refused("the name of a log must not be empty or contain { or }"));
        }
        let client = Client::open(self.url).map_err(|error| link::fault(error, Fault::Refused))?;
        let backend = RedisBackend::new(Link::new(client), self.options);
        backend.find().await?;
        backend.check_server().await;
        Ok(backend)
    }
}

impl RedisBackend {
    /// Returns a builder for a server. The URL has the form
    /// `redis://[user][:password@]host[:port][/database]`.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder::new(url.into())
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
