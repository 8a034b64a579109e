//! `PostgresBackend`: the log of a hub in PostgreSQL.
//!
//! `schema.sql` has the tables. Read it first: it decides the order of the log, and recognizes
//! retries. The statements here are short, since they rely on three properties of the table:
//!
//! - A transaction that appends holds a lock until it has committed. So the order of the numbers is
//!   the order in which entries become visible.
//! - Each number has one row until it is trimmed, even if the entry is gone. So a position that has
//!   a row with its fingerprint is known, and every entry after it is retained.
//! - Each row has a random fingerprint. So an entry is not mistaken for another one at its place, if
//!   the database was restored from a backup, or if a standby was promoted that lacked entries.
//!
//! An acknowledged entry is as durable as a commit: see the setting `synchronous_commit`. A tail uses
//! `LISTEN`, so it needs a session of its own, and not a proxy that shares sessions.

use std::{error::Error as _, future::poll_fn, num::NonZeroUsize, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, NoTls, Row,
    error::{DbError, Severity, SqlState},
    types::{ToSql, Type},
};
use tower_sse::{
    BoxError,
    hub::{
        Topic,
        backend::{
            Abilities, Backend, BackendError, Batch, Bounds, EntryKind, EventParts, Fault,
            Identity, Located, LogEntry, Outgoing, Position, Tail, Wanted,
        },
    },
};

/// The columns of an entry. The clock of the server counts, so nodes may have other times.
const COLUMNS: &str = "number, fingerprint, append_id, topic, key, kind, fields, data,
    extract(epoch FROM clock_timestamp() - appended_at)::float8 AS age,
    extract(epoch FROM expires_at - clock_timestamp())::float8 AS ttl";
/// The entries of a page, by number and by bytes.
const MAX_PAGE: usize = 1024;
const MAX_PAGE_BYTES: i64 = 1 << 20;
/// The largest size of an entry. A hub appends up to 256 entries together, which are one message.
const MAX_ENTRY_BYTES: usize = 1 << 20;
/// The longest time to live, in seconds: a thousand years. Larger numbers are no timestamps.
const MAX_TTL: f64 = 31_556_952_000.0;
/// After every entry.
const END: Position = Position::new(u64::MAX);
/// How long a tail waits for a notification before it looks.
const POLL: Duration = Duration::from_secs(1);
/// How long a call waits for its answer.
const MAX_ANSWER: Duration = Duration::from_secs(10);

/// The log of a hub in PostgreSQL.
pub(crate) struct PostgresBackend {
    config: Config,
    max_entries: i64,
    /// The connection for appends, which may wait for those of other nodes.
    appends: Connection,
    /// The connection for everything else.
    reads: Connection,
}

/// A connection that is opened when it is needed. Calls share it, and PostgreSQL answers them in turn.
/// If large states are read, or many pages, a pool is better.
type Connection = Mutex<Option<Arc<Client>>>;

/// A parameter of a statement. With its type, a statement takes one round trip.
type Param<'a> = (&'a (dyn ToSql + Sync), Type);

impl PostgresBackend {
    /// Opens the log of a database, and makes it if needed. It retains this number of entries.
    pub(crate) async fn open(url: &str, max_entries: u32) -> Result<Self, BoxError> {
        let mut config: Config = url.parse()?;
        // Closes a connection whose network is cut.
        config.tcp_user_timeout(MAX_ANSWER);
        let (appends, reads) = (Connection::default(), Connection::default());
        let backend = Self { config, max_entries: max_entries.into(), appends, reads };
        backend.bounds().await?;
        Ok(backend)
    }

    /// Returns a connection. After an error it may be closed. Then the next call opens another one.
    async fn client(&self, connection: &Connection) -> Result<Arc<Client>, BackendError> {
        let mut connection = connection.lock().await;
        if let Some(client) = connection.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let (client, _wakes) = connect(&self.config).await?;
        Ok(connection.insert(Arc::new(client)).clone())
    }

