//! Reads the kernel's figures about a process.

use std::{fs, io};

/// The resources that a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Clock ticks in user space and in the kernel. They are samples, so only their ratio is used.
    user: u64,
    system: u64,
    /// Nanoseconds on a CPU, of all living threads.
    cpu: u64,
    pub syscw: u64,
}

/// The difference of two usages, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub user: f64,
    pub system: f64,
    pub cpu: f64,
}

impl Usage {
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|it| it.parse().ok()).unwrap_or(0);
        let mut cpu = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let schedstat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            cpu += first_number(&schedstat);
        }
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Ok(Self { user: ticks(11), system: ticks(12), cpu, syscw: named(&io, "syscw:") })
    }

    /// Returns the time spent since `before`: the scheduler's exact time, divided in the ratio of
    /// the ticks.
    pub fn since(&self, before: &Self) -> Spent {
        let user = self.user.saturating_sub(before.user) as f64;
        let system = self.system.saturating_sub(before.system) as f64;
        let cpu = self.cpu.saturating_sub(before.cpu) as f64 / 1000.0;
        let part = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        Spent { user: cpu * part, system: cpu * (1.0 - part), cpu }
    }
}

/// Returns the resident memory in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    named(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), "VmRSS:")
}

/// Returns the number of TCP segments with new data that this machine has sent.
pub fn segments_sent() -> u64 {
    let netstat = fs::read_to_string("/proc/net/netstat").unwrap_or_default();
    let mut tables = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (Some(names), Some(values)) = (tables.next(), tables.next()) else { return 0 };
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let found = pairs.find(|(name, _)| *name == "TCPOrigDataSent");
    found.map_or(0, |(_, value)| first_number(value))
}

fn named(text: &str, name: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0, first_number)
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(0)
}
