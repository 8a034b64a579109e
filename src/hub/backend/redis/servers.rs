//! Finds the server that has the log.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisConnectionInfo,
    RedisError, ServerErrorKind, Value, aio::MultiplexedConnection,
};
use tokio::time::timeout;

use super::{error::fault, message::text};
use crate::hub::backend::error::{BackendError, Fault};

/// How long it may take to make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reply may take. A command that reads a page or appends takes milliseconds.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one of several servers may take to connect, and to answer a question. Then the next one is
/// asked.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the server is found.
pub(super) enum Servers {
    /// One server.
    One(ConnectionInfo),
    /// The master that Sentinels name.
    Sentinels(Sentinels),
    /// The node of a cluster that has the slot of the log.
    Cluster(Cluster),
}

pub(super) struct Sentinels {
    sentinels: Vec<ConnectionInfo>,
    /// The name of the master.
    master: String,
    /// The login at the master.
    login: RedisConnectionInfo,
    /// The Sentinel that was right last. It is asked first.
    first: AtomicUsize,
}

pub(super) struct Cluster {
    /// The nodes that are asked.
    nodes: Vec<ConnectionInfo>,
    /// The key of the log.
    log: String,
    /// The node that had the slot last. It is asked first.
    owner: Mutex<Option<ConnectionInfo>>,
}

/// A connection, and the address of its server.
pub(super) struct Server {
    pub(super) connection: MultiplexedConnection,
    pub(super) address: Arc<str>,
}

impl Servers {
    pub(super) fn sentinels(
        sentinels: Vec<ConnectionInfo>,
        master: String,
        login: RedisConnectionInfo,
    ) -> Self {
        Self::Sentinels(Sentinels { sentinels, master, login, first: AtomicUsize::new(0) })
    }

    pub(super) fn cluster(nodes: Vec<ConnectionInfo>, log: String) -> Self {
        Self::Cluster(Cluster { nodes, log, owner: Mutex::default() })
    }

    /// Finds the server and connects to it. A reply may take up to `max_wait` longer than usual.
    pub(super) async fn connect(&self, max_wait: Duration) -> Result<Server, BackendError> {
        match self {
            Self::One(info) => {
                let server = open(info, CONNECT_TIMEOUT, max_wait).await;
                server.map_err(|error| fault(error, Fault::Unavailable))
            }
            Self::Sentinels(sentinels) => sentinels.connect(max_wait).await,
            Self::Cluster(cluster) => cluster.connect(max_wait).await,
        }
    }
}

impl Sentinels {
    async fn connect(&self, max_wait: Duration) -> Result<Server, BackendError> {
        let (mut failed, mut unknown, mut tried) = (None, 0, Vec::new());
        let first = self.first.load(Ordering::Relaxed);
        for n in (first..self.sentinels.len()).chain(0..first) {
            let sentinel = &self.sentinels[n];
            let found = match self.ask(sentinel).await {
                Ok(Some((host, port))) => at(sentinel.addr(), host, port),
                Ok(None) => {
                    unknown += 1;
                    continue;
                }
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            if tried.contains(&found) {
                continue;
            }
            let info = sentinel.clone().set_addr(found.clone());
            match open_master(&info.set_redis_settings(self.login.clone()), max_wait).await {
                Ok(server) => {
                    self.first.store(n, Ordering::Relaxed);
                    return Ok(server);
                }
                Err(error) => failed = Some(error),
            }
            tried.push(found);
        }
        match failed {
            Some(error) => Err(fault(error, Fault::Unavailable)),
            None => {
                let fault = if unknown == self.sentinels.len() {
                    Fault::Refused
                } else {
                    Fault::Unavailable
                };
                Err(BackendError::new(fault, format!("no Sentinel knows {:?}", self.master)))
            }
        }
    }

    /// Asks a Sentinel for the address of the master.
    async fn ask(&self, sentinel: &ConnectionInfo) -> Result<Option<(String, u16)>, RedisError> {
        let mut connection = open(sentinel, ASK_TIMEOUT, Duration::ZERO).await?.connection;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        in_time(question.query_async(&mut connection)).await
    }
}

/// Connects to a server, and makes sure that it is a master.
async fn open_master(info: &ConnectionInfo, max_wait: Duration) -> Result<Server, RedisError> {
    let mut server = open(info, ASK_TIMEOUT, max_wait).await?;
    match in_time(redis::cmd("ROLE").query_async::<Value>(&mut server.connection)).await {
        Ok(role) if is_replica(&role) => {
            Err((ErrorKind::Io, "the Sentinels name a server that is a replica").into())
        }
        Ok(_) => Ok(server),
        // Then it is not known.
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => Ok(server),
        Err(error) => Err(error),
    }
}

/// Returns whether this is the reply to `ROLE` of a replica.
pub(super) fn is_replica(role: &Value) -> bool {
    let Value::Array(role) = role else { return false };
    role.first().and_then(text) == Some("slave")
}

impl Cluster {
    async fn connect(&self, max_wait: Duration) -> Result<Server, BackendError> {
        let owner = self.owner.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut nodes: VecDeque<_> = owner.into_iter().chain(self.nodes.iter().cloned()).collect();
        let (mut failed, mut tried) = (None, Vec::new());
        while let Some(node) = nodes.pop_front() {
            if tried.contains(node.addr()) {
                continue;
            }
            tried.push(node.addr().clone());
            match self.open_owner(&node, max_wait).await {
                Ok(server) => {
                    *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
                    return Ok(server);
                }
                Err(error) => {
                    nodes.extend(moved_to(&node, &error));
                    // The node that the others name comes next.
                    nodes.rotate_right(usize::from(moved_to(&node, &error).is_some()));
                    failed = Some(error);
                }
            }
        }
        Err(match failed {
            Some(error) => fault(error, Fault::Unavailable),
            None => BackendError::new(Fault::Refused, "no node of the cluster is given"),
        })
    }

