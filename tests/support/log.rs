//! A recorder for the log lines and spans of this thread.

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::{DefaultGuard, set_default},
};

/// Records the log lines and spans of this crate on this thread, until it is dropped.
pub(crate) struct Log {
    seen: Seen,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    lines: Vec<(Level, String)>,
    spans: Vec<String>,
}

impl Log {
    pub(crate) fn start() -> Self {
        let seen = Seen::default();
        Self { _guard: set_default(seen.clone()), seen }
    }

    /// Returns the lines above the debug level: `LEVEL field=value …`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let seen = self.seen.0.lock().unwrap();
        let loud = seen.lines.iter().filter(|(level, _)| *level <= Level::INFO);
        loud.map(|(_, line)| line.clone()).collect()
    }

    /// Returns the lines at all levels.
    pub(crate) fn all_lines(&self) -> Vec<String> {
        self.seen.0.lock().unwrap().lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// Returns the spans with their recorded fields: `name field=value …`.
    pub(crate) fn spans(&self) -> Vec<String> {
        self.seen.0.lock().unwrap().spans.clone()
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("tower_sse")
}

impl Subscriber for Seen {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata)
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(span.metadata().name().to_owned());
        span.record(&mut line);
        let spans = &mut self.0.lock().unwrap().spans;
        spans.push(line.0);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let spans = &mut self.0.lock().unwrap().spans;
        let mut line = Line(std::mem::take(&mut spans[span.into_u64() as usize - 1]));
        values.record(&mut line);
        spans[span.into_u64() as usize - 1] = line.0;
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let mut line = Line(level.to_string());
        event.record(&mut line);
        self.0.lock().unwrap().lines.push((level, line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}
