//! A recorder for the metrics of this thread.

use std::{collections::BTreeMap, future::Future};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

/// The recorded metrics by `name` or `name{label="value"}`.
#[derive(Debug)]
pub(crate) struct Counted(BTreeMap<String, Value>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram { count: usize, sum: f64 },
}

/// Runs a future on this thread with a recorder and a paused clock. Returns the recorded metrics.
pub(crate) fn counting<T>(what: impl Future<Output = T>) -> (T, Counted) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let output = metrics::with_local_recorder(&recorder, || runtime.block_on(what));
    let counted = snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
        let labels = key.key().labels();
        let labels: Vec<_> =
            labels.map(|label| format!("{}={:?}", label.key(), label.value())).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let value = match value {
            DebugValue::Counter(value) => Value::Counter(value),
            DebugValue::Gauge(value) => Value::Gauge(value.0),
            DebugValue::Histogram(values) => Value::Histogram {
                count: values.len(),
                sum: values.iter().map(|value| value.0).sum(),
            },
        };
        (format!("{}{labels}", key.key().name()), value)
    });
    let counted = counted.collect();
    (output, Counted(counted))
}

impl Counted {
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> Value {
        *self.0.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(Value::Counter(value)) => *value,
            None => 0,
            Some(other) => panic!("{name} is {other:?}"),
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