    /// Connects to a node. Returns an error if it does not have the slot of the log.
    async fn open_owner(
        &self,
        node: &ConnectionInfo,
        max_wait: Duration,
    ) -> Result<Server, RedisError> {
        let mut server = open(node, ASK_TIMEOUT, max_wait).await?;
        let mut question = redis::cmd("EXISTS");
        question.arg(&self.log);
        in_time(question.query_async::<Value>(&mut server.connection)).await?;
        Ok(server)
    }
}

/// Returns the node that has the slot, by the error of another node.
fn moved_to(asked: &ConnectionInfo, error: &RedisError) -> Option<ConnectionInfo> {
    if error.kind() != ErrorKind::Server(ServerErrorKind::Moved) {
        return None;
    }
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    // A node that does not know its own name gives none: it has the one that it was asked by.
    let host = match (host, asked.addr()) {
        ("" | "?", ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) => host,
        (host, _) => host,
    };
    Some(asked.clone().set_addr(at(asked.addr(), host.to_owned(), port.parse().ok()?)))
}

/// Returns an address that is reached like another one, with or without TLS.
fn at(like: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match like {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    }
}

async fn open(
    info: &ConnectionInfo,
    connect_timeout: Duration,
    max_wait: Duration,
) -> Result<Server, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(connect_timeout))
        .set_response_timeout(Some(REPLY_TIMEOUT + max_wait));
    let client = Client::open(info.clone())?;
    let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    Ok(Server { connection, address: info.addr().to_string().into() })
}

async fn in_time<T>(answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    timeout(ASK_TIMEOUT, answer)
        .await
        .unwrap_or_else(|_elapsed| Err((ErrorKind::Io, "a server did not answer in time").into()))
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo as _;

    use super::*;

    #[test]
    fn a_redirect_names_a_node_that_is_reached_like_the_one_that_was_asked() {
        let asked = "redis://:secret@node-1:7000".into_connection_info().unwrap();
        let moved = |text: &str| {
            let reply = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
            let moved = moved_to(&asked, &reply.extract_error().unwrap_err())?;
            assert_eq!(moved.redis_settings().password(), Some("secret"));
            Some(moved.addr().to_string())
        };
        assert_eq!(moved("MOVED 7 10.0.0.2:7001").as_deref(), Some("10.0.0.2:7001"));
        assert_eq!(moved("MOVED 7 :7001").as_deref(), Some("node-1:7001"));
        assert_eq!(moved("MOVED 7 ?:7001").as_deref(), Some("node-1:7001"));
        assert_eq!(moved("MOVED 7 ::1:7001").as_deref(), Some("::1:7001"));
        assert_eq!(moved("ASK 7 10.0.0.2:7001"), None);
        assert_eq!(moved("MOVED 7 nonsense"), None);
    }
}