    /// Asks for the identity, the oldest entry and the newest position. `None` if there is no log.
    async fn find_bounds(&self) -> Result<Option<Bounds>, BackendError> {
        const QUERY: &str = "SELECT identity, newest.*, oldest.* FROM sse_log,
            (SELECT number, fingerprint FROM sse_entries ORDER BY number DESC LIMIT 1) AS newest
            LEFT JOIN LATERAL (
                SELECT number, fingerprint FROM sse_entries
                WHERE topic IS NOT NULL AND coalesce(expires_at > now(), true)
                ORDER BY number LIMIT 1
            ) AS oldest ON true";
        let client = self.client(&self.reads).await?;
        let row = match answer(client.query_typed_opt(QUERY, &[])).await {
            Err(error) if error.fault() == Fault::Lost => return Ok(None), // There is no table.
            row => row?,
        };
        let read = |row: Row| {
            let (oldest, newest) = (optional_position(&row, 3)?, position(&row, 1)?);
            Ok::<_, BoxError>(Bounds::new(identity(&row)?, oldest, newest))
        };
        row.map(read).transpose().map_err(unavailable)
    }
}

impl Backend for PostgresBackend {
    type Tail = PostgresTail;

    fn abilities(&self) -> Abilities {
        // A function is one transaction. A retry is recognized as long as its entry is retained, which
        // is longer than the default of two minutes unless `max_entries` is small.
        Abilities::new().with_atomic(true).with_largest(MAX_ENTRY_BYTES)
    }

    async fn bounds(&self) -> Result<Bounds, BackendError> {
        if let Some(bounds) = self.find_bounds().await? {
            return Ok(bounds);
        }
        // Statements without parameters that are sent together are one transaction.
        let client = self.client(&self.reads).await?;
        answer(client.batch_execute(include_str!("schema.sql"))).await?;
        self.find_bounds().await?.ok_or_else(|| Fault::Lost.into())
    }

