//! The sections that are measured.

use tower_sse_bench::{Mode, Report};

/// All servers, in the order of the tables. The servers of `PEERS` are measured if they are
/// installed.
pub(crate) const SERVERS: [&str; 17] = [
    "ours-hub-hyper",
    "ours-hub-axum",
    "ours-hyper",
    "ours-axum",
    "axum",
    "warp",
    "salvo",
    "actix",
    "better-sse",
    "sse-starlette",
    "nchan",
    "hyper-ring",
    "axum-ring",
    "epoll",
    "broadcast",
    "subscriptions",
    "bodies",
];
/// The readers of the section `cores`. They are in one process with the publisher, and no server.
pub(crate) const IN_PROCESS: &[&str] = &["broadcast", "subscriptions", "bodies"];
/// The servers in other languages, which `bench/peers` installs.
pub(crate) const PEERS: [&str; 3] = ["better-sse", "sse-starlette", "nchan"];
const OURS_AND_AXUM: &[&str] = &["ours-hub-axum", "ours-axum", "axum"];
const GROWING: &[&str] = &["ours-hub-hyper", "axum", "warp", "actix", "hyper-ring", "epoll"];
/// The servers that can send events to one stream only.
const FLOODING: &[&str] = &[
    "ours-hyper",
    "ours-axum",
    "axum",
    "warp",
    "salvo",
    "actix",
    "better-sse",
    "sse-starlette",
    "hyper-ring",
    "epoll",
];

/// A table, or a plot with one point for each cell.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Describes the settings of the servers in this section.
    pub(crate) note: &'static str,
    pub(crate) cells: Vec<Cell>,
    /// The servers that are measured. `None` means all, without those of `IN_PROCESS`.
    pub(crate) servers: Option<&'static [&'static str]>,
    /// Whether `--quick` measures it too.
    pub(crate) quick: bool,
    /// The counts, one for each column.
    pub(crate) columns: &'static [Column],
    /// The difference between the cells, if there are several.
    pub(crate) axis: Option<Axis>,
    /// The server with which all are compared in a second table, by the first column.
    pub(crate) reference: Option<&'static str>,
}

/// The x axis of a table or of a plot.
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    /// The label of the y axis, if the section is a plot.
    pub(crate) drawn: Option<&'static str>,
}

/// One setting for all servers.
#[derive(Clone)]
pub(crate) struct Cell {
    pub(crate) x: f64,
    pub(crate) mode: Mode,
    pub(crate) connections: usize,
    pub(crate) size: usize,
    pub(crate) rate: f64,
    pub(crate) burst: usize,
    pub(crate) keep_alive_ms: u64,
    /// The batch window of our servers, in which events are joined.
    pub(crate) window_ms: u64,
    pub(crate) load: &'static [&'static str],
    pub(crate) warmup: f64,
    pub(crate) duration: f64,
}

const CELL: Cell = Cell {
    x: 0.0,
    mode: Mode::Fanout,
    connections: 1000,
    size: 64,
    // Not a divisor of the tick rate at which the kernel samples user time.
    rate: 47.0,
    burst: 1,
    keep_alive_ms: 15_000,
    window_ms: 0,
    load: &[],
    warmup: 0.5,
    duration: 2.5,
};

#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) of: fn(&Report) -> f64,
    pub(crate) digits: usize,
}

const fn column(title: &'static str, digits: usize, of: fn(&Report) -> f64) -> Column {
    Column { title, of, digits }
}

fn per(whole: f64, count: u64) -> f64 {
    if count == 0 { f64::NAN } else { whole / count as f64 }
}

