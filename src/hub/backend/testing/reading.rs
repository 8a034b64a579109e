//! The promises about reads.

use std::num::NonZeroUsize;

use super::{
    report::Outcome,
    subject::Subject,
    support::{
        MAX_WAIT, append, check_equal, check_located, collect, ensure, expected, numbered,
        outgoing, read_all, read_pages, topic,
    },
};
use crate::hub::backend::{
    bounds::Located,
    entry::EntryKind,
    error::Fault,
    position::Position,
    store::{Backend, Tail},
    wanted::Wanted,
};

fn wanted(names: &[&str], patterns: &[&str]) -> Wanted {
    let names = names.iter().map(|name| topic(name));
    Wanted::new(names, patterns.iter().copied()).expect("the suite uses valid patterns only")
}

fn pages_of(most: usize) -> NonZeroUsize {
    NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN)
}

/// The number of keys that a state is checked with, at most.
const MANY_KEYS: usize = 2100;

/// Checks that a read returns the wanted entries of a range.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn ranges<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let entries = numbered(9);
    let positions = append(backend, &entries).await?;
    let all = expected(&entries, &positions);
    let selections = [
        Wanted::all(),
        wanted(&["a"], &[]),
        wanted(&["b.c", "b"], &[]),
        wanted(&[], &["b.*"]),
        wanted(&["a"], &["*.d", "c.>"]),
        wanted(&["*", "b.*"], &[]),
        wanted(&[], &[]),
    ];
    let starts = [&[Position::START], &positions[..]].concat();
    for wanted in &selections {
        for (from, after) in starts.iter().enumerate() {
            for (to, upto) in starts.iter().enumerate().skip(from) {
                let range: Vec<_> = all[from..to]
                    .iter()
                    .filter(|entry| wanted.takes(entry.topic.as_str()))
                    .cloned()
                    .collect();
                let found = read_pages(backend, (*after, *upto), wanted, pages_of(100)).await?;
                check_equal(&found, &range, &format!("a read of {wanted:?}"))?;
            }
        }
    }
    Ok(())
}

/// Checks that pages follow each other and have at most the requested size.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn pages<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let entries = numbered(100);
    let mut positions = append(backend, &entries[..60]).await?;
    positions.extend(append(backend, &entries[60..]).await?);
    let all = expected(&entries, &positions);
    for most in [1, 2, 7, 99, 100, 101, 1_000_000] {
        let range = (Position::START, positions[99]);
        let found = read_pages(backend, range, &Wanted::all(), pages_of(most)).await?;
        check_equal(&found, &all, &format!("reading pages of {most}"))?;
        let found = read_pages(backend, range, &wanted(&["b.c"], &[]), pages_of(most)).await?;
        let of_topic: Vec<_> = all.iter().filter(|entry| entry.topic == "b.c").cloned().collect();
        check_equal(&found, &of_topic, &format!("reading pages of {most} of one topic"))?;
    }
    Ok(())
}

/// Checks that a retained entry is located, and that nothing else is.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn locate<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    check_located(backend, Position::START, Located::Kept, "the start of an empty log").await?;
    let positions = append(backend, &numbered(5)).await?;
    for node in [backend, &*subject.node] {
        check_located(node, Position::START, Located::Kept, "the start").await?;
        for at in &positions {
            check_located(node, *at, Located::Kept, "a retained entry").await?;
            let other = at.with_check(at.check() ^ 1);
            check_located(node, other, Located::Unknown, "another fingerprint").await?;
        }
        let last = positions[4];
        let after = Position::new(last.major() + 1_000_000).with_check(last.check());
        check_located(node, after, Located::Unknown, "a position after the newest").await?;
        let after = last.with_minor(last.minor() + 1);
        check_located(node, after, Located::Unknown, "a place after the newest").await?;
    }
    Ok(())
}

