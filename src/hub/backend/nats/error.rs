//! Why a backend cannot be connected.

use std::{error::Error, fmt};

use crate::BoxError;

/// The error of connecting a [`NatsBackend`](super::NatsBackend).
#[derive(Debug)]
#[non_exhaustive]
pub enum NatsError {
    /// An option is invalid. The text names it.
    Option(String),
    /// No server could be reached, or it refused the connection.
    Connect(BoxError),
    /// The server has not answered a request about the stream, or has refused it: for example,
    /// because JetStream is off.
    Request(BoxError),
    /// The stream has a setting with which the backend would break a promise.
    Setting(NatsSettingError),
}

/// A setting of an existing stream with which a backend would break a promise.
///
/// ```text
/// stream "events" has the setting discard=new: set it to old, since otherwise entries are refused once the stream is full
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettingError {
    stream: Box<str>,
    setting: &'static str,
    value: String,
    cure: String,
}

impl NatsSettingError {
    pub(super) fn new(stream: &str, setting: &'static str, value: String, cure: String) -> Self {
        Self { stream: stream.into(), setting, value, cure }
    }

    /// Returns the name of the stream.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Returns the name of the setting, as the configuration of a stream has it: for example,
    /// `duplicate_window`.
    #[must_use]
    pub fn setting(&self) -> &str {
        self.setting
    }

    /// Returns the value that the stream has, as JSON.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns a text that states how to change the setting, and the reason.
    #[must_use]
    pub fn cure(&self) -> &str {
        &self.cure
    }
}

impl fmt::Display for NatsSettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, setting, value, cure } = self;
        write!(f, "stream {stream:?} has the setting {setting}={value}: {cure}")
    }
}

impl Error for NatsSettingError {}

impl fmt::Display for NatsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(text) => write!(f, "invalid option: {text}"),
            Self::Connect(cause) => write!(f, "no connection to NATS: {cause}"),
            Self::Request(cause) => write!(f, "JetStream does not serve the stream: {cause}"),
            Self::Setting(setting) => setting.fmt(f),
        }
    }
}

impl Error for NatsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Option(_) | Self::Setting(_) => None,
            // The cause itself is part of the text.
            Self::Connect(cause) | Self::Request(cause) => cause.source(),
        }
    }
}
