//! The values that the data, the ID and the type of an event can be made from.

use bytes::Bytes;
use http::StatusCode;
use tower_sse::{BoxError, Event, EventData, EventId};

use crate::support::wire;

#[test]
fn any_value_that_can_be_displayed_is_sent_as_its_text() {
    assert_eq!(wire(Event::new("text")), "data: text\n\n");
    assert_eq!(wire(Event::display(1.5)), "data: 1.5\n\n");
    assert_eq!(wire(Event::display(StatusCode::NOT_FOUND)), "data: 404 Not Found\n\n");
    assert_eq!(wire(Event::from("text")), "data: text\n\n");
    assert_eq!(wire(Event::new(1.5)), "data: 1.5\n\n");
    assert_eq!(wire(Event::new(true)), "data: true\n\n");
    assert_eq!(wire(Event::new('\n')), "data: \ndata: \n\n");
    let comment = EventData::from("a comment");
    assert_eq!((format!("{comment:>10}"), comment.as_ref()), (" a comment".into(), "a comment"));
    assert!(comment == "a comment" && comment == *"a comment");
}

#[test]
fn ids_and_data_are_made_from_integers_and_displayed_values() {
    assert_eq!(wire(Event::new(-7).with_id(u64::MAX)), format!("id: {}\ndata: -7\n\n", u64::MAX));
    let uuid = uuid::Uuid::new_v4();
    let event = Event::display(uuid).with_id(EventId::from_display(uuid).unwrap());
    assert_eq!(wire(event), format!("id: {uuid}\ndata: {uuid}\n\n"));
}

#[test]
fn the_event_type_is_optional() {
    assert_eq!(wire(Event::new("x")), "data: x\n\n");
    assert_eq!(Event::new("x").event_type(), "message");
}

#[test]
fn an_id_is_a_string_or_an_integer() {
    assert_eq!(wire(Event::new("x").with_id("seven")), "id: seven\ndata: x\n\n");
    assert_eq!(wire(Event::new("x").with_id(7_u8)), "id: 7\ndata: x\n\n");
    let id = EventId::try_from(String::from("at run time")).unwrap();
    assert_eq!(wire(Event::new("x").with_id(id)), "id: at run time\ndata: x\n\n");
}

#[test]
fn shared_bytes_are_data_only_if_they_are_utf_8() -> Result<(), BoxError> {
    let data = tower_sse::EventData::try_from(Bytes::from_static("ä\nb".as_bytes()))?;
    assert_eq!(Event::new(data).encode().to_bytes(), "data: ä\ndata: b\n\n");
    assert!(tower_sse::EventData::try_from(Bytes::from_static(b"\xff")).is_err());
    Ok(())
}
