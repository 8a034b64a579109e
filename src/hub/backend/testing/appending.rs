//! The promises about appending.

use super::{
    report::{Outcome, Unproven},
    subject::Subject,
    support::{
        append, check_equal, check_log, collect, ensure, expected, numbered, outgoing, read_all,
    },
};
use crate::hub::backend::{
    entry::{EntryKind, EventParts, LogEntry, Outgoing},
    error::Fault,
    position::Position,
    store::Backend,
};

/// An entry above this size is not created, even if the backend takes larger ones.
const MAX_TESTED_SIZE: usize = 64 << 20;

/// Checks that the order of appending is that of the positions, of a tail and of reads.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn order<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let mut tail = backend.tail(Position::START).await?;
    let entries = numbered(60);
    let mut positions = Vec::new();
    for part in [&entries[..1], &entries[1..40], &entries[40..41], &entries[41..]] {
        positions.extend(append(backend, part).await?);
    }
    let mut last = Position::START;
    for at in &positions {
        ensure!(at.place() > last.place(), "the position {at:?} was given after {last:?}");
        last = *at;
    }
    let data = |entries: &[LogEntry]| -> Vec<_> {
        entries.iter().map(|entry| entry.event.data.clone()).collect()
    };
    let sent: Vec<_> = entries.iter().map(|entry| entry.event.data.clone()).collect();
    let found = data(&collect(&mut tail, entries.len()).await?);
    ensure!(
        found == sent,
        "a tail returned the data {found:?}, in the order of appends it is {sent:?}"
    );
    let found = data(&read_all(backend, last).await?);
    ensure!(
        found == sent,
        "a read returned the data {found:?}, in the order of appends it is {sent:?}"
    );
    Ok(())
}

/// Checks that tails and reads return entries at the positions that were acknowledged.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn acknowledgement<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    ensure!(append(backend, &[]).await?.is_empty(), "an empty append was given a position");
    let entries = numbered(20);
    let mut positions = append(backend, &entries[..1]).await?;
    let mut tail = subject.node.tail(Position::START).await?;
    positions.extend(append(&*subject.node, &entries[1..10]).await?);
    positions.extend(append(backend, &entries[10..]).await?);
    let expected = expected(&entries, &positions);
    check_equal(&collect(&mut tail, entries.len()).await?, &expected, "a tail")?;
    for node in [&subject.backend, &subject.node] {
        check_equal(&read_all(&**node, positions[19]).await?, &expected, "a read")?;
    }
    Ok(())
}

/// Checks that entries come back unchanged.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn content<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let entries = odd_entries();
    let mut positions = Vec::new();
    for part in entries.chunks(16) {
        positions.extend(append(backend, part).await?);
    }
    let expected = expected(&entries, &positions);
    let mut tail = backend.tail(Position::START).await?;
    check_equal(&collect(&mut tail, entries.len()).await?, &expected, "a tail")?;
    let newest = positions.last().copied().unwrap_or(Position::START);
    check_equal(&read_all(backend, newest).await?, &expected, "a read")
}

