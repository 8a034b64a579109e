//! Handlers and bodies that many tests start from.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tower_sse::{
    BoxError, Event, EventBody, EventChannelHandler, HandlerOptions, encode::Encode,
    event_channel_handler,
};

/// A handler that sends these events and returns.
pub(crate) fn sends<E: Encode + Clone>(events_to_send: Vec<E>) -> EventChannelHandler<()> {
    event_channel_handler(move |_, events| {
        let to_send = events_to_send.clone();
        async move {
            for event in to_send {
                events.send(event).await?;
            }
            Ok(())
        }
    })
}

/// A handler that sends nothing, and whose stream lasts until its client leaves.
pub(crate) fn idle<B: Send + 'static>() -> EventChannelHandler<B> {
    event_channel_handler(|_, events| async move {
        events.closed().await;
        Ok(())
    })
}

/// A handler that sends one event and then never returns.
pub(crate) fn one_event_then_idle<B: Send + 'static>() -> EventChannelHandler<B> {
    event_channel_handler(|_, events| async move {
        events.send(Event::new("x")).await?;
        pending().await
    })
}

/// Default settings, or those of a handler in a task of its own.
pub(crate) fn spawned_if(spawn_handler: bool) -> HandlerOptions {
    match spawn_handler {
        true => HandlerOptions::new().spawn_handler(),
        false => HandlerOptions::new(),
    }
}

/// A body whose handler sends nothing and never returns.
pub(crate) fn idle_body() -> EventBody {
    EventBody::new(|_events| async move { pending::<Result<(), BoxError>>().await })
}

/// A body of `n` events, whose data and ids are the numbers from 0.
pub(crate) fn body_of_events(n: usize) -> EventBody {
    body_with(HandlerOptions::new(), n)
}

/// The same, with these settings.
pub(crate) fn body_with(options: HandlerOptions, n: usize) -> EventBody {
    EventBody::with_options(options, move |events| async move {
        for n in 0..n {
            events.send(Event::new(n).with_id(n)).await?;
        }
        Ok(())
    })
}

/// A handler that counts how often it runs, and sends one event.
pub(crate) fn counts<B: Send + 'static>() -> (EventChannelHandler<B>, Arc<AtomicUsize>) {
    let ran = Arc::new(AtomicUsize::new(0));
    let runs = ran.clone();
    let handler = event_channel_handler(move |_, events| {
        runs.fetch_add(1, SeqCst);
        async move {
            events.send(Event::new("x")).await?;
            Ok(())
        }
    });
    (handler, ran)
}