    async fn append(&self, entries: &[Outgoing]) -> Result<Vec<Position>, BackendError> {
        let sizes = entries.iter().map(Outgoing::size);
        if let Some(size) = sizes.max().filter(|size| *size > MAX_ENTRY_BYTES) {
            let text = format!("an entry has {size} bytes, the limit is {MAX_ENTRY_BYTES}");
            return Err(BackendError::new(Fault::Refused, text));
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        // One array for each column.
        let ids: Vec<_> = entries.iter().map(|it| it.append_id.to_be_bytes().to_vec()).collect();
        let topics: Vec<_> = entries.iter().map(|it| it.topic.as_str()).collect();
        let keys: Vec<_> =
            entries.iter().map(|it| it.key.as_ref().map(|it| it.as_bytes())).collect();
        let kinds: Vec<_> = entries.iter().map(|it| it.kind.name()).collect();
        let fields: Vec<_> = entries.iter().map(|it| json!(it.event.fields).to_string()).collect();
        let data: Vec<_> = entries.iter().map(|it| &it.event.data[..]).collect();
        let ttls: Vec<_> =
            entries.iter().map(|it| it.ttl.map(|it| it.as_secs_f64().min(MAX_TTL))).collect();
        let client = self.client(&self.appends).await?;
        let params: [Param<'_>; 8] = [
            (&ids, Type::BYTEA_ARRAY),
            (&topics, Type::TEXT_ARRAY),
            (&keys, Type::BYTEA_ARRAY),
            (&kinds, Type::TEXT_ARRAY),
            (&fields, Type::TEXT_ARRAY),
            (&data, Type::BYTEA_ARRAY),
            (&ttls, Type::FLOAT8_ARRAY),
            (&self.max_entries, Type::INT8),
        ];
        let query = "SELECT * FROM sse_append($1, $2, $3, $4, $5, $6, $7, $8)";
        // If no answer comes, the entries may have been appended.
        let rows = answer_or(Fault::Unknown, client.query_typed(query, &params)).await?;
        rows.iter().map(|row| position(row, 0)).collect::<Result<_, _>>().map_err(unavailable)
    }

    async fn tail(&self, after: Position) -> Result<PostgresTail, BackendError> {
        let (client, wakes) = connect(&self.config).await?;
        // Before the first page is read, so that no entry comes between the two.
        answer(client.batch_execute("LISTEN sse_entries")).await?;
        // If entries after the position were trimmed, the tail starts before the oldest one.
        let (identity, at) = match find(&client, after).await? {
            Some((identity, at)) if at == after || at.major() > after.major() => (identity, at),
            _ => return Err(Fault::Lost.into()),
        };
        let poll_at = Instant::now() + POLL;
        Ok(PostgresTail { client, wakes, identity, at, is_due: true, poll_at, answer_by: None })
    }

    async fn read(
        &self,
        after: Position,
        upto: Position,
        wanted: &Wanted,
        most: NonZeroUsize,
    ) -> Result<Batch, BackendError> {
        let client = self.client(&self.reads).await?;
        let mut batch = page(&client, after, upto, names(wanted), most.get()).await?;
        // A page without a row is the last one of the range.
        batch.upto = batch.upto.or(Some(upto));
        Ok(batch)
    }

    async fn locate(&self, at: Position, _wanted: &Wanted) -> Result<Located, BackendError> {
        let client = self.client(&self.reads).await?;
        Ok(match find(&client, at).await? {
            Some((_, found)) if found == at => Located::Kept,
            Some((_, found)) if found.major() > at.major() => Located::Trimmed,
            _ => Located::Unknown,
        })
    }

    async fn ends(&self, topics: &[Topic]) -> Result<Vec<Option<Position>>, BackendError> {
        const QUERY: &str =
            "SELECT number, fingerprint FROM unnest($1) WITH ORDINALITY AS given (topic, place)
            LEFT JOIN LATERAL (
                SELECT number, fingerprint FROM sse_entries
                WHERE sse_entries.topic = given.topic AND kind = 'end'
                    AND coalesce(expires_at > now(), true)
                ORDER BY number DESC LIMIT 1
            ) AS found ON true
            ORDER BY place";
        let topics: Vec<_> = topics.iter().map(Topic::as_str).collect();
        let client = self.client(&self.reads).await?;
        let rows = answer(client.query_typed(QUERY, &[(&topics, Type::TEXT_ARRAY)])).await?;
        rows.iter()
            .map(|row| optional_position(row, 0))
            .collect::<Result<_, _>>()
            .map_err(unavailable)
    }

    async fn state(&self, wanted: &Wanted, upto: Position) -> Result<Vec<LogEntry>, BackendError> {
        let query = format!(
            "SELECT DISTINCT ON (topic, key) {COLUMNS} FROM sse_entries
            WHERE key IS NOT NULL AND number <= $1 AND ($2::text[] IS NULL OR topic = ANY($2))
            ORDER BY topic, key, number DESC"
        );
        let client = self.client(&self.reads).await?;
        let params: [Param<'_>; 2] =
            [(&number(upto), Type::INT8), (&names(wanted), Type::TEXT_ARRAY)];
        let rows = answer(client.query_typed(&query, &params)).await?;
        let mut entries = batch(&rows)?.entries;
        entries.retain(|entry| entry.kind != EntryKind::Tombstone);
        Ok(entries)
    }

    async fn newest(
        &self,
        topics: &[Topic],
        upto: Position,
        most: NonZeroUsize,
    ) -> Result<Vec<LogEntry>, BackendError> {
        let query = format!(
            "SELECT {COLUMNS} FROM unnest($1) AS given (name), LATERAL (
                SELECT * FROM sse_entries WHERE topic = given.name AND number <= $2
                ORDER BY number DESC LIMIT $3
            ) AS newest"
        );
        let topics: Vec<_> = topics.iter().map(Topic::as_str).collect();
        let most = i64::try_from(most.get()).unwrap_or(i64::MAX);
        let client = self.client(&self.reads).await?;
        let params: [Param<'_>; 3] =
            [(&topics, Type::TEXT_ARRAY), (&number(upto), Type::INT8), (&most, Type::INT8)];
        Ok(batch(&answer(client.query_typed(&query, &params)).await?)?.entries)
    }

    async fn forget(&self, topics: &[(Topic, Position)]) -> Result<(), BackendError> {
        const QUERY: &str =
            "UPDATE sse_entries SET topic = NULL, key = NULL, fields = '[]', data = ''
            FROM unnest($1, $2) AS over (topic, number)
            WHERE sse_entries.topic = over.topic AND sse_entries.number <= over.number";
        let names: Vec<_> = topics.iter().map(|(topic, _)| topic.as_str()).collect();
        let numbers: Vec<_> = topics.iter().map(|(_, upto)| number(*upto)).collect();
        let client = self.client(&self.reads).await?;
        let params: [Param<'_>; 2] = [(&names, Type::TEXT_ARRAY), (&numbers, Type::INT8_ARRAY)];
        answer(client.execute_typed(QUERY, &params)).await?;
        Ok(())
    }

    async fn warm_start(&self, most: NonZeroUsize) -> Result<Position, BackendError> {
        // Numbers have no gap. If there is no such row, the log retains fewer entries.
        const QUERY: &str = "SELECT number, fingerprint FROM sse_entries
            WHERE number = (SELECT max(number) FROM sse_entries) - $1";
        let most = i64::try_from(most.get()).unwrap_or(i64::MAX);
        let client = self.client(&self.reads).await?;
        let row = answer(client.query_typed_opt(QUERY, &[(&most, Type::INT8)])).await?;
        row.map_or(Ok(Position::START), |row| position(&row, 0)).map_err(unavailable)
    }
}

/// Follows the log, on a connection of its own.
pub(crate) struct PostgresTail {
    client: Client,
    /// Changes with each notification. Closed when the connection is lost.
    wakes: watch::Receiver<()>,
    identity: Identity,
    /// The end of the last batch.
    at: Position,
    /// Whether there may be entries. These fields outlive a call of `next` that is dropped.
    is_due: bool,
    poll_at: Instant,
    answer_by: Option<Instant>,
}

impl PostgresTail {
    async fn look(&self) -> Result<Batch, BackendError> {
        let batch = page(&self.client, self.at, END, None, MAX_PAGE).await?;
        // After the page, so that it holds for the page too: the log is the same one, the last entry
        // was not lost, and no entry after it was trimmed.
        if find(&self.client, self.at).await? != Some((self.identity, self.at)) {
            return Err(Fault::Lost.into());
        }
        Ok(batch)
    }
}

impl Tail for PostgresTail {
    async fn next(&mut self) -> Result<Batch, BackendError> {
        loop {
            if self.is_due {
                let deadline = *self.answer_by.get_or_insert_with(|| Instant::now() + MAX_ANSWER);
                let looked = timeout_at(deadline, self.look()).await;
                let batch = looked.map_err(unavailable)??;
                // Nothing is awaited from here to the return, so a dropped call loses no entry.
                self.answer_by = None;
                if let Some(upto) = batch.upto {
                    self.at = upto;
                    return Ok(batch);
                }
                self.is_due = false;
                self.poll_at = Instant::now() + POLL;
            }
            tokio::select! {
                changed = self.wakes.changed() => changed.map_err(unavailable)?,
                // Finds entries of programs that do not notify, and a log that was lost.
                () = sleep_until(self.poll_at) => {}
            }
            self.is_due = true;
        }
    }
}

/// Opens a connection, and returns it with a channel that changes with each notification.
async fn connect(config: &Config) -> Result<(Client, watch::Receiver<()>), BackendError> {
    // For TLS use one of the crates that the docs of tokio-postgres name.
    let (client, mut connection) = answer(config.connect(NoTls)).await?;
    let (wake, wakes) = watch::channel(());
    // Ends when the client is dropped, or when the connection is lost.
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(_) = message {
                wake.send_replace(());
            }
        }
    });
    Ok((client, wakes))
}

