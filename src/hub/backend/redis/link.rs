//! The connections to Redis.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{
    Cmd, FromRedisValue, Pipeline, RedisError, ScriptInvocation, aio::MultiplexedConnection,
};

use super::{
    error::{fault, is_useless},
    servers::{Server, Servers},
};
use crate::hub::backend::error::{BackendError, Fault};

/// A connection that all calls of a node share. It is made when it is needed, and made again after it
/// was lost, or its server turned out not to be the right one.
pub(super) struct Link {
    servers: Servers,
    state: Mutex<State>,
    /// One task connects at a time.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    shared: Option<Shared>,
    /// The address of the server that was found last.
    address: Option<Arc<str>>,
    /// How many connections there were.
    connections: u64,
}

#[derive(Clone)]
struct Shared {
    connection: MultiplexedConnection,
    address: Arc<str>,
    /// Which connection it is. A call gives up only the one that it has used.
    number: u64,
}

impl Link {
    pub(super) fn new(servers: Servers) -> Self {
        Self { servers, state: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a connection that is not shared. A reply may take up to `max_wait` longer than usual.
    pub(super) async fn connect(&self, max_wait: Duration) -> Result<Server, BackendError> {
        let server = self.servers.connect(max_wait).await?;
        let mut state = self.state();
        // The log is now at this server. Calls must not go to another one.
        state.shared.take_if(|shared| shared.address != server.address);
        state.address = Some(server.address.clone());
        Ok(server)
    }

    /// Returns whether this is the address of the server that was found last.
    pub(super) fn is_current(&self, address: &str) -> bool {
        self.state().address.as_deref() == Some(address)
    }

    /// Gives up the connection if it is to this server, which is not the right one.
    pub(super) fn leave(&self, address: &str) {
        self.state().shared.take_if(|shared| *shared.address == *address);
    }

    async fn shared(&self) -> Result<Shared, BackendError> {
        let current = || self.state().shared.clone();
        if let Some(shared) = current() {
            return Ok(shared);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(shared) = current() {
            return Ok(shared);
        }
        let Server { connection, address } = self.connect(Duration::ZERO).await?;
        let mut state = self.state();
        state.connections += 1;
        let shared = Shared { connection, address, number: state.connections };
        Ok(state.shared.insert(shared).clone())
    }

    /// Runs a command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BackendError> {
        let mut shared = self.shared().await?;
        let reply = command.query_async(&mut shared.connection).await;
        self.checked(&shared, reply, Fault::Unavailable)
    }

    /// Runs commands one after the other. Other commands may run in between.
    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, BackendError> {
        let mut shared = self.shared().await?;
        let reply = commands.query_async(&mut shared.connection).await;
        self.checked(&shared, reply, Fault::Unavailable)
    }

    /// Runs a script. `lost` is the fault if no reply came.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        lost: Fault,
    ) -> Result<T, BackendError> {
        let mut shared = self.shared().await?;
        let reply = script.invoke_async(&mut shared.connection).await;
        self.checked(&shared, reply, lost)
    }

    /// Gives the connection up if it is useless.
    fn checked<T>(
        &self,
        used: &Shared,
        reply: Result<T, RedisError>,
        lost: Fault,
    ) -> Result<T, BackendError> {
        reply.map_err(|error| {
            if is_useless(&error) {
                self.state().shared.take_if(|shared| shared.number == used.number);
            }
            fault(error, lost)
        })
    }
}
