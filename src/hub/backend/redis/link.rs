//! The connection to Redis, and its errors.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError,
    ScriptInvocation, aio::MultiplexedConnection,
};
use tokio::sync::Mutex;

use crate::hub::backend::error::{BackendError, Fault};

/// How long it may take to make a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a reply may take. A command that reads a page or appends takes milliseconds.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that all calls of a node share. It is made when it is needed, and made again after it
/// was lost.
pub(super) struct Link {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self { client, connection: Mutex::default() }
    }

    /// Makes a connection that is not shared. A reply may take up to `max_wait` longer than usual.
    pub(super) async fn connect(
        &self,
        max_wait: Duration,
    ) -> Result<MultiplexedConnection, BackendError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(REPLY_TIMEOUT + max_wait));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config);
        connection.await.map_err(|error| fault(error, Fault::Unavailable))
    }

    async fn connection(&self) -> Result<MultiplexedConnection, BackendError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let new = self.connect(Duration::ZERO).await?;
        Ok(connection.insert(new).clone())
    }

    /// Runs a command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BackendError> {
        let mut connection = self.connection().await?;
        self.checked(command.query_async(&mut connection).await, Fault::Unavailable).await
    }

    /// Runs commands one after the other. Other commands may run in between.
    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, BackendError> {
        let mut connection = self.connection().await?;
        self.checked(commands.query_async(&mut connection).await, Fault::Unavailable).await
    }

    /// Runs a script. `lost` is the fault if no reply came.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        lost: Fault,
    ) -> Result<T, BackendError> {
        let mut connection = self.connection().await?;
        self.checked(script.invoke_async(&mut connection).await, lost).await
    }

    /// Gives the connection up if it is broken.
    async fn checked<T>(
        &self,
        result: Result<T, RedisError>,
        lost: Fault,
    ) -> Result<T, BackendError> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if is_lost(&error) {
            *self.connection.lock().await = None;
        }
        Err(fault(error, lost))
    }
}

/// Returns whether no reply came.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error()
}

/// Makes the error of the backend. `lost` is the fault if no reply came.
pub(super) fn fault(error: RedisError, lost: Fault) -> BackendError {
    // The error of one command of several has no code.
    let text = error.to_string();
    let fault = match error.code() {
        _ if is_lost(&error) => lost,
        // The log was deleted, and perhaps made again.
        _ if text.contains("NOGROUP") || text.contains("IDENTITY") => Fault::Lost,
        // The server is starting, is no longer the master, or cannot write for now.
        Some(
            "BUSY" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "MISCONF" | "NOREPLICAS" | "OOM"
            | "READONLY" | "TRYAGAIN" | "UNBLOCKED",
        ) => Fault::Unavailable,
        Some(_) => Fault::Refused,
        None if matches!(error.kind(), ErrorKind::AuthenticationFailed) => Fault::Refused,
        None => lost,
    };
    BackendError::new(fault, error)
}
