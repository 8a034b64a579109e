//! The table of measurements in `docs/deploy.md`.

use std::{fmt, time::Duration};

use crate::upstream::FLOOD;

const PAGE: &str = include_str!("../../docs/deploy.md");
const HEAD: &str = "| proxy | an event comes after: median, most | the head comes | the server learns that a client \
                    left | a stream that fails is | a client that reads nothing takes |";

/// One row: what was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) lag: [Duration; 2],
    pub(crate) head: &'static str,
    /// How many keep-alives the server has written when its hook is told that the client has left.
    pub(crate) left: u64,
    pub(crate) failure: &'static str,
    pub(crate) taken: u64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most] = self.lag.map(|lag| lag.as_secs_f64() * 1000.0);
        let Self { name, head, failure, .. } = self;
        let left = match self.left {
            0 => "at once".to_owned(),
            1 => "at the 1st keep-alive".to_owned(),
            2 => "at the 2nd keep-alive".to_owned(),
            3 => "at the 3rd keep-alive".to_owned(),
            number => format!("at the {number}th keep-alive"),
        };
        write!(f, "| {name} | {median:.1}, {most:.1} ms | {head} | {left} | {failure} | ")?;
        match self.taken {
            FLOOD.. => write!(f, "everything |"),
            kilobytes @ 1000.. => write!(f, "{},{:03} KB |", kilobytes / 1000, kilobytes % 1000),
            kilobytes => write!(f, "{kilobytes} KB |"),
        }
    }
}

/// Replaces the figures, which differ from run to run, by their meaning.
fn meaning(row: &str) -> Vec<String> {
    let cells = row.trim_matches('|').split('|').map(str::trim).enumerate();
    cells
        .map(|(column, cell)| {
            let number = |text: &str| text.replace(',', "").parse::<f64>();
            match column {
                // 200 ms is the delay of an acknowledgement.
                1 => match number(cell.split(", ").next().unwrap()) {
                    Ok(..100.0) => "soon".into(),
                    Ok(150.0..) => "late".into(),
                    _ => cell.to_owned(),
                },
                // A busy machine may need one more.
                3 if cell.ends_with(" keep-alive") => "at a keep-alive".into(),
                5 if cell.ends_with(" KB") => "a bounded number".into(),
                _ => cell.to_owned(),
            }
        })
        .collect()
}

/// Prints the table, and compares it with the one in the docs. Cells of figures are equal if they mean the same.
pub(crate) fn assert_documented(rows: &[Row]) {
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    println!("{HEAD}\n|---|---|---|---|---|---|\n{}", rows.join("\n"));
    let (_, documented) = PAGE.split_once(HEAD).expect("the docs have the table");
    let documented = documented.lines().skip(2).take_while(|line| line.starts_with('|'));
    let documented: Vec<_> = documented.map(meaning).collect();
    let measured: Vec<_> = rows.iter().map(|row| meaning(row)).collect();
    assert_eq!(measured.len(), documented.len(), "the rows of the docs");
    for (measured, documented) in measured.iter().zip(&documented) {
        assert_eq!(measured, documented, "measured, and in the docs");
    }
}
