//! Runs the measurements, and writes tables and plots.
//!
//! ```text
//! bench-run measure --out results/full.jsonl fanout burst     some sections, added to a file
//! bench-run report --from results/full.jsonl --into README.md --plots results
//! ```
//!
//! Each measurement has a server of its own, on CPU 0, and a load generator, on CPU 1. The servers
//! take turns: each is measured once before any is measured again. The section `cores` has neither:
//! each of its measurements is one process.

mod measure;
mod plot;
mod report;
mod sections;

use std::{error::Error, path::PathBuf};

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

/// Measures servers of event streams, in turns
#[derive(Subcommand)]
enum Command {
    /// Measures sections, and appends each result to a file as a line of JSON
    Measure {
        /// The sections; all by default
        sections: Vec<String>,
        #[arg(long)]
        out: PathBuf,
        /// Only these servers, separated by commas
        #[arg(long, value_delimiter = ',')]
        servers: Vec<String>,
        /// How often each cell is measured, instead of the default
        #[arg(long)]
        repeats: Option<usize>,
        /// Fewer and shorter measurements, without the growth sections
        #[arg(long)]
        quick: bool,
        /// The folder in which `bench/peers` has put the servers in other languages
        #[arg(long)]
        peers: Option<PathBuf>,
    },
    /// Makes tables and plots
    Report {
        #[arg(long)]
        from: PathBuf,
        /// A file of Markdown; without it the tables are printed
        #[arg(long)]
        into: Option<PathBuf>,
        /// A folder for the plots; without it there are none
        #[arg(long)]
        plots: Option<PathBuf>,
    },
    /// Prints the names of the sections
    Sections {
        #[arg(long)]
        quick: bool,
    },
}

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Measure { sections, out, servers, repeats, quick, peers } => {
            measure::run(&measure::Options { sections, out, servers, repeats, quick, peers })
        }
        Command::Report { from, into, plots } => {
            report::run(&from, into.as_deref(), plots.as_deref())
        }
        Command::Sections { quick } => {
            sections::all()
                .iter()
                .filter(|it| it.quick || !quick)
                .for_each(|it| println!("{}", it.name));
            Ok(())
        }
    }
}
