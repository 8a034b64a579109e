//! Every event that can be built arrives unchanged at an independent decoder, and nothing else
//! arrives.
//!
//! By the standard, an event is dispatched if its block has a `data` line, even an empty one: each
//! `data` line adds its value and a line feed to the data, and an event is skipped only if the data
//! is empty *before* the last line feed is removed. The decoder agrees, so empty data is no special
//! case. Its reconnection times are `u32`, and an empty last event ID is `None`.

use std::{num::NonZeroUsize, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use proptest::{collection::vec, option, prelude::*};
use sse_core::{SseDecoder, SseEvent};
use tower_sse::{
    Buffer, EncodedEvent, Event, EventBody, EventId, EventType, FieldName, HandlerOptions,
    event_channel,
};

use crate::support::read_text;

/// An item of the decoder: a dispatched event as type, data and last event ID, or a reconnection
/// time.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Event(String, String, Option<String>),
    Retry(u32),
}

/// Decodes these chunks.
fn decoded(chunks: impl IntoIterator<Item = Bytes>) -> Vec<Item> {
    let mut decoder = SseDecoder::with_limit(NonZeroUsize::new(16 << 20).unwrap());
    let mut all = Vec::new();
    for mut chunk in chunks {
        while let Some(event) = decoder.next(&mut chunk) {
            all.push(match event.unwrap() {
                SseEvent::Retry(retry) => Item::Retry(retry),
                SseEvent::Message(message) => Item::Event(
                    message.event.into_owned(),
                    message.data,
                    message.last_event_id.map(|id| id.to_string()),
                ),
            });
        }
    }
    all
}

