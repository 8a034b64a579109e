//! A subscription as the source of a body.

use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{Found, Phase, Subscription};
use crate::{
    body::{Fed, Feed},
    channel::Segment,
    event::Event,
    hub::{
        frames::Frame,
        gap::{Gap, Lagging, Resumption},
        shared::Shared,
    },
};

/// A subscription as the source of a body.
pub(super) struct Reading {
    subscription: Subscription,
    opening: Opening,
}

/// What goes out before the first event.
enum Opening {
    Position,
    Gap,
    None,
}

impl Reading {
    pub(super) fn new(subscription: Subscription) -> Self {
        let opening = match (&subscription.resumption, &subscription.phase) {
            (Resumption::Gap(_), _) if !subscription.has_read => Opening::Gap,
            (Resumption::New, Phase::Live) => Opening::Position,
            _ => Opening::None,
        };
        Self { subscription, opening }
    }

    /// Makes a block that only tells where the reader stands.
    fn position(&mut self) -> Segment {
        self.with_position(Event::default())
    }

    /// Makes an event with the id of where the reader stands.
    fn with_position(&mut self, event: Event) -> Segment {
        self.subscription.told = self.subscription.cursor.at;
        let id = self.subscription.position();
        let last_id = Some(Bytes::copy_from_slice(id.as_bytes()));
        Segment { bytes: event.with_id(id).encode().to_bytes(), last_id, ..Segment::default() }
    }

    /// Tells of a gap, as the hook says.
    fn gap(&mut self, gap: &Gap) -> Segment {
        let event = self.subscription.shared.gap_event(gap);
        self.with_position(event.unwrap_or_default())
    }
}

impl Feed for Reading {
    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<Fed> {
        match mem::replace(&mut self.opening, Opening::None) {
            Opening::Position => return Poll::Ready(Fed::Segment(self.position())),
            Opening::Gap => {
                if let Resumption::Gap(gap) = self.subscription.resumption.clone() {
                    return Poll::Ready(Fed::Segment(self.gap(&gap)));
                }
            }
            Opening::None => {}
        }
        let found = self.subscription.poll_frame(cx);
        if let Poll::Ready(Found::Lagged(gap)) = &found {
            Shared::count_gap("lagged", gap);
        }
        found.map(|found| match found {
            Found::Frame(frame) => {
                let Frame { bytes, events, last_id, .. } = frame;
                if last_id.is_some() {
                    self.subscription.told = self.subscription.cursor.at;
                }
                Fed::Segment(Segment { bytes, events, last_id, ..Segment::default() })
            }
            Found::State => Fed::Segment(self.position()),
            Found::Lagged(_) if self.subscription.is_over => Fed::Lagged,
            Found::Lagged(gap) => Fed::Segment(self.gap(&gap)),
            Found::Over => Fed::Ended,
        })
    }

    fn refresh(&mut self) -> Option<Segment> {
        let has_moved = self.subscription.cursor.at != self.subscription.told;
        let is_live = matches!(self.subscription.phase, Phase::Live);
        (has_moved && is_live).then(|| self.position())
    }

    fn has_lagged(&mut self) -> bool {
        let Subscription { shared, feed, cursor, is_over, .. } = &self.subscription;
        let trimmed = shared.lock().feeds[*feed].trimmed;
        shared.lagging == Lagging::Evict && (*is_over || trimmed > cursor.at.max(cursor.forgiven))
    }
}
