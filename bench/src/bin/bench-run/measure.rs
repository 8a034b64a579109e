//! Starts servers and load generators, in turns.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::{Deserialize, Serialize};
use tower_sse_bench::{Listening, Report};

use super::{
    Result,
    sections::{Cell, IN_PROCESS, PEERS, SERVERS, Section, all},
};

pub(crate) struct Options {
    pub(crate) sections: Vec<String>,
    pub(crate) out: PathBuf,
    pub(crate) servers: Vec<String>,
    pub(crate) repeats: Option<usize>,
    pub(crate) quick: bool,
    pub(crate) peers: Option<PathBuf>,
}

/// One measurement, which is a line of the file.
#[derive(Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) section: String,
    pub(crate) server: String,
    pub(crate) x: f64,
    pub(crate) report: Report,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let sections = all();
    for name in &options.sections {
        if !sections.iter().any(|it| it.name == name) {
            return Err(format!("there is no section {name}").into());
        }
    }
    if let Some(folder) = options.out.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = File::options().create(true).append(true).open(&options.out)?;
    for section in sections {
        let named = options.sections.iter().any(|name| name == section.name);
        if named || (options.sections.is_empty() && (section.quick || !options.quick)) {
            measure(&section, options, &mut out)?;
        }
    }
    Ok(())
}

fn measure(section: &Section, options: &Options, out: &mut File) -> Result<()> {
    let wanted = |server: &&str| {
        let of_section = match section.servers {
            Some(these) => these.contains(server),
            None => !IN_PROCESS.contains(server),
        };
        let named = options.servers.is_empty() || options.servers.iter().any(|it| it == server);
        let is_there = |peers: &PathBuf| !options.quick && peers.join(server).exists();
        let there = !PEERS.contains(server) || options.peers.as_ref().is_some_and(is_there);
        of_section && named && there
    };
    let usual = if options.quick { 2 } else { 3 };
    for turn in 0..options.repeats.unwrap_or(usual) {
        for cell in &section.cells {
            for server in SERVERS.into_iter().filter(wanted) {
                eprint!("{} {server} {} ({}): ", section.name, cell.x, turn + 1);
                let report = if IN_PROCESS.contains(&server) {
                    in_process(server, cell)
                } else {
                    once(server, cell, options)
                };
                match report {
                    Ok(report) => {
                        for column in section.columns {
                            eprint!(
                                "{} {:.*}  ",
                                column.title,
                                column.digits,
                                (column.of)(&report)
                            );
                        }
                        eprintln!();
                        let (section, server) = (section.name.into(), server.into());
                        let measured = Measured { section, server, x: cell.x, report };
                        writeln!(out, "{}", serde_json::to_string(&measured)?)?;
                    }
                    Err(error) => eprintln!("{error}"),
                }
            }
        }
    }
    Ok(())
}

/// A child process, which ends when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn once(server: &str, cell: &Cell, options: &Options) -> Result<Report> {
    let here = std::env::current_exe()?;
    let here = here.parent().ok_or("no folder")?;
    let mut command = on_cpu(0, &program(server, here, options));
    if !PEERS.contains(&server) {
        command.arg(server);
    }
    command
        .args(["--mode", &cell.mode.to_string()])
        .args(["--size", &cell.size.to_string()])
        .args(["--rate", &cell.rate.to_string()])
        .args(["--burst", &cell.burst.to_string()])
        .args(["--keep-alive-ms", &cell.keep_alive_ms.to_string()])
        .args(["--window-ms", &cell.window_ms.to_string()])
        // A script around another process ends when this pipe is closed.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut process = Ended(command.spawn()?);
    let mut line = String::new();
    let stdout = process.0.stdout.take().ok_or("no output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let listening: Listening = serde_json::from_str(&line)?;

    let (warmup, duration) =
        if options.quick { (0.3, cell.duration.min(1.2)) } else { (cell.warmup, cell.duration) };
    let output = on_cpu(1, &here.join("sse-load"))
        .args(["--url", &format!("http://127.0.0.1:{}/", listening.port)])
        .args(["--pid", &listening.pid.to_string()])
        .args(["--connections", &cell.connections.to_string()])
        .args(["--warmup", &warmup.to_string()])
        .args(["--duration", &duration.to_string()])
        .args(cell.load)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("sse-load: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Measures readers that are in one process with their publisher. It may use all CPUs.
fn in_process(kind: &str, cell: &Cell) -> Result<Report> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("cores"));
    command.arg(kind).args(["--workers", &cell.x.to_string()]).stderr(Stdio::inherit());
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("cores: {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn program(server: &str, here: &Path, options: &Options) -> PathBuf {
    match &options.peers {
        Some(peers) if PEERS.contains(&server) => peers.join(server),
        _ => here.join("servers"),
    }
}

fn on_cpu(cpu: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string()]).arg(program);
    command
}
