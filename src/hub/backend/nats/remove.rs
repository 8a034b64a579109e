//! Removing a topic.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use serde_json::json;

use super::{
    consumer::Start,
    link::{MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, unavailable},
    read::{MAX_PAGE, Source, consumers, one_by_one},
    reader::Reader,
};
use crate::hub::{
    backend::{error::BackendError, position::Position, wanted::Wanted},
    topic::Topic,
};

/// How many removals are under way at a time.
const MAX_UNDER_WAY: usize = 256;

/// Removes the messages of a topic up to a place.
///
/// They are removed one by one. A purge by subject is one request, but the server then moves consumers of this
/// subject to its end, and with them readers of other topics (nats-server issue 8571). It also holds the stream
/// for up to 100 ms.
pub(super) async fn forget(
    source: &Source,
    topic: &Topic,
    upto: Position,
) -> Result<(), BackendError> {
    if remove(source, topic, upto.major()).await.is_ok() {
        return Ok(());
    }
    // The stream may not allow it, or the client cannot read a message.
    let subject = format!("STREAM.PURGE.{}", source.options.name);
    for filter in source.options.subjects.of_topic(topic) {
        let body = json!({ "filter": filter, "seq": upto.major().saturating_add(1) });
        match source.link.request(&subject, &body).await? {
            Err(error) if error.code != STREAM_NOT_FOUND => return Err(unavailable(error)),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

async fn remove(source: &Source, topic: &Topic, upto: u64) -> Result<(), BackendError> {
    let Source { link, options, .. } = source;
    let wanted = Wanted::from_parts(vec![topic.clone()], Vec::new());
    let filters = consumers(link, options.subjects.of_topics(&wanted));
    for filters in one_by_one(source, filters).await? {
        let mut reader = Reader::new(link, options, Start::After(0), &filters).await?;
        loop {
            let page = reader.page(MAX_PAGE).await?;
            let places = page.messages.iter().map(|message| message.at.major());
            let own: Vec<_> = places.take_while(|place| *place <= upto).collect();
            for own in own.chunks(MAX_UNDER_WAY) {
                remove_all(source, own).await?;
            }
            if page.is_last || own.len() < page.messages.len() {
                break;
            }
        }
    }
    Ok(())
}

async fn remove_all(
    Source { link, options, .. }: &Source,
    places: &[u64],
) -> Result<(), BackendError> {
    let subject = format!("STREAM.MSG.DELETE.{}", options.name);
    let removals = places.iter().map(|place| {
        let (subject, link) = (subject.clone(), link.clone());
        let body = json!({ "seq": place, "no_erase": true });
        async move {
            match link.request(&subject, &body).await? {
                Err(error) if error.code != MESSAGE_NOT_FOUND => Err(unavailable(error)),
                Ok(_) | Err(_) => Ok(()),
            }
        }
    });
    let mut under_way: Vec<Pin<Box<_>>> = removals.map(Box::pin).collect();
    poll_fn(|cx| poll_all(&mut under_way, cx)).await
}

/// Polls all futures until each is done, or one fails.
fn poll_all<F>(futures: &mut Vec<Pin<Box<F>>>, cx: &mut Context<'_>) -> Poll<F::Output>
where
    F: Future<Output = Result<(), BackendError>>,
{
    let mut failed = None;
    futures.retain_mut(|future| match future.as_mut().poll(cx) {
        Poll::Ready(Err(error)) => {
            failed = Some(error);
            false
        }
        polled => polled.is_pending(),
    });
    match failed {
        Some(error) => Poll::Ready(Err(error)),
        None if futures.is_empty() => Poll::Ready(Ok(())),
        None => Poll::Pending,
    }
}
