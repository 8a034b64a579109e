//! What the error of an HTTP client means.
//!
//! A service may have any error type, and hyper-util's are private. So this looks at the messages
//! in the chain of sources. Tests over real sockets fail if one of them changes.

use std::{error::Error, io};

/// Returns whether the certificate of the server was refused: by rustls, or by OpenSSL.
pub(super) fn is_certificate(error: &(dyn Error + 'static)) -> bool {
    any(error, |message| {
        message.starts_with("invalid peer certificate")
            || message.contains("certificate verify failed")
    })
}

/// Returns whether the host has no address: by hyper-util, or by the standard library.
pub(super) fn is_unknown_host(error: &(dyn Error + 'static)) -> bool {
    any(error, |message| {
        message == "dns error"
            || message.starts_with("failed to lookup address information")
            || message.starts_with("No such host is known")
    })
}

/// Returns whether the server has answered with something that is not a response: by hyper.
pub(super) fn is_unreadable(error: &(dyn Error + 'static)) -> bool {
    any(error, |message| {
        message.ends_with(" parsed")
            || message.starts_with("invalid HTTP version parsed")
            || message == "message head is too large"
    })
}

/// Returns whether the predicate is true for one of the messages of the chain.
fn any(error: &(dyn Error + 'static), predicate: impl Fn(&str) -> bool) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if predicate(&error.to_string()) {
            return true;
        }
        // The source of an I/O error is that of the error inside, not the error inside.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_the_chain_and_inside_of_io_errors() {
        let inside = |message: &str| io::Error::other(io::Error::other(message.to_owned()));
        assert!(is_certificate(&inside("invalid peer certificate: UnknownIssuer")));
        assert!(is_certificate(&inside("error:0A000086: certificate verify failed (self-signed)")));
        assert!(is_unknown_host(&inside("dns error")));
        assert!(is_unknown_host(&inside(
            "failed to lookup address information: Name or service not known"
        )));
        assert!(is_unreadable(&inside("invalid HTTP header parsed")));
        assert!(is_unreadable(&inside("message head is too large")));
        let refused = inside("Connection refused (os error 111)");
        assert!(!is_certificate(&refused) && !is_unknown_host(&refused));
        assert!(!is_unreadable(&refused));
    }
}
