//! Event types, ids and field names that are checked when they are made.

use tower_sse::{Event, EventId, EventType, FieldName};

#[test]
fn an_invalid_name_reports_where_the_line_end_is() {
    for newline in ["\n", "\r", "\r\n"] {
        let text = format!("a{newline}data: b");
        assert_eq!(EventType::try_from(&text).unwrap_err().position(), Some(1));
        assert_eq!(EventId::try_from(&text).unwrap_err().position(), Some(1));
        assert_eq!(FieldName::try_from(&text).unwrap_err().position(), Some(1));
    }
}

#[test]
fn a_type_or_id_with_a_line_end_cannot_be_made() {
    for text in ["a\nb", "a\rb", "\r\n", "a\n\ndata: b"] {
        assert!(EventType::try_from(text).is_err(), "{text:?}");
        assert!(EventId::try_from(text).is_err(), "{text:?}");
        assert!(EventId::from_display(text).is_err(), "{text:?}");
    }
    for text in ["a\0", "\t", "a\u{1b}[1m", "\u{7f}"] {
        assert!(EventId::try_from(text).is_err(), "{text:?}");
    }
    assert!(std::panic::catch_unwind(|| Event::new("x").with_type("a\nb")).is_err());
    assert!(std::panic::catch_unwind(|| Event::new("x").with_id("a\nb")).is_err());
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
    for fine in ["", " a ", "ä\u{1f600}", "\u{80}", "\u{2028}", "a:b"] {
        let id = EventId::try_from(fine).unwrap();
        assert_eq!(id, fine);
        assert!(http::HeaderValue::from_bytes(id.as_str().as_bytes()).is_ok(), "{fine:?}");
    }
}