/// Returns entries whose text may be mistaken for syntax of an engine.
fn odd_entries() -> Vec<Outgoing> {
    let long = "x".repeat(255);
    let long_unicode = "\u{1f600}".repeat(63);
    let texts = [
        "a",
        "A",
        "a.b",
        "a..b",
        ".",
        "..",
        ".a",
        "a.",
        "*",
        ">",
        "a.*",
        "a.>",
        "**",
        "a*b",
        " ",
        " a",
        "a b",
        "%",
        "%41",
        "%%",
        "=",
        "a.=.b",
        "=a",
        "$JS.API",
        "_INBOX.a",
        "{a}",
        "a:b",
        "a/b",
        "a\\b",
        "'",
        "\"",
        "-",
        "--",
        "+",
        "0",
        "null",
        "\u{e4}",
        "a\u{308}",
        "\u{1f600}",
        "\u{a0}",
        "\u{feff}a",
        "\u{2028}",
        "\u{200b}",
        &long,
        &long_unicode,
    ];
    // Each topic has its own data, so that topics that are mixed up are found.
    let mut entries: Vec<_> = texts.iter().map(|name| outgoing(name, *name)).collect();
    let keys = texts.iter().chain(&["", "\n", "\r\n", "\0", "a\0b", "\t"]);
    entries.extend(keys.map(|key| outgoing("keys", *key).with_key(*key)));
    for kind in [EntryKind::Event, EntryKind::Tombstone, EntryKind::End, EntryKind::Control] {
        entries.push(outgoing("kinds", "").with_kind(kind));
        entries.push(outgoing("kinds", kind.name()).with_kind(kind).with_key("key"));
    }
    let with_event = |event| Outgoing { event, ..outgoing("events", "") };
    let bytes: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..64 << 10).map(|n: u32| (n % 251) as u8).collect();
    for data in [b"\0".to_vec(), b"\r\n".to_vec(), b"\n\n".to_vec(), b"\xff".to_vec(), bytes, large]
    {
        entries.push(with_event(EventParts::new(data)));
    }
    let fields = EventParts::new("data")
        .with_field("event", "a type")
        .with_field("retry", "1000")
        .with_field(":", "a comment\nof two lines")
        .with_field("a name", "one")
        .with_field("A Name", "two")
        .with_field("a name", "three")
        .with_field("\u{e4}", "\u{1f600}\r\n\0")
        .with_field("topic", "t")
        .with_field("data", "d")
        .with_field("key", "");
    entries.push(with_event(fields.clone()));
    let mut reversed = fields;
    reversed.fields.reverse();
    entries.push(with_event(reversed));
    entries.push(with_event(EventParts::default().with_field(":no-data", "")));
    entries
}

/// Checks that an append that is repeated adds nothing, and returns the first positions.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn retries<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let entries = numbered(6);
    let first = append(backend, &entries[..3]).await?;
    let same = append(backend, &entries[..3]).await?;
    ensure!(same == first, "a retry was given the positions {same:?}, the first append {first:?}");
    // Another node, which has a new entry too.
    let more = append(&*subject.node, &entries[1..4]).await?;
    ensure!(more[..2] == first[1..], "a retry was given {more:?}, the first append {first:?}");
    // Twice in one append.
    let twice = [entries[4].clone(), entries[4].clone(), entries[5].clone()];
    let twice = append(backend, &twice).await?;
    ensure!(
        twice[0] == twice[1],
        "an entry that is twice in an append has two positions: {twice:?}"
    );
    let positions = [&first[..], &more[2..], &twice[1..]].concat();
    let expected = expected(&entries, &positions);
    check_log(backend, expected, "a read after retries").await
}

/// Checks what is appended of a batch with an entry that is refused.
///
/// # Errors
///
/// Returns an error if the promise is broken. Skipped if the backend accepts entries of any size.
pub async fn batches<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let abilities = backend.abilities();
    if abilities.largest > MAX_TESTED_SIZE {
        return Err(Unproven::Skipped(format!(
            "entries of {} bytes are allowed",
            abilities.largest
        )));
    }
    let mut entries = numbered(4);
    entries[2] = outgoing("a", "x".repeat(abilities.largest));
    let error = match backend.append(&entries).await {
        Ok(positions) => {
            ensure!(false, "an entry above the largest size was given a position: {positions:?}");
            return Ok(());
        }
        Err(error) => error,
    };
    ensure!(error.fault() == Fault::Refused, "the error of an entry that is too large is: {error}");
    // An entry that shows where the log ends.
    let last = outgoing("a", "last");
    let end = append(backend, std::slice::from_ref(&last)).await?[0];
    let found = read_all(backend, end).await?;
    let data: Vec<_> = found.iter().map(|entry| entry.event.data.clone()).collect();
    let all = ["0", "1", "last"];
    let is_allowed = |number: &usize| data.iter().eq(all[..*number].iter().chain(&all[2..]));
    let is_fine = if abilities.atomic { is_allowed(&0) } else { (0..=2).any(|it| is_allowed(&it)) };
    ensure!(is_fine, "a batch whose third entry was refused left {data:?}");
    entries.remove(2);
    append(backend, &entries).await?;
    Ok(())
}
