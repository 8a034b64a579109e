//! Who gets a stream: what a request goes through before it is one, and limits that count living
//! streams, in all and by a key.
//!
//! A place is taken before `on_connect` where its key is known by then, else after it has accepted,
//! and is kept by a permit, which moves from the response's future to the body and is given back
//! where it is dropped. So there is no way for a place to leak.

#[expect(clippy::module_inception, reason = "`Admission` is what the module is about")]
mod admission;
mod entrance;
mod limit;

use self::admission::{Admission, Permits};
pub(crate) use self::{
    admission::{default_away, refuse_at_shutdown, refused},
    entrance::{Entered, Entering, Entrance, Open, entrance_settings},
};
