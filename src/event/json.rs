//! Events whose data is JSON.

use std::{error::Error, fmt};

use serde::{Serialize, de::DeserializeOwned};

use super::Event;

impl Event {
    /// Creates an event whose data is the value, serialized as JSON.
    ///
    /// The value is serialized by this call, not when the event is sent. A `RawValue` may contain
    /// line ends. They are sent as line ends of the data, which are white space in JSON.
    ///
    /// ```
    /// use tower_sse::Event;
    ///
    /// assert_eq!(Event::json(&[1, 2])?.data(), "[1,2]");
    /// # Ok::<(), tower_sse::JsonError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`JsonError`] if the value cannot be serialized as JSON: for example, a map whose
    /// keys are not strings.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, JsonError> {
        match serde_json::to_string(value) {
            Ok(data) => Ok(Self::new(data)),
            Err(source) => Err(JsonError { action: JsonAction::Serialize, source }),
        }
    }

    /// Deserializes the data from JSON.
    ///
    /// # Errors
    ///
    /// Returns [`JsonError`] if the data is not JSON, or does not match the type.
    pub fn parse_json<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        serde_json::from_str(self.data())
            .map_err(|source| JsonError { action: JsonAction::Deserialize, source })
    }
}

/// The error of a value that cannot be serialized as JSON, or of data that cannot be deserialized.
///
/// Its [source](Error::source) says why, and for data at which line and column.
#[derive(Debug)]
pub struct JsonError {
    action: JsonAction,
    source: serde_json::Error,
}

#[derive(Debug)]
enum JsonAction {
    Serialize,
    Deserialize,
}

impl JsonError {
    /// Returns the offset in the data at which the error was found, in bytes.
    pub(crate) fn offset(&self, data: &str) -> usize {
        // Lines and columns count from 1. A column counts bytes.
        let (line, column) = (self.source.line(), self.source.column());
        let lines = data.split_inclusive('\n').take(line.saturating_sub(1));
        lines.map(str::len).sum::<usize>().saturating_add(column.saturating_sub(1)).min(data.len())
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.action {
            JsonAction::Serialize => "the value cannot be serialized as JSON",
            JsonAction::Deserialize => "the event data cannot be deserialized from JSON",
        })
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_line_ends_are_split_into_data_lines() {
        let raw = serde_json::value::RawValue::from_string("[1,\r\n2]".to_owned()).unwrap();
        let event = Event::json(&raw).unwrap();
        assert_eq!(event.encode().to_bytes(), "data: [1,\ndata: 2]\n\n");
        assert_eq!(event.parse_json::<Vec<u8>>().unwrap(), [1, 2]);
    }

    #[test]
    fn invalid_json_is_an_error_with_a_source() {
        let map = std::collections::HashMap::from([(vec![1], 2)]);
        let error = Event::json(&map).unwrap_err();
        assert!(error.source().is_some());
        assert!(Event::new("{").parse_json::<u8>().is_err());
    }
}