const USER: Column = column("user µs", 2, |it| per(it.user_us, it.events));
const TOTAL: Column = column("total µs", 2, |it| per(it.cpu_us, it.events));
const SEGMENTS: Column = column("writes", 3, |it| per(it.segments as f64, it.events));
const BYTES: Column = column("bytes", 1, |it| per(it.bytes as f64, it.events));
const DELIVERED: Column = column("events/s", 0, |it| it.events as f64 / it.seconds);
const MILLIONS: Column = column("M events/s", 1, |it| it.events as f64 / it.seconds / 1e6);
const BUSY: Column = column("CPU %", 0, |it| it.cpu_us / it.seconds / 1e4);
const P50: Column = column("p50 µs", 0, |it| it.latency_us.map_or(f64::NAN, |it| it.p50));
const P99: Column = column("p99 µs", 0, |it| it.latency_us.map_or(f64::NAN, |it| it.p99));
const USER_NS: Column = column("user ns", 0, |it| per(it.user_us * 1000.0, it.events));
const TOTAL_NS: Column = column("total ns", 0, |it| per(it.cpu_us * 1000.0, it.events));
const STREAMS: Column = column("streams", 0, |it| it.connections as f64);
const FAILED: Column = column("failed", 0, |it| it.failed as f64);
const RESIDENT: Column = column("KB a stream", 1, |it| {
    per(it.rss_after_kib.saturating_sub(it.rss_before_kib) as f64 * 1.024, it.connections as u64)
});

const FANOUT: &[Column] = &[USER, TOTAL, SEGMENTS, BYTES, P50, P99];
const BUSIER: &[Column] = &[USER, TOTAL, SEGMENTS, DELIVERED, BUSY, P50, P99];
const KEPT_ALIVE: &[Column] = &[
    column("user µs", 2, |it| per(it.user_us, it.comments)),
    column("total µs", 2, |it| per(it.cpu_us, it.comments)),
    column("a second", 0, |it| it.comments as f64 / it.seconds),
];
const OPENED: &[Column] = &[
    column("user µs", 1, |it| per(it.user_us, it.opened)),
    column("total µs", 1, |it| per(it.cpu_us, it.opened)),
    column("a second", 0, |it| it.opened as f64 / it.seconds),
];
const FLOOD: &[Column] = &[USER_NS, TOTAL_NS, SEGMENTS, DELIVERED];

/// Returns all sections.
pub(crate) fn all() -> Vec<Section> {
    let mut sections = tables();
    sections.push(cores());
    sections.extend(growth());
    sections
}

fn tables() -> Vec<Section> {
    let table = |name, title, cell, columns, note| Section {
        name,
        title,
        note,
        cells: vec![cell],
        servers: None,
        quick: true,
        columns,
        axis: None,
        reference: None,
    };
    let flood = Cell { mode: Mode::Flood, connections: 1, load: &["--no-latency"], ..CELL };
    let idle = Cell { mode: Mode::Idle, connections: 10_000, load: &["--no-latency"], ..CELL };
    let busy = Cell { rate: 1000.0, window_ms: 10, ..CELL };
    let h2 = Cell { load: &["--h2", "100"], ..CELL };
    vec![
        table(
            "fanout",
            "One event to 1,000 readers, 47 a second, 64 B; each delivery",
            Cell { duration: 4.0, ..CELL },
            FANOUT,
            "ours-hub: `publish_all` of one event; ours: a handler that reads tokio's broadcast of \
             encoded events. Ours send an id with each event, where a hub publishes it.",
        ),
        table(
            "burst",
            "Bursts of 100 to 1,000 readers, 4.7 a second, 64 B; each event delivered",
            Cell { rate: 4.7, burst: 100, ..CELL },
            FANOUT,
            "ours-hub: `publish_all` of the burst.",
        ),
        Section {
            quick: false,
            ..table(
                "busy",
                "1,000 events a second to 1,000 readers, 64 B; each delivery",
                busy,
                BUSIER,
                "ours: with `batch_window` of 10 ms; the others have no such setting.",
            )
        },
        Section {
            quick: false,
            ..table(
                "busy-by-hand",
                "The same in bursts of 10, 100 a second; each event delivered",
                Cell { rate: 100.0, burst: 10, ..CELL },
                BUSIER,
                "No server uses a window: the publisher gathers the events, which works with any server.",
            )
        },
        Section {
            servers: Some(FLOODING),
            ..table(
                "flood-64",
                "One stream at full speed, 64 B; each event",
                flood.clone(),
                FLOOD,
                "ours: a handler that sends in a loop.",
            )
        },
        Section {
            servers: Some(FLOODING),
            ..table(
                "flood-1k",
                "One stream at full speed, 1 KiB; each event",
                Cell { size: 1 << 10, ..flood },
                FLOOD,
                "ours: a handler that sends in a loop.",
            )
        },
        table(
            "idle",
            "10,000 idle streams with keep-alive",
            Cell { duration: 0.5, ..idle.clone() },
            &[RESIDENT, STREAMS, FAILED],
            "ours-hub: each reader first receives the state of one key.",
        ),
        table(
            "keep-alive",
            "Keep-alives of 10,000 idle streams, each every second",
            Cell { keep_alive_ms: 1000, warmup: 1.0, duration: 3.0, ..idle.clone() },
            KEPT_ALIVE,
            "",
        ),
        table(
            "open-close",
            "Open, first event, close, 16 at a time; each stream",
            Cell { connections: 16, load: &["--open-close", "--no-latency"], ..idle },
            OPENED,
            "ours-hub: the first event is the state of a key.",
        ),
        Section {
            quick: false,
            ..table(
                "many",
                "15,000 streams on one process, an event a second",
                Cell { connections: 15_000, rate: 1.0, ..CELL },
                &[STREAMS, FAILED, DELIVERED, RESIDENT, P99],
                "",
            )
        },
        Section {
            quick: false,
            servers: Some(OURS_AND_AXUM),
            ..table(
                "h2",
                "HTTP/2: one event to 1,000 readers on 10 connections, 47 a second; each delivery",
                h2.clone(),
                FANOUT,
                "",
            )
        },
        Section {
            quick: false,
            servers: Some(OURS_AND_AXUM),
            ..table(
                "h2-burst",
                "HTTP/2: bursts of 100 to 1,000 readers on 10 connections, 4.7 a second; each event",
                Cell { rate: 4.7, burst: 100, ..h2 },
                FANOUT,
                "",
            )
        },
    ]
}