/// Returns the first position from this one on that has a row, and the identity of the log.
async fn find(client: &Client, at: Position) -> Result<Option<(Identity, Position)>, BackendError> {
    const QUERY: &str = "SELECT identity, number, fingerprint FROM sse_log, sse_entries
        WHERE number >= $1 ORDER BY number LIMIT 1";
    let row = answer(client.query_typed_opt(QUERY, &[(&number(at), Type::INT8)])).await?;
    let read = |row: Row| Ok::<_, BoxError>((identity(&row)?, position(&row, 1)?));
    row.map(read).transpose().map_err(unavailable)
}

/// Reads entries of a range, of the topics with these names or of all. The batch ends with the
/// last row. Without a row it has no end.
async fn page(
    client: &Client,
    after: Position,
    upto: Position,
    names: Option<Vec<&str>>,
    most: usize,
) -> Result<Batch, BackendError> {
    let query = format!(
        "SELECT {COLUMNS} FROM (
            SELECT *, sum(bytes) OVER (ORDER BY number) - bytes AS bytes_before FROM (
                SELECT *, octet_length(fields) + octet_length(data) AS bytes FROM sse_entries
                WHERE number > $1 AND number <= $2 AND ($3 IS NULL OR topic = ANY($3))
                ORDER BY number LIMIT $4
            ) AS measured
        ) AS page WHERE bytes_before < $5 ORDER BY number"
    );
    let most = most.min(MAX_PAGE) as i64;
    let params: [Param<'_>; 5] = [
        (&number(after), Type::INT8),
        (&number(upto), Type::INT8),
        (&names, Type::TEXT_ARRAY),
        (&most, Type::INT8),
        (&MAX_PAGE_BYTES, Type::INT8),
    ];
    batch(&answer(client.query_typed(&query, &params)).await?)
}

