//! Data as JSON.

use std::{error::Error, fmt};

use serde::{Serialize, de::DeserializeOwned};

use super::Event;

impl Event {
    /// Creates an event whose data is the value as JSON.
    ///
    /// It is serialized here, not when it is sent. Should the text hold raw line ends, as a
    /// `RawValue` may, they are sent as line ends of the data, which are white space to JSON.
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
    /// Returns [`JsonError`] if the value cannot be JSON: a map whose keys are no strings, say.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Self, JsonError> {
        serde_json::to_string(value).map(Self::new).map_err(JsonError)
    }

    /// Reads the data as JSON.
    ///
    /// # Errors
    ///
    /// Returns [`JsonError`] if the data is not JSON, or not of this type.
    pub fn parse_json<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        serde_json::from_str(self.data()).map_err(JsonError)
    }
}

/// The error of a value that cannot be JSON, or of data that is not the JSON it should be.
pub struct JsonError(serde_json::Error);

impl fmt::Debug for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event data as JSON failed")
    }
}

impl Error for JsonError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
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
    fn what_cannot_be_json_is_an_error_with_a_source() {
        let map = std::collections::HashMap::from([(vec![1], 2)]);
        let error = Event::json(&map).unwrap_err();
        assert!(error.source().is_some());
        assert!(Event::new("{").parse_json::<u8>().is_err());
    }
}
