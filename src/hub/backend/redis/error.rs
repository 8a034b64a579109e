//! What the errors of Redis mean.

use redis::{ErrorKind, RedisError};

use crate::hub::backend::error::{BackendError, Fault};

/// Returns whether no reply came.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error()
}

/// Returns whether the connection must be given up: it is broken, or its server may not be the one that
/// has the log and takes writes.
pub(super) fn is_useless(error: &RedisError) -> bool {
    is_lost(error)
        || matches!(
            code(error).as_deref(),
            Some(
                "ASK"
                    | "CLUSTERDOWN"
                    | "MASTERDOWN"
                    | "MOVED"
                    | "NOREPLICAS"
                    | "READONLY"
                    | "UNBLOCKED"
            )
        )
}

/// Makes the error of the backend. `lost` is the fault if no reply came.
pub(super) fn fault(error: RedisError, lost: Fault) -> BackendError {
    // The error of one command of several has no code.
    let text = error.to_string();
    let fault = match code(&error).as_deref() {
        // The login was refused.
        _ if error.kind() == ErrorKind::AuthenticationFailed => Fault::Refused,
        _ if is_lost(&error) => lost,
        // The log was deleted, and perhaps made again.
        _ if text.contains("NOGROUP") || text.contains("IDENTITY") => Fault::Lost,
        // The server is starting, is not the master or does not have the slot, or cannot write for now.
        Some(
            "ASK" | "BUSY" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "MISCONF" | "MOVED"
            | "NOREPLICAS" | "OOM" | "READONLY" | "TRYAGAIN" | "UNBLOCKED",
        ) => Fault::Unavailable,
        Some(_) => Fault::Refused,
        None => lost,
    };
    BackendError::new(fault, error)
}

/// Returns the code of the error, or of the first one of several commands.
fn code(error: &RedisError) -> Option<String> {
    if let Some(code) = error.code() {
        return Some(code.to_owned());
    }
    let errors = error.clone().into_server_errors()?;
    errors.first().map(|(_, error)| error.code().to_owned())
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn error(text: &str) -> RedisError {
        let reply = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        Value::extract_error(reply).unwrap_err()
    }

    #[test]
    fn a_server_that_is_no_longer_the_right_one_is_given_up_and_asked_for_again() {
        for text in [
            "MOVED 7 127.0.0.1:7000",
            "ASK 7 127.0.0.1:7000",
            "READONLY You can't write against a read only replica.",
            "UNBLOCKED force unblock from blocking operation",
            "NOREPLICAS Not enough good replicas to write.",
            "CLUSTERDOWN The cluster is down",
        ] {
            assert!(is_useless(&error(text)), "{text}");
            assert_eq!(fault(error(text), Fault::Unknown).fault(), Fault::Unavailable, "{text}");
        }
        for text in ["LOADING Redis is loading", "OOM command not allowed", "TRYAGAIN Later"] {
            assert!(!is_useless(&error(text)), "{text}");
            assert_eq!(fault(error(text), Fault::Unknown).fault(), Fault::Unavailable, "{text}");
        }
        for (text, expected) in [
            ("NOGROUP No such key", Fault::Lost),
            ("IDENTITY the log is another one", Fault::Lost),
            ("WRONGTYPE Operation against a key", Fault::Refused),
            ("NOPERM this user has no permissions", Fault::Refused),
        ] {
            assert!(!is_useless(&error(text)), "{text}");
            assert_eq!(fault(error(text), Fault::Unknown).fault(), expected, "{text}");
        }
    }
}
