//! Event streams of other services: their bytes, and where events end in them.

mod body;
mod boundary;
mod head;
mod settings;

pub(super) use self::{
    body::ForeignBody,
    boundary::Boundary,
    head::{copy_head, is_event_stream_head, prepare_headers},
    settings::foreign_settings,
};