/// Returns data as a client gets it: each line end is one LF.
fn with_lf(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

/// Returns the items that a client must get from these events in a row.
fn expected<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Item> {
    let mut last_event_id = None;
    let mut all = Vec::new();
    for event in events {
        if let Some(retry) = event.retry() {
            all.push(Item::Retry(retry.as_millis().try_into().unwrap()));
        }
        if let Some(id) = event.id() {
            last_event_id = Some(id.as_str().to_owned()).filter(|id| !id.is_empty());
        }
        if event.has_data() {
            let event_type = event.event_type().as_str().to_owned();
            all.push(Item::Event(event_type, with_lf(event.data()), last_event_id.clone()));
        }
    }
    all
}

/// Text made of pieces that an encoder could get wrong: line ends, colons, spaces, fields, control
/// characters, byte order marks, and any other text.
fn text() -> impl Strategy<Value = String> {
    const PIECES: [&str; 24] = [
        "\r",
        "\n",
        "\r\n",
        "\n\n",
        "\r\r",
        ":",
        " ",
        "data: x",
        "event: x",
        "id: 7",
        "retry: 1",
        "data",
        ": comment",
        "\0",
        "\t",
        "\u{feff}",
        "\u{2028}",
        "\u{85}",
        "\u{7f}",
        "ä",
        "漢",
        "😀",
        "a",
        "\u{b}\u{c}",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(&PIECES[..]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[a-z]{0,80}",
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn event_type() -> impl Strategy<Value = EventType> {
    text().prop_map(|text| EventType::try_from(text.replace(['\r', '\n'], "")).unwrap())
}

fn id() -> impl Strategy<Value = EventId> {
    let no_controls =
        |text: String| text.chars().filter(|it| !it.is_ascii_control()).collect::<String>();
    prop_oneof![
        text().prop_map(move |text| EventId::try_from(no_controls(text)).unwrap()),
        any::<i64>().prop_map(EventId::from),
    ]
}

fn field_name() -> impl Strategy<Value = FieldName> {
    let allowed = |text: String| text.replace(['\r', '\n', ':'], "");
    let near = proptest::sample::select(&["ID", "datas", " data", "dat", "retry ", "Event"][..]);
    prop_oneof![text().prop_map(allowed), near.prop_map(str::to_owned)]
        .prop_filter_map("a name", |name| FieldName::try_from(name).ok())
}

fn event() -> impl Strategy<Value = Event> {
    let retry = option::weighted(0.2, any::<u32>());
    let comments = vec(text(), 0..3);
    let fields = vec((field_name(), text()), 0..3);
    (option::of(text()), option::of(event_type()), option::of(id()), retry, comments, fields)
        .prop_map(|(data, event_type, id, retry, comments, fields)| {
            let mut event = Event::default();
            if let Some(data) = data {
                event = event.with_data(data);
            }
            if let Some(event_type) = event_type {
                event = event.with_type(event_type);
            }
            if let Some(id) = id {
                event = event.with_id(id);
            }
            if let Some(retry) = retry {
                event = event.with_retry(Duration::from_millis(retry.into()));
            }
            event = comments.into_iter().fold(event, Event::with_comment);
            fields.into_iter().fold(event, |event, (name, value)| event.with_field(name, value))
        })
}

fn wire(event: &Event) -> Bytes {
    event.encode().to_bytes()
}

/// Cuts bytes into pieces of these lengths, over and over.
fn cut(mut bytes: Bytes, lengths: &[usize]) -> Vec<Bytes> {
    let mut lengths = lengths.iter().cycle();
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let length = *lengths.next().unwrap();
        pieces.push(bytes.split_to(length.min(bytes.len())));
    }
    pieces
}

/// An event that is sent last and must arrive unchanged.
fn sentinel() -> Event {
    Event::new("the\nsentinel").with_type("sentinel").with_id("last")
}

fn is_sentinel(decoded: Option<&Item>) -> bool {
    decoded == Some(&Item::Event("sentinel".into(), "the\nsentinel".into(), Some("last".into())))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn an_event_arrives_unchanged(event in event()) {
        prop_assert_eq!(decoded([wire(&event)]), expected([&event]));
    }

    #[test]
    fn events_arrive_in_any_chunking(events in vec(event(), 0..6), lengths in vec(1..40_usize, 1..5)) {
        let mut bytes = BytesMut::new();
        events.iter().for_each(|event| event.encode_to(&mut bytes));
        prop_assert_eq!(&bytes, &events.iter().map(wire).collect::<Vec<_>>().concat());
        prop_assert_eq!(decoded(cut(bytes.freeze(), &lengths)), expected(&events));
    }

    #[test]
    fn events_arrive_through_a_channel_and_a_body(
        events in vec((event(), any::<bool>()), 0..20),
        capacity in 1..8_usize,
        lengths in vec(1..40_usize, 1..5),
    ) {
        let to_send = events.clone();
        let options = HandlerOptions::new().buffer(Buffer::fixed(capacity)).without_keep_alive();
        let mut body = EventBody::with_options(options, |sender| async move {
            for (event, encoded) in to_send {
                match encoded {
                    true => sender.send(event.encode()).await?,
                    false => sender.send(event).await?,
                }
            }
            Ok(())
        });
        let mut chunks = Vec::new();
        // No future waits, so the body is pending only to let other tasks run.
        loop {
            match body.next_chunk().now_or_never() {
                None => {}
                Some(None) => break,
                Some(Some(chunk)) => chunks.extend(cut(chunk.unwrap(), &lengths)),
            }
        }
        prop_assert_eq!(decoded(chunks), expected(events.iter().map(|(event, _)| event)));
    }

    #[test]
    fn large_events_arrive_through_a_body(
        events in vec((text(), 1..60_000_usize, any::<bool>()), 1..6),
    ) {
        let events: Vec<_> = events
            .into_iter()
            .map(|(text, times, shared)| (Event::new(text.repeat(times / 50)).with_id(times), shared))
            .collect();
        let (sender, receiver) = event_channel(Buffer::fixed(64).max_bytes(usize::MAX));
        for (event, shared) in &events {
            match shared {
                true => sender.try_send(event.encode()).unwrap(),
                false => sender.try_send(event.clone()).unwrap(),
            }
        }
        drop(sender);
        let mut body = EventBody::from(receiver).without_keep_alive();
        let mut chunks = Vec::new();
        loop {
            match body.next_chunk().now_or_never() {
                None => {}
                Some(None) => break,
                Some(Some(chunk)) => chunks.push(chunk.unwrap()),
            }
        }
        prop_assert!(chunks.iter().all(|chunk| chunk.len() <= 64 << 10));
        prop_assert_eq!(decoded(chunks), expected(events.iter().map(|(event, _)| event)));
    }

    #[test]
    fn a_late_id_is_that_of_the_event(event in event(), late in id(), later in id()) {
        let late_event = event.clone().with_id(late.clone());
        let encoded = event.encode().with_id(&late);
        prop_assert_eq!(decoded([encoded.to_bytes()]), expected([&late_event]));
        let later_event = event.with_id(later.clone());
        prop_assert_eq!(decoded([encoded.with_id(&later).to_bytes()]), expected([&later_event]));
    }

    #[test]
    fn a_late_id_takes_the_place_of_the_first_of_foreign_bytes(
        bytes in vec(prop_oneof![text(), Just("id: 1\n".into()), Just("id\r\n".into())], 0..8),
        late in id(),
    ) {
        let bytes = format!("{}\n\n", bytes.concat());
        let Ok(foreign) = EncodedEvent::from_bytes(bytes) else { return Ok(()) };
        let decoded_before = decoded([foreign.to_bytes()]);
        let decoded = decoded([foreign.clone().with_id(&late).to_bytes(), wire(&sentinel())]);
        prop_assert!(is_sentinel(decoded.last()));
        prop_assert_eq!(decoded.len(), decoded_before.len() + 1);
        // Everything but the IDs is unchanged, and the first event has the late ID.
        let late = Some(late.as_str().to_owned()).filter(|id| !id.is_empty());
        let mut first = true;
        for (before, after) in decoded_before.iter().zip(&decoded) {
            match (before, after) {
                (Item::Event(type_before, data_before, _), Item::Event(event_type, data, id)) => {
                    prop_assert_eq!((type_before, data_before), (event_type, data));
                    if std::mem::take(&mut first) && !foreign_ids_follow(&foreign) {
                        prop_assert_eq!(id, &late);
                    }
                }
                _ => prop_assert_eq!(before, after),
            }
        }
    }

    #[test]
    fn foreign_bytes_are_refused_or_leave_the_next_event_alone(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..60),
            vec(proptest::sample::select(&b"\r\n\r\n: adtei\xef\xbb\xbf\0"[..]), 0..30),
            text().prop_map(|text| format!("{text}\n\n").into_bytes()),
        ],
    ) {
        let Ok(foreign) = EncodedEvent::from_bytes(bytes.clone()) else { return Ok(()) };
        prop_assert_eq!(foreign.to_bytes(), &bytes);
        let before = decoded([wire(&Event::comment("x")), foreign.to_bytes()]);
        for after in [sentinel().encode(), sentinel().encode().with_id("last")] {
            let decoded = decoded([wire(&Event::comment("x")), foreign.to_bytes(), after.to_bytes()]);
            prop_assert_eq!(decoded.len(), before.len() + 1, "{:?}", bytes);
            prop_assert!(is_sentinel(decoded.last()), "{:?}", bytes);
        }
    }
}

/// Returns whether bytes have several blocks: the ID of a later one may precede the first
/// dispatched event.
fn foreign_ids_follow(foreign: &EncodedEvent) -> bool {
    let text = String::from_utf8(foreign.to_bytes().to_vec()).unwrap();
    let text = with_lf(&text);
    let text = text.trim_matches('\n');
    text.contains("\n\n")
}

#[test]
fn data_that_looks_like_fields_arrives_as_data() {
    for attack in [
        "x\n\nevent: evil\ndata: y",
        "x\r\revent: evil\rdata: y\r\r",
        "x\r\n\r\nevent: evil\r\ndata: y\r\n\r\n",
        "x\n\r\n\rdata: y",
        "\nid: 666\nretry: 0\n",
        "\r\n",
        "\n\n\n",
        "event: evil",
        ":\n:\n\ndata: y",
        "\u{feff}data: y\n\n",
        "\u{2028}data: y\u{2029}data: z\u{85}data: q\u{b}data: r\u{c}data: s",
        "\0\n\0",
        "",
        " ",
        "  leading",
        "data: data: x",
    ] {
        let event = Event::new(attack);
        let alone = [Item::Event("message".into(), with_lf(attack), None)];
        assert_eq!(decoded([wire(&event)]), alone, "{attack:?}");
        // The same byte by byte.
        assert_eq!(decoded(cut(wire(&event), &[1])), alone, "{attack:?}");

        // As a comment or as the value of a custom field, the text dispatches nothing.
        let silent = Event::comment(attack).with_field("custom", attack);
        assert_eq!(decoded([wire(&silent)]), [], "{attack:?}");
        let decoded = decoded([wire(&silent.with_data("x")), wire(&sentinel())]);
        assert_eq!(decoded.len(), 2, "{attack:?}");
        assert_eq!(decoded[0], Item::Event("message".into(), "x".into(), None));
        assert!(is_sentinel(decoded.last()));
    }
}

#[test]
fn types_and_ids_that_look_like_fields_stay_values() {
    for value in ["data: y", ": x", "id:7", " spaced ", "\u{feff}", "\u{2028}data: y", "ä:ß", ":"]
    {
        let event_type = EventType::try_from(value).unwrap();
        let id = EventId::try_from(value).unwrap();
        let event = Event::new("x").with_type(event_type).with_id(id);
        let expected = Item::Event(value.into(), "x".into(), Some(value.into()));
        assert_eq!(decoded([wire(&event)]), [expected], "{value:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn data_that_looks_like_fields_arrives_as_data_through_a_body() {
    let attack = "x\r\rid: 666\r\n\r\nevent: evil\ndata: y\n\n";
    let (events, receiver) = event_channel(Buffer::default());
    events.send(Event::comment(attack)).await.unwrap();
    events.send(Event::new(attack)).await.unwrap();
    events.send(sentinel()).await.unwrap();
    drop(events);
    let decoded = decoded([Bytes::from(read_text(EventBody::from(receiver)).await)]);
    assert_eq!(decoded.len(), 2);
    assert_eq!(decoded[0], Item::Event("message".into(), with_lf(attack), None));
    assert!(is_sentinel(decoded.last()));
}
