//! The sources of an error, for messages.

use std::{error::Error, fmt};

use crate::excerpt::Excerpt;

/// How many characters of each source are shown. It may contain text from a server.
const MAX_SHOWN: usize = 500;

/// Writes the sources of an error after its message, if the format is `{:#}`.
pub(crate) fn write_chain(f: &mut fmt::Formatter<'_>, error: &dyn Error) -> fmt::Result {
    if !f.alternate() {
        return Ok(());
    }
    let mut source = error.source();
    while let Some(error) = source {
        write!(f, ": {}", Excerpt::new(&error.to_string(), MAX_SHOWN))?;
        source = error.source();
    }
    Ok(())
}