/// Returns the section that compares one and two worker threads.
fn cores() -> Section {
    Section {
        name: "cores",
        title: "1,000 readers of one topic in one process, 900 events of 75 B; all deliveries",
        note: "No server, and no CPU is reserved. A task publishes the events, without a pause. \
               `broadcast` is tokio's, with a capacity of 1,024, of `Bytes`; `subscriptions` read one entry at a time with `next`; \
               `bodies` read chunks of joined events.",
        cells: [1.0, 2.0].map(|workers| Cell { x: workers, ..CELL }).into(),
        servers: Some(IN_PROCESS),
        quick: true,
        columns: &[MILLIONS, TOTAL_NS, BUSY],
        axis: Some(Axis { label: "worker threads", drawn: None }),
        reference: Some("broadcast"),
    }
}

/// Returns the sections that are drawn.
fn growth() -> [Section; 3] {
    let growth = |name, title, label, cells, columns| Section {
        name,
        title,
        note: "",
        cells,
        servers: Some(GROWING),
        quick: false,
        columns,
        axis: Some(Axis { label, drawn: Some("CPU a delivery, µs") }),
        reference: None,
    };
    let cell = Cell { duration: 2.0, ..CELL };
    [
        growth(
            "growth-readers",
            "Growth with readers, 47,000 deliveries a second, 64 B",
            "readers",
            [100, 300, 1000, 3000, 15_000]
                .map(|readers| Cell {
                    x: readers as f64,
                    connections: readers,
                    rate: 47_000.0 / readers as f64,
                    ..cell.clone()
                })
                .into(),
            &[TOTAL, USER, P99],
        ),
        growth(
            "growth-size",
            "Growth with the size of an event, 100 readers, 47 events a second",
            "bytes of data",
            [64, 512, 4 << 10, 16 << 10, 64 << 10]
                .map(|size| Cell { x: size as f64, connections: 100, size, ..cell.clone() })
                .into(),
            &[TOTAL, USER, P99],
        ),
        growth(
            "growth-rate",
            "Growth with the rate, to saturation: 1,000 readers, 64 B",
            "events a second",
            [23.0, 47.0, 97.0, 197.0, 397.0]
                .map(|rate| Cell { x: rate, rate, ..cell.clone() })
                .into(),
            &[TOTAL, DELIVERED, BUSY, P99],
        ),
    ]
}
