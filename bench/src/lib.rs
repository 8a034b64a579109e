//! Code that the load generator, the servers and the runner share.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

pub mod count;
pub mod process;

/// The length in bytes of the timestamp at the start of an event's data: nanoseconds since 1970.
pub const STAMP: usize = 19;

/// The work of a server.
#[derive(Args, Clone, Debug)]
pub struct Workload {
    /// The port to listen on; 0 lets the system choose
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Bytes of data in each event, with a timestamp of 19 digits
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// How many times a second events are published
    #[arg(long, default_value_t = 50.0)]
    pub rate: f64,
    /// How many events are published each time
    #[arg(long, default_value_t = 1)]
    pub burst: usize,
    /// The purpose of the streams
    #[arg(long, value_enum, default_value_t = Mode::Fanout)]
    pub mode: Mode,
    /// Milliseconds between keep-alives
    #[arg(long, default_value_t = 15_000)]
    pub keep_alive_ms: u64,
    /// Milliseconds for which a server may hold events back to join them; 0 for none
    #[arg(long, default_value_t = 0)]
    pub window_ms: u64,
}

/// The purpose of the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Each published event goes to every stream
    Fanout,
    /// Each stream makes events as fast as it can
    Flood,
    /// One event for each stream, then only keep-alives
    Idle,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fanout => "fanout",
            Self::Flood => "flood",
            Self::Idle => "idle",
        })
    }
}

impl Workload {
    /// The data of an event that is created now.
    pub fn stamped(&self) -> String {
        stamped(self.size)
    }

    /// The data of the events in a flood. It is the same for all events.
    pub fn data(&self) -> String {
        "x".repeat(self.size)
    }

    pub fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }

    pub fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms)
    }

    /// Returns an interval of `rate` ticks a second.
    pub fn pace(&self) -> tokio::time::Interval {
        tokio::time::interval(Duration::from_secs_f64(1.0 / self.rate))
    }

    /// Publishes bursts until it is dropped. Each burst is a slice with the data of its events.
    pub async fn publish(&self, mut publish: impl FnMut(&[String])) {
        let mut pace = self.pace();
        let mut burst = Vec::with_capacity(self.burst);
        loop {
            pace.tick().await;
            burst.clear();
            burst.extend((0..self.burst).map(|_| self.stamped()));
            publish(&burst);
        }
    }
}

/// Returns the nanoseconds since 1970, followed by `x` up to this length.
pub fn stamped(size: usize) -> String {
    let mut data = String::with_capacity(size.max(STAMP));
    data.push_str(itoa::Buffer::new().format(nanos()));
    data.extend(std::iter::repeat_n('x', size.saturating_sub(STAMP)));
    data
}

/// Returns the nanoseconds since 1970.
pub fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    u64::try_from(since.as_nanos()).expect("it is before 2554")
}

/// The line of JSON that a server prints when it listens.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Listening {
    pub port: u16,
    /// The process to measure.
    pub pid: u32,
}

/// The report of `sse-load`. It covers the measured window, which begins after the warm-up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Open streams; with `--open-close`, the streams that are opened at a time.
    pub connections: usize,
    /// Connections that failed or ended, over the whole run.
    pub failed: u64,
    /// The length of the window, in seconds.
    pub seconds: f64,
    /// Events that arrived: blocks with data.
    pub events: u64,
    /// Blocks without data that arrived: comments, for example keep-alives.
    pub comments: u64,
    /// Bytes that arrived, including all framing.
    pub bytes: u64,
    /// Reads that returned data.
    pub reads: u64,
    /// Streams that were opened, read until their first event and closed (`--open-close`).
    pub opened: u64,
    /// TCP segments with data that this machine sent, of up to 64 KiB on the loopback. With
    /// TCP_NODELAY a write of the server is one segment, or several if it is large. Requests and
    /// other processes are included.
    pub segments: u64,
    /// The server's user time in microseconds.
    pub user_us: f64,
    /// The server's system time in microseconds.
    pub system_us: f64,
    /// The server's time on a CPU in microseconds, from the scheduler.
    pub cpu_us: f64,
    /// `write` and `writev` calls of the server. (`send` is not among them.)
    pub syscw: u64,
    /// Resident memory of the server before the first connection, in KiB.
    pub rss_before_kib: u64,
    /// Resident memory of the server at the end of the window, in KiB.
    pub rss_after_kib: u64,
    /// The time from an event's timestamp to its arrival, in microseconds, for one connection in
    /// 16.
    pub latency_us: Option<Latency>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}
