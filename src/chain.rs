//! The sources of an error, for messages.

use std::{error::Error, fmt};

/// Writes the sources of an error after its message, if the format is `{:#}`.
pub(crate) fn write_chain(f: &mut fmt::Formatter<'_>, error: &dyn Error) -> fmt::Result {
    if !f.alternate() {
        return Ok(());
    }
    let mut source = error.source();
    while let Some(error) = source {
        write!(f, ": {error}")?;
        source = error.source();
    }
    Ok(())
}
