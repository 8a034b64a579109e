//! Runs the table and draws it.
//!
//! ```text
//! bench-run measure --out results/full.jsonl fanout burst     some sections, added to a file
//! bench-run report --from results/full.jsonl --into README.md --plots results
//! ```
//!
//! Each measurement has a server of its own, on CPU 0, and a load generator, on CPU 1. The servers
//! take turns: each is measured once before any is measured again.

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
    /// Measures sections, and adds what comes out to a file, a line of JSON each
    Measure {
        /// Which; all by default
        sections: Vec<String>,
        #[arg(long)]
        out: PathBuf,
        /// Only these servers, with commas between
        #[arg(long, value_delimiter = ',')]
        servers: Vec<String>,
        /// How often each cell is measured, in place of what is usual
        #[arg(long)]
        repeats: Option<usize>,
        /// Fewer and shorter measurements, no growth
        #[arg(long)]
        quick: bool,
        /// Where `bench/peers` has put the servers that are not Rust
        #[arg(long)]
        peers: Option<PathBuf>,
    },
    /// Makes tables and plots
    Report {
        #[arg(long)]
        from: PathBuf,
        /// A file of Markdown
        #[arg(long)]
        into: PathBuf,
        /// A folder, `results` beside that file
        #[arg(long)]
        plots: PathBuf,
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
        Command::Report { from, into, plots } => report::run(&from, &into, &plots),
        Command::Sections { quick } => {
            sections::all()
                .iter()
                .filter(|it| it.quick || !quick)
                .for_each(|it| println!("{}", it.name));
            Ok(())
        }
    }
}
