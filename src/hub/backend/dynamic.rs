//! The traits that the hub calls: [`Backend`] and [`Tail`] as trait objects.
//!
//! The hub has no type parameter for its backend, and a trait with `async fn` cannot be a trait
//! object. Each call allocates its future, once for a batch or a page, and not for each entry.
//!
//! The methods have other names than those of [`Backend`] and [`Tail`]. Every backend implements
//! both traits, so a call by a common name would be ambiguous.

use std::{num::NonZeroUsize, pin::Pin, sync::Arc};

use super::{
    bounds::{Abilities, Bounds, Located},
    entry::{Batch, LogEntry, Outgoing},
    error::BackendError,
    position::Position,
    store::{Backend, Tail},
    wanted::Wanted,
};
use crate::hub::topic::Topic;

/// The future of a call.
pub(in crate::hub) type BackendFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// [`Backend`] as a trait object.
///
/// The futures own the backend and the arguments. So a body can store the future of a page next to
/// the backend, and poll it.
pub(in crate::hub) trait DynBackend: Send + Sync {
    fn get_abilities(&self) -> Abilities;
    fn get_bounds(self: Arc<Self>) -> BackendFuture<'static, Bounds>;
    /// Appends entries that the caller keeps for a retry.
    fn append_all(
        self: Arc<Self>,
        entries: Arc<[Outgoing]>,
    ) -> BackendFuture<'static, Vec<Position>>;
    fn start_tail(self: Arc<Self>, after: Position) -> BackendFuture<'static, Box<dyn DynTail>>;
    fn read_page(
        self: Arc<Self>,
        after: Position,
        upto: Position,
        wanted: Arc<Wanted>,
        most: NonZeroUsize,
    ) -> BackendFuture<'static, Batch>;
    fn locate_entry(
        self: Arc<Self>,
        at: Position,
        wanted: Arc<Wanted>,
    ) -> BackendFuture<'static, Located>;
    fn find_ends(
        self: Arc<Self>,
        topics: Vec<Topic>,
    ) -> BackendFuture<'static, Vec<Option<Position>>>;
    fn read_state(
        self: Arc<Self>,
        wanted: Arc<Wanted>,
        upto: Position,
    ) -> BackendFuture<'static, Vec<LogEntry>>;
    fn read_newest(
        self: Arc<Self>,
        topics: Arc<[Topic]>,
        upto: Position,
        most: NonZeroUsize,
    ) -> BackendFuture<'static, Vec<LogEntry>>;
    fn forget_topics(self: Arc<Self>, topics: Vec<(Topic, Position)>)
    -> BackendFuture<'static, ()>;
    fn find_warm_start(self: Arc<Self>, most: NonZeroUsize) -> BackendFuture<'static, Position>;
}

/// [`Tail`] as a trait object.
pub(in crate::hub) trait DynTail: Send {
    fn next_batch(&mut self) -> BackendFuture<'_, Batch>;
}

impl<B: Backend> DynBackend for B {
    fn get_abilities(&self) -> Abilities {
        self.abilities()
    }

    fn get_bounds(self: Arc<Self>) -> BackendFuture<'static, Bounds> {
        Box::pin(async move { self.bounds().await })
    }

    fn append_all(
        self: Arc<Self>,
        entries: Arc<[Outgoing]>,
    ) -> BackendFuture<'static, Vec<Position>> {
        Box::pin(async move { self.append(&entries).await })
    }

    fn start_tail(self: Arc<Self>, after: Position) -> BackendFuture<'static, Box<dyn DynTail>> {
        Box::pin(async move {
            let tail: Box<dyn DynTail> = Box::new(self.tail(after).await?);
            Ok(tail)
        })
    }

    fn read_page(
        self: Arc<Self>,
        after: Position,
        upto: Position,
        wanted: Arc<Wanted>,
        most: NonZeroUsize,
    ) -> BackendFuture<'static, Batch> {
        Box::pin(async move { self.read(after, upto, &wanted, most).await })
    }

    fn locate_entry(
        self: Arc<Self>,
        at: Position,
        wanted: Arc<Wanted>,
    ) -> BackendFuture<'static, Located> {
        Box::pin(async move { self.locate(at, &wanted).await })
    }

    fn find_ends(
        self: Arc<Self>,
        topics: Vec<Topic>,
    ) -> BackendFuture<'static, Vec<Option<Position>>> {
        Box::pin(async move { self.ends(&topics).await })
    }

    fn read_state(
        self: Arc<Self>,
        wanted: Arc<Wanted>,
        upto: Position,
    ) -> BackendFuture<'static, Vec<LogEntry>> {
        Box::pin(async move { self.state(&wanted, upto).await })
    }

    fn read_newest(
        self: Arc<Self>,
        topics: Arc<[Topic]>,
        upto: Position,
        most: NonZeroUsize,
    ) -> BackendFuture<'static, Vec<LogEntry>> {
        Box::pin(async move { self.newest(&topics, upto, most).await })
    }

    fn forget_topics(
        self: Arc<Self>,
        topics: Vec<(Topic, Position)>,
    ) -> BackendFuture<'static, ()> {
        Box::pin(async move { self.forget(&topics).await })
    }

    fn find_warm_start(self: Arc<Self>, most: NonZeroUsize) -> BackendFuture<'static, Position> {
        Box::pin(async move { self.warm_start(most).await })
    }
}

impl<T: Tail> DynTail for T {
    fn next_batch(&mut self) -> BackendFuture<'_, Batch> {
        Box::pin(self.next())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::hub::backend::{EventParts, MemoryBackend};

    #[tokio::test(start_paused = true)]
    async fn a_backend_works_as_a_trait_object() {
        let backend: Arc<dyn DynBackend> = Arc::new(MemoryBackend::default());
        let mut tail = backend.clone().start_tail(Position::START).await.unwrap();
        let topic: Topic = "a".parse().unwrap();
        let entry = Outgoing::new(topic.clone(), EventParts::new("x"), 1).with_key("key");
        let entries: Arc<[Outgoing]> = [entry.clone()].into();
        let at = backend.clone().append_all(entries.clone()).await.unwrap()[0];
        assert_eq!(backend.clone().append_all(entries).await.unwrap(), [at]);
        assert_eq!(backend.clone().get_bounds().await.unwrap().newest, at);
        let all = Arc::new(Wanted::all());
        assert_eq!(backend.clone().locate_entry(at, all.clone()).await.unwrap(), Located::Kept);
        let expected = [entry.into_entry(at).with_age(Duration::ZERO)];
        assert_eq!(tail.next_batch().await.unwrap().entries, expected);
        assert_eq!(backend.clone().find_ends(vec![topic.clone()]).await.unwrap(), [None]);
        let start = backend.clone().find_warm_start(NonZeroUsize::MIN);
        assert_eq!(start.await.unwrap(), Position::START);
        let page = backend.clone().read_page(Position::START, at, all.clone(), NonZeroUsize::MIN);
        assert_eq!(page.await.unwrap().entries, expected);
        assert_eq!(backend.clone().read_state(all.clone(), at).await.unwrap(), expected);
        let newest = backend.clone().read_newest([topic.clone()].into(), at, NonZeroUsize::MIN);
        assert_eq!(newest.await.unwrap(), expected);
        backend.clone().forget_topics(vec![(topic, at)]).await.unwrap();
        assert_eq!(backend.clone().read_state(all, at).await.unwrap(), []);
        assert!(backend.get_abilities().atomic);
    }
}
