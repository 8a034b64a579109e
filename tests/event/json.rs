//! Data as JSON.

use tower_sse::Event;

use crate::support::decode;

#[test]
fn json_is_serialized_when_the_event_is_made_and_split_into_lines() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Price {
        name: String,
        cents: u32,
    }
    let price = Price { name: "a\nb".to_owned(), cents: 7 };
    let event = Event::json(&price).unwrap();
    assert_eq!(event.encode().to_bytes(), "data: {\"name\":\"a\\nb\",\"cents\":7}\n\n");
    assert_eq!(event.parse_json::<Price>().unwrap(), price);

    let raw = "[1,\n\r\n 2,\r3]".to_owned();
    let raw = serde_json::value::RawValue::from_string(raw).unwrap();
    let event = Event::json(&raw).unwrap();
    assert_eq!(event.encode().to_bytes(), "data: [1,\ndata: \ndata:  2,\ndata: 3]\n\n");
    let (_, data, _) = decode(event.encode().to_bytes()).remove(0);
    assert_eq!(Event::new(data).parse_json::<Vec<u8>>().unwrap(), [1, 2, 3]);

    let not_json = std::collections::HashMap::from([(vec![1], 2)]);
    let error = Event::json(&not_json).unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
}