/// Checks what becomes of positions, reads and tails when the oldest entries are trimmed.
///
/// # Errors
///
/// Returns an error if the promise is broken. Skipped without [`Subject::on_trim`].
pub async fn trimming<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let entries = numbered(20);
    let positions = append(backend, &entries).await?;
    let all = expected(&entries, &positions);
    let mut early = backend.tail(positions[2]).await?;
    subject.trim(positions[10]).await?;
    for node in [backend, &*subject.node] {
        // All entries after the one before the oldest are retained, so both answers are right there.
        for (at, position) in [&[Position::START], &positions[..9]].concat().iter().enumerate() {
            let found = node.locate(*position, &Wanted::all()).await?;
            let is_fine = found != Located::Kept;
            ensure!(
                is_fine,
                "position {at} ({position:?}) is {found:?}, but an entry after it was trimmed"
            );
        }
        for at in &positions[10..] {
            check_located(node, *at, Located::Kept, "a retained entry").await?;
        }
        let bounds = node.bounds().await?;
        let (oldest, newest) = (Some(positions[10]), positions[19]);
        ensure!(bounds.oldest == oldest, "the oldest entry is {:?}, not {oldest:?}", bounds.oldest);
        ensure!(bounds.newest == newest, "the newest entry is {:?}, not {newest:?}", bounds.newest);
    }
    check_equal(&read_all(backend, positions[19]).await?, &all[10..], "a read after trimming")?;
    let mut late = backend.tail(Position::START).await?;
    check_equal(&collect(&mut late, 10).await?, &all[10..], "a tail after trimming")?;
    // The tail may have had the entries already. It must not skip any.
    let mut found = Vec::new();
    while found.len() < 17 {
        match tokio::time::timeout(MAX_WAIT, early.next()).await {
            Ok(Ok(batch)) => found.extend(batch.entries),
            Ok(Err(error)) => {
                ensure!(error.fault() == Fault::Lost, "a tail of trimmed entries failed: {error}");
                break;
            }
            Err(_) => ensure!(false, "a tail of trimmed entries returned only {}", found.len()),
        }
    }
    let until = all.len().min(3 + found.len());
    check_equal(&found, &all[3..until], "a tail whose entries were trimmed")
}

/// Checks that the state has the newest entry of each key, without tombstones.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn state<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let keyed = |name: &str, key: &str, data: &str| outgoing(name, data).with_key(key);
    let removed =
        |name: &str, key: &str| keyed(name, key, "removed").with_kind(EntryKind::Tombstone);
    let entries = [
        keyed("a", "updated", "old"),
        keyed("a", "removed", "old"),
        keyed("b.c", "updated", "of another topic"),
        outgoing("a", "without a key"),
        keyed("a", "", "of the empty key"),
        keyed("a", "*", "of a key that looks like a pattern"),
        removed("a", "restored"),
        removed("a", "never set"),
        removed("a", "removed"),
        keyed("a", "updated", "new"),
        keyed("a", "restored", "new"),
        keyed("b.d", "end", "an end with a key").with_kind(EntryKind::End),
        keyed("b.c", "removed", "of another topic"),
        // Not part of the state at the entry before.
        keyed("a", "later", "later"),
        removed("b.c", "removed"),
        keyed("b.d", "end", "later"),
    ];
    let positions = append(backend, &entries).await?;
    let all = expected(&entries, &positions);
    let newest = positions[positions.len() - 1];
    let at_the_end = [2, 4, 5, 9, 10, 13, 15];
    for node in [backend, &*subject.node] {
        for wanted in
            [Wanted::all(), wanted(&["a"], &[]), wanted(&[], &["b.*"]), wanted(&["none"], &[])]
        {
            let mut found = node.state(&wanted, newest).await?;
            found.sort_by_key(|entry| entry.at);
            found.retain(|entry| wanted.takes(entry.topic.as_str()));
            let expected: Vec<_> = at_the_end
                .iter()
                .map(|at| all[*at].clone())
                .filter(|entry| wanted.takes(entry.topic.as_str()))
                .collect();
            check_equal(&found, &expected, &format!("the state of {wanted:?}"))?;
        }
    }
    let upto = positions[12];
    let found = backend.state(&Wanted::all(), upto).await?;
    for entry in &found {
        ensure!(entry.at.place() <= upto.place(), "the state up to {upto:?} contains {entry:?}");
    }
    for at in [2, 4, 5, 9, 10] {
        let is_there = found.iter().any(|entry| entry.at == positions[at]);
        ensure!(is_there, "the state up to {upto:?} does not contain {:?}", all[at]);
    }
    // These may be left out, since they have newer entries.
    let allowed = [2, 4, 5, 9, 10, 11, 12];
    let other = found.iter().find(|entry| !allowed.iter().any(|at| positions[*at] == entry.at));
    ensure!(other.is_none(), "the state up to {upto:?} contains {other:?}");
    // More than a backend may read at a time.
    let many: Vec<_> = (0..MANY_KEYS).map(|n| keyed("many", &n.to_string(), "one")).collect();
    let mut newest = newest;
    for entries in many.chunks(100) {
        newest = append(backend, entries).await?.last().copied().unwrap_or(newest);
    }
    let found = backend.state(&wanted(&["many"], &[]), newest).await?.len();
    ensure!(found == MANY_KEYS, "the state of {MANY_KEYS} keys has {found} entries");
    Ok(())
}

