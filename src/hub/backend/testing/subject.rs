//! What the suite checks.

use std::{fmt, pin::Pin, sync::Arc};

use super::report::Unproven;
use crate::hub::backend::{position::Position, store::Backend};

type HookFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
type Hook = Box<dyn Fn() -> HookFuture + Send + Sync>;
type PositionHook = Box<dyn Fn(Position) -> HookFuture + Send + Sync>;

/// A backend with an empty log, and hooks that cause events which a backend does not produce on
/// demand.
///
/// A promise that needs a hook is skipped without it.
pub struct Subject<B> {
    pub(super) backend: Arc<B>,
    /// A second node with the same log, or the same backend.
    pub(super) node: Arc<B>,
    trim: Option<PositionHook>,
    recreate: Option<Hook>,
    lose_end: Option<PositionHook>,
    outage: Option<(Hook, Hook)>,
    lose_answer: Option<Hook>,
}

impl<B: Backend> Subject<B> {
    /// Creates a subject without hooks.
    #[must_use]
    pub fn new(backend: B) -> Self {
        let backend = Arc::new(backend);
        Self {
            node: backend.clone(),
            backend,
            trim: None,
            recreate: None,
            lose_end: None,
            outage: None,
            lose_answer: None,
        }
    }

    /// Sets a second backend with the same log, as another node has it. By default the checks about
    /// several nodes use one backend.
    #[must_use]
    pub fn with_node(mut self, node: B) -> Self {
        self.node = Arc::new(node);
        self
    }

    /// Sets how to remove all entries before a position, as if the log were out of its bounds.
    #[must_use]
    pub fn on_trim<F>(mut self, trim: impl Fn(Position) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.trim = Some(Box::new(move |at| Box::pin(trim(at))));
        self
    }

    /// Sets how to delete the log. If the engine does not make it again, the next call of
    /// [`Backend::bounds`] does.
    #[must_use]
    pub fn on_recreate<F>(mut self, recreate: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.recreate = Some(boxed(recreate));
        self
    }

    /// Sets how to remove all entries after a position, as an engine loses them that restarts with
    /// older files.
    #[must_use]
    pub fn on_lose_end<F>(mut self, lose: impl Fn(Position) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.lose_end = Some(Box::new(move |at| Box::pin(lose(at))));
        self
    }

    /// Sets how to start and how to end an outage of the engine. It affects all nodes.
    #[must_use]
    pub fn on_outage<S, E>(
        mut self,
        start: impl Fn() -> S + Send + Sync + 'static,
        end: impl Fn() -> E + Send + Sync + 'static,
    ) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
        E: Future<Output = ()> + Send + 'static,
    {
        self.outage = Some((boxed(start), boxed(end)));
        self
    }

    /// Sets how to lose the answer to the next append of the first node. The engine appends the
    /// entries.
    #[must_use]
    pub fn on_lose_answer<F>(mut self, lose: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.lose_answer = Some(boxed(lose));
        self
    }

    pub(super) async fn trim(&self, before: Position) -> Result<(), Unproven> {
        needed(self.trim.as_ref(), "on_trim")?(before).await;
        Ok(())
    }

    pub(super) async fn recreate(&self) -> Result<(), Unproven> {
        needed(self.recreate.as_ref(), "on_recreate")?().await;
        Ok(())
    }

    pub(super) async fn lose_end(&self, after: Position) -> Result<(), Unproven> {
        needed(self.lose_end.as_ref(), "on_lose_end")?(after).await;
        Ok(())
    }

    pub(super) async fn start_outage(&self) -> Result<(), Unproven> {
        needed(self.outage.as_ref(), "on_outage")?.0().await;
        Ok(())
    }

    pub(super) async fn end_outage(&self) -> Result<(), Unproven> {
        needed(self.outage.as_ref(), "on_outage")?.1().await;
        Ok(())
    }

    pub(super) async fn lose_answer(&self) -> Result<(), Unproven> {
        needed(self.lose_answer.as_ref(), "on_lose_answer")?().await;
        Ok(())
    }
}

fn boxed<F>(hook: impl Fn() -> F + Send + Sync + 'static) -> Hook
where
    F: Future<Output = ()> + Send + 'static,
{
    Box::new(move || Box::pin(hook()))
}

fn needed<'a, H: ?Sized>(hook: Option<&'a H>, name: &str) -> Result<&'a H, Unproven> {
    hook.ok_or_else(|| Unproven::Skipped(format!("the subject has no hook `{name}`")))
}

impl<B> fmt::Debug for Subject<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("trim", &self.trim.is_some())
            .field("recreate", &self.recreate.is_some())
            .field("lose_end", &self.lose_end.is_some())
            .field("outage", &self.outage.is_some())
            .field("lose_answer", &self.lose_answer.is_some())
            .finish_non_exhaustive()
    }
}
