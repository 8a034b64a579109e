//! The outcome of reading a stream, and how the parser is driven. The fuzz target uses this file
//! too.

use bytes::Bytes;
use tower_sse::{Event, EventParser, parse::EventTooLarge, parse::Parsed};

/// One item of a stream, as the parser or the oracle gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Type, data, and the last event ID at the time of dispatch.
    Event(String, String, String),
    /// A block without data: its id and its reconnection time.
    Block(Option<String>, Option<u64>),
    Comment(String),
    Field(String, String),
    TooLarge(EventTooLarge),
}

/// Everything that is known of a stream after its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) items: Vec<Item>,
    pub(crate) last_event_id: String,
    pub(crate) reconnection_time: Option<u64>,
    /// The data of the unfinished event, which is discarded.
    pub(crate) unfinished: Option<String>,
}

/// Parses these chunks.
pub(crate) fn parse<'a>(
    parser: EventParser,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Outcome {
    let mut parser = parser;
    let mut items = Vec::new();
    for chunk in chunks {
        parser.push(Bytes::copy_from_slice(chunk));
        while let Some(item) = parser.next_item() {
            items.push(to_item(item, &parser));
        }
    }
    Outcome {
        items,
        last_event_id: last_event_id(&parser),
        reconnection_time: parser
            .reconnection_time()
            .map(|time| time.as_millis().try_into().unwrap()),
        unfinished: parser.unfinished().map(|event| event.data().to_owned()),
    }
}

pub(crate) fn to_item(item: Result<Parsed, EventTooLarge>, parser: &EventParser) -> Item {
    match item {
        Ok(Parsed::Event(event)) => {
            assert!(event.has_data());
            let event_type = event.event_type().as_str().to_owned();
            Item::Event(event_type, event.data().to_owned(), last_event_id(parser))
        }
        Ok(Parsed::Block(event)) => {
            assert!(!event.has_data());
            Item::Block(
                own_id(&event),
                event.retry().map(|time| time.as_millis().try_into().unwrap()),
            )
        }
        Ok(Parsed::Comment(text)) => Item::Comment(text.as_str().to_owned()),
        Ok(Parsed::Field { name, value }) => {
            Item::Field(name.as_str().to_owned(), value.as_str().to_owned())
        }
        Ok(other) => panic!("{other:?} is unheard of"),
        Err(error) => Item::TooLarge(error),
    }
}

fn own_id(event: &Event) -> Option<String> {
    event.id().map(|id| id.as_str().to_owned())
}

pub(crate) fn last_event_id(parser: &EventParser) -> String {
    parser.last_event_id().map(|id| id.as_str().to_owned()).unwrap_or_default()
}

/// Cuts bytes into pieces of these lengths, over and over. A length of 0 makes an empty chunk.
pub(crate) fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut lengths = lengths.iter().cycle();
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at((*lengths.next().unwrap()).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