/// Returns the names of the wanted topics, or `None` for all topics. The hub leaves out the entries
/// that a pattern does not match.
fn names(wanted: &Wanted) -> Option<Vec<&str>> {
    let is_named = !wanted.is_all() && wanted.patterns().next().is_none();
    is_named.then(|| wanted.names().iter().map(Topic::as_str).collect())
}

fn batch(rows: &[Row]) -> Result<Batch, BackendError> {
    let mut batch = Batch::default();
    for row in rows {
        batch.upto = Some(position(row, 0).map_err(unavailable)?);
        match entry(row) {
            Ok(Some(entry)) => batch.entries.push(entry),
            Ok(None) => {} // It was forgotten, was trimmed, or has expired.
            Err(_) => batch.junk += 1, // Another program has written it.
        }
    }
    Ok(batch)
}

fn entry(row: &Row) -> Result<Option<LogEntry>, BoxError> {
    let Some(topic) = row.try_get::<_, Option<&str>>("topic")? else { return Ok(None) };
    let ttl = row.try_get::<_, Option<f64>>("ttl")?;
    if ttl.is_some_and(|ttl| ttl <= 0.0) {
        return Ok(None);
    }
    let mut event = EventParts::new(Bytes::copy_from_slice(row.try_get("data")?));
    event.fields = serde_json::from_str(row.try_get("fields")?)?;
    let kind = EntryKind::from_name(row.try_get("kind")?).ok_or("the kind is unknown")?;
    let mut entry = LogEntry::new(position(row, 0)?, topic.parse()?, event).with_kind(kind);
    if let Some(key) = row.try_get::<_, Option<&[u8]>>("key")? {
        entry = entry.with_key(std::str::from_utf8(key)?);
    }
    entry.ttl = ttl.map(Duration::try_from_secs_f64).transpose()?;
    entry.age = Duration::try_from_secs_f64(row.try_get("age")?).ok();
    let append_id = row.try_get::<_, Option<&[u8]>>("append_id")?;
    entry.append_id = append_id.map(|id| id.try_into().map(u128::from_be_bytes)).transpose()?;
    Ok(Some(entry))
}

/// Reads a number and a fingerprint, from this column on.
fn optional_position(row: &Row, column: usize) -> Result<Option<Position>, BoxError> {
    let Some(number) = row.try_get::<_, Option<i64>>(column)? else { return Ok(None) };
    let fingerprint: i64 = row.try_get(column + 1)?;
    Ok(Some(Position::new(number.try_into()?).with_check(fingerprint.try_into()?)))
}

fn position(row: &Row, column: usize) -> Result<Position, BoxError> {
    Ok(optional_position(row, column)?.ok_or("a position is missing")?)
}

fn identity(row: &Row) -> Result<Identity, BoxError> {
    Ok(Identity::new(row.try_get::<_, &[u8]>("identity")?.try_into()?))
}

/// A position of another log may be too large for a number of PostgreSQL.
fn number(at: Position) -> i64 {
    i64::try_from(at.major()).unwrap_or(i64::MAX)
}

/// Waits for an answer, for a limited time.
async fn answer<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, BackendError> {
    answer_or(Fault::Unavailable, call).await
}

async fn answer_or<T>(
    no_answer: Fault,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, BackendError> {
    let Ok(answer) = timeout(MAX_ANSWER, call).await else {
        return Err(BackendError::new(no_answer, "no answer in time"));
    };
    answer.map_err(|error| {
        let code = error.code().map_or("", SqlState::code);
        let severity = error.as_db_error().and_then(DbError::parsed_severity);
        let fault = match code {
            _ if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Fault::Lost,
            // A value that the database cannot store, or one that is too large.
            _ if code.starts_with("22") || code.starts_with("54") => Fault::Refused,
            // The server has rolled back. After a fatal error, it may have committed.
            _ if severity == Some(Severity::Error) => Fault::Unavailable,
            _ => no_answer,
        };
        // The text of the error is only "db error". Its source says more.
        match error.source() {
            Some(source) => BackendError::new(fault, format!("{error}: {source}")),
            None => BackendError::new(fault, error),
        }
    })
}

fn unavailable(error: impl Into<BoxError>) -> BackendError {
    BackendError::new(Fault::Unavailable, error)
}
