//! `Send`, `Sync` and `Unpin` of every public type: losing one is a breaking change.

use std::{
    cell::Cell,
    error::Error,
    fmt::Debug,
    hash::Hash,
    marker::PhantomPinned,
    panic::{RefUnwindSafe, UnwindSafe},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http_body::Body;
use http_body_util::Full;
use static_assertions::{assert_impl_all, assert_impl_all as yes, assert_not_impl_any as no};
use tower_sse::{
    Accept, BodyOptions, BoxError, Buffer, Connect, DelayRange, EncodedEvent, EndReason, Event,
    EventBody, EventChannelHandler, EventData, EventId, EventParser, EventReceiver, EventSender,
    EventSource, EventSourceError, EventStream, EventType, Farewell, FieldName, HandlerOptions,
    KeepAlive, LastEventId, Reconnection, Refusal, SendError, Shutdown, SseLayer, StreamEnd,
    Update,
    body::EventBodyError,
    channel::EventSink,
    client::ReconnectTo,
    client::Updates,
    client::{Attempt, Opened, ReadyState, Reconnecting, RefusedResponse},
    connect::InvalidLastEventId,
    connect::ResponseHead,
    encode::InvalidEncoding,
    event::InvalidEventId,
    event::InvalidEventType,
    event::InvalidFieldName,
    handler::HandlerFuture,
    layer::SseService,
    layer::{OriginalUri, ResponseFuture, SseBody},
    parse::EventTooLarge,
    parse::Parsed,
    shutdown::ShutdownIo,
    shutdown::ShutdownTimeout,
    stream::ByteStream,
    stream::EventStreamError,
    stream::UnexpectedResponse,
};

/// Neither `Send` nor `Sync`.
struct Local(#[expect(dead_code, reason = "it is there to be neither")] Cell<*const ()>);

yes!(Event: Send, Sync, Unpin, UnwindSafe, Clone, Default, PartialEq, Eq, Hash);

yes!(EventData: Send, Sync, Unpin, Clone, PartialEq, Eq, Hash);

yes!(EventType: Send, Sync, Unpin, Clone, Ord, Hash);

yes!(EventId: Send, Sync, Unpin, Clone, Ord, Hash);

yes!(FieldName: Send, Sync, Unpin, Clone, Ord, Hash);

yes!(InvalidEventType: Send, Sync, Unpin, Error, Clone);

yes!(InvalidEventId: Send, Sync, Unpin, Error, Clone);

yes!(InvalidFieldName: Send, Sync, Unpin, Error, Clone);

yes!(EncodedEvent: Send, Sync, Unpin, Clone, PartialEq, Eq);

yes!(InvalidEncoding: Send, Sync, Unpin, Error, Clone);

yes!(DelayRange: Send, Sync, Unpin, Copy);

yes!(Buffer: Send, Sync, Unpin, Copy, Default);

yes!(EventSender: Send, Sync, Unpin, Clone, UnwindSafe, RefUnwindSafe);

no!(EventSender: Sink<Event>);

yes!(EventSink: Send, Sync, Unpin, Clone, UnwindSafe, RefUnwindSafe, Sink<Event>);

// The type of the event does not matter, because a sink holds no event.
yes!(EventSink<EncodedEvent>: Send, Sync, Unpin, Clone, UnwindSafe, RefUnwindSafe, Sink<EncodedEvent>);

yes!(EventSink<Local>: Send, Sync, Unpin, Clone);

yes!(EventReceiver: Send, Sync, Unpin);

yes!(SendError: Send, Sync, Unpin, Error);

yes!(SendError<EncodedEvent>: Send, Sync, Unpin, Error);

yes!(EventBody: Send, Sync, Unpin, Body<Data = Bytes>, From<EventReceiver>);

yes!(EventBodyError: Send, Sync, Unpin, Error, Clone);

yes!(KeepAlive: Send, Sync, Unpin, Clone, Default);

yes!(BodyOptions: Send, Sync, Unpin, Clone, Default, Debug);

yes!(HandlerOptions: Send, Sync, Unpin, Clone, Default, Debug, From<BodyOptions>);

yes!(EndReason: Send, Sync, Unpin, Copy, Hash);

yes!(StreamEnd: Send, Sync, Unpin);

yes!(Farewell: Send, Sync, Unpin, Clone, Default, PartialEq, Eq);

yes!(Shutdown: Send, Sync, Unpin, Clone, Default, PartialEq, Eq);

yes!(ShutdownIo<tokio::net::TcpStream>: Send, Sync, Unpin, tokio::io::AsyncRead, tokio::io::AsyncWrite);

yes!(ShutdownTimeout: Send, Sync, Unpin, Error, Clone);

yes!(Connect: Send, Sync, Unpin);

yes!(Accept: Send, Sync, Unpin);

yes!(Refusal: Send, Sync, Unpin, From<BoxError>, From<&'static str>, From<std::io::Error>);

no!(Refusal: Error);

yes!(ResponseHead: Send, Sync, Unpin, Clone);

yes!(LastEventId: Send, Sync, Unpin, Clone, Hash);

yes!(InvalidLastEventId: Send, Sync, Unpin, Error, Clone);

// With any body of the request.
yes!(EventChannelHandler<Local>: Send, Sync, Unpin, Clone);

#[cfg(feature = "hub")]
yes!(tower_sse::Hub: Send, Sync, Unpin, Clone);

#[cfg(feature = "hub")]
yes!(tower_sse::hub::HubHandler: Send, Sync, Unpin, Clone);

#[cfg(feature = "hub")]
yes!(tower_sse::hub::HubFuture: Send, Unpin);

#[cfg(feature = "hub")]
yes!(tower_sse::hub::Subscription: Send, Sync, Unpin);

#[cfg(feature = "hub")]
yes!(tower_sse::hub::Entry: Send, Sync, Unpin, Clone);

#[cfg(feature = "hub")]
yes!(tower_sse::hub::PublishError: Send, Sync, Unpin);

yes!(HandlerFuture<Vec<u8>>: Send, Unpin);

no!(HandlerFuture<Local>: Send);

yes!(SseLayer<EventChannelHandler<Local>>: Send, Sync, Unpin, Clone);

yes!(SseService<(), EventChannelHandler<Local>>: Send, Sync, Unpin, Clone);

yes!(SseBody<Full<Bytes>>: Send, Sync, Unpin, Body<Data = Bytes, Error = BoxError>);

yes!(ResponseFuture<std::future::Ready<()>, HandlerFuture<()>>: Send, Unpin);

yes!(OriginalUri: Send, Sync, Unpin, Clone);

yes!(EventParser: Send, Sync, Unpin, Clone, Default);

yes!(EventTooLarge: Send, Sync, Unpin, Error, Clone, PartialEq);

yes!(Parsed: Send, Sync, Unpin, Clone, PartialEq);

yes!(EventStream<Full<Bytes>>: Send, Sync, Unpin, Stream);

yes!(EventStream<PhantomPinned>: Unpin);

yes!(EventStreamError: Send, Sync, Unpin, Error);

yes!(UnexpectedResponse<Local>: Error, Unpin);

yes!(UnexpectedResponse<Full<Bytes>>: Send, Sync, Unpin, Error);

yes!(ByteStream<EventSource>: Send, Sync, Unpin);

yes!(EventSource: Send, Sync, Unpin, Stream);

yes!(EventSourceError: Send, Sync, Unpin, Error);

yes!(Reconnection: Send, Sync, Unpin, Clone, Default);

yes!(ReconnectTo: Send, Sync, Unpin, Copy, Default);

yes!(Update: Send, Sync, Unpin);

yes!(Updates: Send, Sync, Unpin, Stream);

yes!(Opened: Send, Sync, Unpin, Clone);

yes!(Reconnecting: Send, Sync, Unpin);

yes!(RefusedResponse: Send, Sync, Unpin);

yes!(Attempt: Send, Sync, Unpin, Clone);

yes!(ReadyState: Send, Sync, Unpin, Copy, Eq);

#[cfg(feature = "json")]
yes!(tower_sse::JsonError: Send, Sync, Unpin, Error);

#[cfg(feature = "json")]
yes!(tower_sse::stream::Json<EventSource, Local>: Send, Sync, Unpin);

#[cfg(feature = "json")]
yes!(tower_sse::stream::JsonItemError<EventSourceError>: Send, Sync, Unpin, Error);

fn is_send<T: Send>(_: &T) {}

#[test]
fn futures_are_send() {
    let (events, receiver) = tower_sse::event_channel(Buffer::default());
    is_send(&events.send(Event::new("x")));
    is_send(&events.closed());
    is_send(&events.clone().into_sink::<Event>().send(Event::new("x")));
    is_send(&EventBody::from(receiver).next_chunk());
    is_send(&EventStream::new(Full::<Bytes>::default()).next());
    let service = tower::service_fn(|_: http::Request<Full<Bytes>>| async {
        Ok::<_, BoxError>(http::Response::new(Full::<Bytes>::default()))
    });
    let mut source = EventSource::get(service, "/");
    is_send(&source.next_event());
    is_send(&source.next_update());
}

#[test]
fn a_handler_can_be_boxed_for_every_server() {
    let handler = tower_sse::event_channel_handler::<_, _, ()>(|_, _| async { Ok(()) });
    let _boxed = tower::util::BoxCloneSyncService::new(handler);
}

#[test]
fn types_that_are_passed_around_are_small() {
    assert_eq!(size_of::<Result<(), SendError>>(), 16);
    assert_eq!(size_of::<EventChannelHandler<()>>(), 8);
    assert_eq!(size_of::<Refusal>(), 8);
    assert!(size_of::<EventBody>() <= 40);
    assert!(size_of::<Event>() <= 128);
    assert_eq!(size_of::<EventSource>(), 8);
    assert!(size_of::<EventSourceError>() <= 16);
    assert_eq!(size_of::<Option<Result<Event, EventTooLarge>>>(), size_of::<Event>());
    assert!(size_of::<Result<Accept, Refusal>>() <= 112);
}

#[test]
fn a_body_is_send_and_sync_although_its_handler_is_not_sync() {
    fn is_sync<T: Send + Sync + Unpin>(_: &T) {}
    assert_impl_all!(EventBody: Send, Sync, Unpin, http_body::Body<Data = Bytes>);
    let body = EventBody::new(|_| async {
        let not_sync = Cell::new(0);
        tokio::task::yield_now().await;
        not_sync.set(1);
        Ok(())
    });
    is_sync(&body);
    is_sync(&EventBody::from_stream(stream::once(async { Event::new("x") }).boxed()));
    assert!(!http_body::Body::is_end_stream(&body));
}
