//! Writes medians and their spread as Markdown.

use std::{fmt::Write as _, fs, path::Path};

use super::{
    Result,
    measure::Measured,
    plot,
    sections::{Axis, Column, SERVERS, Section, all},
};

/// The results of the measurements stand after this line, up to the end of the file.
const MARK: &str = "<!-- measured: from here on written by bench/run -->\n";

/// Writes the tables into a file, after its mark if it has one, and the plots into a folder. Without a
/// file it prints the tables, and without a folder it draws nothing.
pub(crate) fn run(from: &Path, into: Option<&Path>, plots: Option<&Path>) -> Result<()> {
    let measured: Vec<Measured> = fs::read_to_string(from)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, serde_json::Error>>()?;
    plots.map_or(Ok(()), fs::create_dir_all)?;
    let before = into.and_then(|into| fs::read_to_string(into).ok()).unwrap_or_default();
    let mut text = match before.split_once(MARK) {
        Some((before, _)) => format!("{before}{MARK}\n"),
        None => String::new(),
    };
    text.push_str(&machine());
    for section in all() {
        let of_section: Vec<&Measured> =
            measured.iter().filter(|it| it.section == section.name).collect();
        if of_section.is_empty() {
            continue;
        }
        writeln!(text, "\n## {}\n\n`bench/run {}`\n", section.title, section.name)?;
        if !section.note.is_empty() {
            writeln!(text, "{}\n", section.note)?;
        }
        table(&section, &of_section, &mut text)?;
        if let Some(reference) = section.reference {
            ratios(&section, reference, &of_section, &mut text)?;
        }
        if let (Some(plots), Some(Axis { label, drawn: Some(value) })) = (plots, &section.axis) {
            let name = format!("{}.svg", section.name);
            plot::draw(&plots.join(&name), &section, (label, value), &of_section)?;
            writeln!(text, "\n![{}](results/{name})", section.title)?;
        }
    }
    match into {
        Some(into) => fs::write(into, text)?,
        None => print!("{text}"),
    }
    Ok(())
}

fn table(section: &Section, measured: &[&Measured], text: &mut String) -> Result<()> {
    let axis = section.axis.as_ref();
    write!(text, "| server |")?;
    if let Some(axis) = axis {
        write!(text, " {} |", axis.label)?;
    }
    section.columns.iter().try_for_each(|column| write!(text, " {} |", column.title))?;
    let columns = 1 + usize::from(axis.is_some()) + section.columns.len();
    writeln!(text, "\n|{}", "---|".repeat(columns))?;
    for server in SERVERS {
        for cell in &section.cells {
            let of_cell = of_cell(measured, server, cell.x);
            if of_cell.is_empty() {
                continue;
            }
            write!(text, "| {server} |")?;
            if axis.is_some() {
                write!(text, " {} |", cell.x)?;
            }
            for column in section.columns {
                write!(text, " {} |", shown(column, &of_cell))?;
            }
            writeln!(text)?;
        }
    }
    Ok(())
}

fn of_cell<'a>(measured: &[&'a Measured], server: &str, x: f64) -> Vec<&'a Measured> {
    measured.iter().filter(|it| it.server == server && it.x == x).copied().collect()
}

/// Compares the medians of the first column with the first cell of the same server, and with the
/// reference in the same cell.
fn ratios(
    section: &Section,
    reference: &str,
    measured: &[&Measured],
    text: &mut String,
) -> Result<()> {
    let (Some(column), [first, others @ ..]) = (section.columns.first(), &section.cells[..]) else {
        return Ok(());
    };
    let of = |server, x| median(&sorted(column, &of_cell(measured, server, x)));
    write!(text, "\n| ratio of {} |", column.title)?;
    others.iter().try_for_each(|cell| write!(text, " {} / {} |", cell.x, first.x))?;
    section.cells.iter().try_for_each(|cell| write!(text, " {} / {reference} |", cell.x))?;
    writeln!(text, "\n|{}", "---|".repeat(1 + others.len() + section.cells.len()))?;
    for server in SERVERS {
        if of_cell(measured, server, first.x).is_empty() {
            continue;
        }
        write!(text, "| {server} |")?;
        for cell in others {
            write!(text, " {:.2} |", of(server, cell.x) / of(server, first.x))?;
        }
        for cell in &section.cells {
            write!(text, " {:.2} |", of(server, cell.x) / of(reference, cell.x))?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// Returns the median, with the minimum and the maximum if they differ.
fn shown(column: &Column, of_cell: &[&Measured]) -> String {
    let values = sorted(column, of_cell);
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return "–".into() };
    let median = format!("{:.*}", column.digits, median(&values));
    let (least, most) =
        (format!("{:.*}", column.digits, least), format!("{:.*}", column.digits, most));
    if least == most { median } else { format!("{median} ({least}–{most})") }
}

pub(crate) fn sorted(column: &Column, of_cell: &[&Measured]) -> Vec<f64> {
    let mut values: Vec<f64> = of_cell.iter().map(|it| (column.of)(&it.report)).collect();
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    values
}

pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "# Measured\n\n{cpus} CPUs ({}), Linux {}. Medians, with minimum and maximum in parentheses. {}\n",
        cpu.trim_start_matches([':', ' ', '\t']).trim(),
        kernel.trim(),
        "The server is on CPU 0, the load on CPU 1; `user` and `total` are the server's CPU time. `writes` \
         are the TCP segments of the machine, of up to 64 KiB.",
    )
}
