//! Event types, IDs and field names are checked when they are made.

use tower_sse::{Event, EventId, EventType, FieldName};

#[test]
fn text_with_a_line_end_is_no_type_id_or_field_name() {
    for newline in ["\n", "\r", "\r\n"] {
        let text = format!("a{newline}data: b");
        assert_eq!(EventType::try_from(&text).unwrap_err().position(), Some(1));
        assert_eq!(EventId::try_from(&text).unwrap_err().position(), Some(1));
        assert_eq!(FieldName::try_from(&text).unwrap_err().position(), Some(1));
    }
    for text in ["a\nb", "a\rb", "\r\n", "a\n\ndata: b"] {
        assert!(EventType::try_from(text).is_err(), "{text:?}");
        assert!(EventId::try_from(text).is_err(), "{text:?}");
        assert!(EventId::from_display(text).is_err(), "{text:?}");
    }
    for attack in
        ["x\ndata: y", "x\rdata: y", "x\r\ndata: y", "\n", "\r", "x\n\ndata: y\n\n", "x\n"]
    {
        assert!(EventType::try_from(attack).is_err(), "{attack:?}");
        assert!(EventType::try_from(attack.to_owned()).is_err(), "{attack:?}");
        assert!(attack.parse::<EventType>().is_err(), "{attack:?}");
        assert!(EventId::try_from(attack).is_err(), "{attack:?}");
        assert!(EventId::try_from(attack.to_owned()).is_err(), "{attack:?}");
        assert!(EventId::from_display(attack).is_err(), "{attack:?}");
        assert!(FieldName::try_from(attack).is_err(), "{attack:?}");
        assert!(FieldName::try_from(attack.to_owned()).is_err(), "{attack:?}");
    }
}

#[test]
fn a_literal_type_or_id_with_a_line_end_panics() {
    assert!(std::panic::catch_unwind(|| Event::new("x").with_type("a\nb")).is_err());
    assert!(std::panic::catch_unwind(|| Event::new("x").with_id("a\nb")).is_err());
}

#[test]
fn a_field_name_is_neither_empty_nor_a_field_of_the_standard() {
    for name in ["", "a:b", "a\nb", "a\rb", "data", "event", "id", "retry", "\u{feff}a"] {
        assert!(FieldName::try_from(name).is_err(), "{name:?}");
    }
    for name in ["", "event", "data", "id", "retry", ":", "a:", "a\r", "a\n", "\u{feff}"] {
        assert!(FieldName::try_from(name).is_err(), "{name:?}");
    }
}

#[test]
fn an_id_that_no_header_could_carry_cannot_be_made() {
    let controls = (0..=0x1f_u8).chain([0x7f]).map(char::from);
    for control in controls {
        let text = format!("a{control}");
        assert_eq!(EventId::try_from(&text).unwrap_err().position(), Some(1), "{text:?}");
        assert!(EventId::from_display(&text).is_err(), "{text:?}");
        assert!(text.parse::<EventId>().is_err(), "{text:?}");
    }
    for text in ["a\0", "\t", "a\u{1b}[1m", "\u{7f}"] {
        assert!(EventId::try_from(text).is_err(), "{text:?}");
    }
    for fine in ["", " a ", "ä\u{1f600}", "\u{80}", "\u{2028}", "a:b"] {
        let id = EventId::try_from(fine).unwrap();
        assert_eq!(id, fine);
        assert!(http::HeaderValue::from_bytes(id.as_str().as_bytes()).is_ok(), "{fine:?}");
    }
}
