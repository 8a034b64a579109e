//! Ends the streams of readers, on this node.

use std::{sync::Arc, task::Waker};

use http::Extensions;

use super::{node::Node, window::Group};

/// The labels of a reader, in its extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(Vec<Arc<str>>);

impl Labels {
    pub(super) fn add(extensions: &mut Extensions, label: impl Into<Arc<str>>) {
        let mut labels = extensions.remove::<Self>().unwrap_or_default();
        labels.0.push(label.into());
        extensions.insert(labels);
    }

    fn have(extensions: &Extensions, label: &str) -> bool {
        let labels = extensions.get::<Self>();
        labels.is_some_and(|labels| labels.0.iter().any(|own| &**own == label))
    }
}

/// Disconnects the readers of a node that have a label. Returns their number.
pub(super) fn disconnect_label(node: &Node, label: &str) -> usize {
    disconnect(node, |extensions| Labels::have(extensions, label))
}

/// Disconnects the readers of a node whose extensions match. Returns their number.
pub(super) fn disconnect(node: &Node, predicate: impl Fn(&Extensions) -> bool) -> usize {
    let mut disconnected = 0;
    for_each_group(node, |group| {
        let mut from = Some(0);
        while let Some(index) = from {
            let mut sessions = Vec::new();
            from = group.sessions(index, &mut sessions);
            for (reader, session) in sessions {
                if !predicate(&session) {
                    continue;
                }
                let Some(waker) = group.cut(reader, &session) else { continue };
                disconnected += 1;
                waker.into_iter().for_each(Waker::wake);
            }
        }
    });
    disconnected
}

/// Visits all groups, some thousand under the lock at a time.
pub(super) fn for_each_group(node: &Node, mut visit: impl FnMut(&Arc<Group>)) {
    let mut last = None;
    loop {
        let groups = node.lock().all_groups(last.as_ref());
        groups.iter().for_each(&mut visit);
        match groups.into_iter().next_back() {
            Some(group) => last = Some(group),
            None => return,
        }
    }
}