/// Checks that the ends of topics are found, and nothing else is.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn ends<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let end = |name: &str| outgoing(name, "").with_kind(EntryKind::End);
    let entries = [
        outgoing("a", "1"),
        outgoing("a", "2").with_key("key"),
        end("b.c"),
        outgoing("b", "not ended"),
        end("a"),
        end("=.*"),
    ];
    let positions = append(backend, &entries).await?;
    let names = ["a", "b", "b.c", "b.c.d", "=.*", "=", "none"].map(topic);
    let expected = [Some(4), None, Some(2), None, Some(5), None, None];
    let expected = expected.map(|at: Option<usize>| at.map(|at| positions[at].place()));
    for node in [backend, &*subject.node] {
        let found: Vec<_> =
            node.ends(&names).await?.into_iter().map(|at| at.map(Position::place)).collect();
        ensure!(found == expected, "the ends of {names:?} are {found:?}, expected {expected:?}");
        ensure!(node.ends(&[]).await?.is_empty(), "there are ends of no topics");
    }
    Ok(())
}

/// Checks that the newest entries of topics are found.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn newest<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    // Many of one topic, few of another one, and some with keys.
    let entry = |n: usize| match n {
        0 | 150 | 299 => outgoing("rare", n.to_string()),
        n if n % 7 == 0 => outgoing("a", n.to_string()).with_key((n % 3).to_string()),
        n if n % 2 == 0 => outgoing("a", n.to_string()),
        n => outgoing("a.b", n.to_string()),
    };
    let entries: Vec<_> = (0..300).map(entry).collect();
    let positions = append(backend, &entries).await?;
    let all = expected(&entries, &positions);
    let names = [topic("a"), topic("rare"), topic("none")];
    for node in [backend, &*subject.node] {
        for (most, upto) in [(1, 299), (2, 299), (20, 299), (20, 149), (3, 0), (1000, 298)] {
            let mut found = node.newest(&names, positions[upto], pages_of(most)).await?;
            found.sort_by_key(|entry| entry.at);
            let mut newest = Vec::new();
            for name in &names {
                let of_topic = all[..=upto].iter().filter(|entry| entry.topic == *name);
                newest.extend(of_topic.rev().take(most).cloned());
            }
            newest.sort_by_key(|entry| entry.at);
            check_equal(
                &found,
                &newest,
                &format!("the newest {most} entries up to number {upto}"),
            )?;
        }
    }
    Ok(())
}

/// Checks where a new node starts.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn warm_start<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let start = backend.warm_start(pages_of(5)).await?;
    ensure!(start == Position::START, "a node starts an empty log at {start:?}");
    let entries = numbered(100);
    let positions = append(backend, &entries).await?;
    for most in [1, 2, 7, 50, 99, 100, 1_000_000] {
        let start = backend.warm_start(pages_of(most)).await?;
        if start == Position::START {
            continue;
        }
        check_located(backend, start, Located::Kept, "the start of a node").await?;
        let after = positions.iter().filter(|at| **at > start).count();
        let is_fine = after <= 2 * most && 2 * after >= most.min(100);
        ensure!(is_fine, "{after} entries follow the start of a node, about {most} were requested");
    }
    Ok(())
}

/// Checks the identity, and the oldest and the newest position.
///
/// # Errors
///
/// Returns an error if the promise is broken.
pub async fn bounds<B: Backend>(subject: &Subject<B>) -> Outcome {
    let backend = &*subject.backend;
    let empty = backend.bounds().await?;
    ensure!(empty.oldest.is_none(), "an empty log has the oldest entry {:?}", empty.oldest);
    ensure!(
        empty.newest == Position::START,
        "an empty log has the newest entry {:?}",
        empty.newest
    );
    let mut oldest = None;
    for entry in numbered(5) {
        let at = append(backend, &[entry]).await?[0];
        oldest = oldest.or(Some(at));
        for node in [backend, &*subject.node] {
            let bounds = node.bounds().await?;
            ensure!(bounds.identity == empty.identity, "the identity has changed");
            ensure!(bounds.newest == at, "the newest entry is {:?}, not {at:?}", bounds.newest);
            ensure!(
                bounds.oldest == oldest,
                "the oldest entry is {:?}, not {oldest:?}",
                bounds.oldest
            );
        }
    }
    Ok(())
}
