//! The encoded buffer: the bytes that wait for a client, in the pieces in which they will go out.
//!
//! Small events are written one behind the other into the *tail*, which goes out as one frame. A
//! tail never grows beyond [`SEGMENT`]; a large event is not copied a second time by growing the
//! tail around it, but starts a tail of exactly its size; and large bytes that are shared already
//! (an `EncodedEvent`) become a segment as they are.

use std::{collections::VecDeque, mem, ops::Range};

use bytes::{Buf, Bytes, BytesMut};

use crate::encode::{Layout, sealed};

/// The largest segment that more than one event is joined into, in bytes.
const SEGMENT: usize = 64 << 10;
/// From this length on, in bytes, an event is not copied into a tail that has no room for it.
const LARGE: usize = 8 << 10;
/// From this length on, in bytes, encoded bytes are shared and not copied.
const SHARED: usize = 4 << 10;
/// The most capacity that an empty queue keeps, in bytes.
const IDLE: usize = 4 << 10;

/// A piece that goes out as it is, with what is to be told of it once it has.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    pub(crate) bytes: Bytes,
    pub(crate) events: usize,
    /// The last id in `bytes`.
    pub(crate) last_id: Option<Bytes>,
    /// It can be kept as it is: it keeps no more than itself, or what others keep anyway.
    pub(crate) id_can_stay: bool,
    /// Where that starts in `bytes`, while the segment is queued.
    pub(crate) id_at: usize,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In front of the tail. None is empty.
    sealed: VecDeque<Segment>,
    tail: BytesMut,
    /// How large the tail's allocation is, of which parts may be with segments.
    allocated: usize,
    tail_events: usize,
    /// Where the last id stands in the tail.
    tail_id: Option<Range<usize>>,
    /// The last event in the tail is a large one.
    tail_large: bool,
    events: usize,
    bytes: usize,
    /// The length of each event, if the oldest may have to go.
    lengths: Option<VecDeque<usize>>,
    /// How large the last tail of small events was that was taken: how large the next may become.
    last_taken: usize,
}

impl Queue {
    /// Creates a queue from which the oldest events can be dropped.
    pub(super) fn sliding() -> Self {
        Self { lengths: Some(VecDeque::new()), ..Self::default() }
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events == 0
    }

    pub(super) fn push<E: sealed::Encode>(&mut self, event: &E, layout: &Layout) {
        self.events += 1;
        self.bytes += layout.len;
        if let Some(lengths) = &mut self.lengths {
            lengths.push_back(layout.len);
        }
        match event.shared() {
            Some(bytes) if bytes.len() >= SHARED => self.push_shared(bytes, layout),
            _ => self.write(event, layout),
        }
    }

    /// Takes the first piece.
    pub(super) fn take(&mut self) -> Option<Segment> {
        if self.sealed.is_empty() && !self.tail.is_empty() {
            self.last_taken = if self.tail_large { 0 } else { self.tail.len() };
            self.seal();
        }
        let segment = self.sealed.pop_front()?;
        self.events -= segment.events;
        self.bytes -= segment.bytes.len();
        if let Some(lengths) = &mut self.lengths {
            lengths.drain(..segment.events);
        }
        if self.is_empty() {
            self.shrink();
        }
        Some(segment)
    }

    /// Drops the oldest event, and returns the segment that it was the last of, to be freed by the
    /// caller. There must be one, in a sliding queue.
    pub(super) fn drop_oldest(&mut self) -> Option<Segment> {
        let len = self.lengths.as_mut()?.pop_front()?;
        self.events -= 1;
        self.bytes -= len;
        let Some(segment) = self.sealed.front_mut() else {
            self.tail.advance(len);
            self.tail_events -= 1;
            // An id that starts within the event that goes, goes with it.
            self.tail_id = self.tail_id.take().filter(|id| id.start >= len);
            self.tail_id = self.tail_id.take().map(|id| id.start - len..id.end - len);
            return None;
        };
        segment.bytes.advance(len);
        segment.events -= 1;
        if segment.id_at < len {
            segment.last_id = None;
        }
        segment.id_at = segment.id_at.saturating_sub(len);
        if segment.events > 0 { None } else { self.sealed.pop_front() }
    }

    fn push_shared(&mut self, bytes: &Bytes, layout: &Layout) {
        self.seal();
        let id_at = layout.id.as_ref().map_or(0, |id| id.start);
        let last_id = layout.id.clone().map(|id| bytes.slice(id));
        self.sealed.push_back(Segment {
            bytes: bytes.clone(),
            events: 1,
            last_id,
            id_at,
            ..Segment::default()
        });
    }

    fn write<E: sealed::Encode>(&mut self, event: &E, layout: &Layout) {
        let large = layout.len >= LARGE;
        if self.tail.len() + layout.len > SEGMENT {
            self.seal();
        }
        if self.tail.capacity() - self.tail.len() < layout.len {
            if large || self.tail_large {
                self.seal();
            }
            let likely = if self.tail.is_empty() { self.last_taken } else { 0 };
            self.tail.reserve(layout.len.max(likely));
            self.allocated = self.tail.capacity();
        }
        let start = self.tail.len();
        event.write(layout, &mut self.tail);
        debug_assert_eq!(self.tail.len() - start, layout.len, "the layout is exact");
        self.tail_events += 1;
        self.tail_large = large;
        if let Some(id) = &layout.id {
            self.tail_id = Some(start + id.start..start + id.end);
        }
    }

    /// Makes a segment of the tail.
    fn seal(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let bytes = self.tail.split().freeze();
        let id_at = self.tail_id.as_ref().map_or(0, |id| id.start);
        let last_id = self.tail_id.take().map(|id| bytes.slice(id));
        let events = mem::take(&mut self.tail_events);
        self.tail_large = false;
        self.sealed.push_back(Segment { bytes, events, last_id, id_at, ..Segment::default() });
    }

    /// Gives back what a burst has left behind: what is kept is what an idle stream costs.
    fn shrink(&mut self) {
        if self.allocated > IDLE {
            self.tail = BytesMut::new();
            self.allocated = 0;
        }
        let keep = IDLE / 8;
        if self.sealed.capacity() * size_of::<Segment>() > keep {
            self.sealed = VecDeque::new();
        }
        if let Some(lengths) = &mut self.lengths {
            lengths.shrink_to(keep / size_of::<usize>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn push(queue: &mut Queue, event: &Event) {
        queue.push(event, &Layout::of(event));
    }

    fn take_all(queue: &mut Queue) -> Vec<Segment> {
        std::iter::from_fn(|| queue.take()).collect()
    }

    #[test]
    fn small_events_are_one_segment_with_the_last_id() {
        let mut queue = Queue::default();
        push(&mut queue, &Event::new("a").with_id(1));
        push(&mut queue, &Event::new("b").with_id(2));
        push(&mut queue, &Event::new("c"));
        assert_eq!((queue.events(), queue.bytes()), (3, 39));
        let segment = queue.take().unwrap();
        assert_eq!(segment.bytes, "id: 1\ndata: a\n\nid: 2\ndata: b\n\ndata: c\n\n"[..]);
        assert_eq!((segment.events, segment.last_id.as_deref()), (3, Some(&b"2"[..])));
        assert!(queue.take().is_none());
        assert_eq!((queue.events(), queue.bytes()), (0, 0));
    }

    #[test]
    fn a_segment_is_64_kib_or_one_event() {
        let mut queue = Queue::default();
        for len in [10, 70_000, 10, 9_000, 9_000, 9_000, 60_000, 20_000, 20_000, 1, 30_000] {
            push(&mut queue, &Event::new("x".repeat(len)));
        }
        let segments = take_all(&mut queue);
        assert_eq!(segments.iter().map(|segment| segment.events).sum::<usize>(), 11);
        for segment in segments {
            assert!(segment.bytes.len() <= SEGMENT || segment.events == 1);
        }
    }

    #[test]
    fn a_large_event_is_written_once_and_never_moved() {
        let mut queue = Queue::default();
        push(&mut queue, &Event::new("x".repeat(LARGE)));
        let at = queue.tail.as_ptr();
        push(&mut queue, &Event::new("y"));
        assert_eq!(queue.take().unwrap().bytes.as_ptr(), at);
    }

    #[test]
    fn what_follows_a_large_event_is_not_allocated_as_large() {
        let mut queue = Queue::default();
        push(&mut queue, &Event::new("x".repeat(8 << 20)));
        queue.take().unwrap();
        push(&mut queue, &Event::new("y"));
        assert!(queue.tail.capacity() < IDLE, "{}", queue.tail.capacity());
    }

    #[test]
    fn large_encoded_bytes_are_shared_and_keep_their_place() {
        let mut queue = Queue::default();
        let shared = Event::new("x".repeat(SHARED)).with_id(2).encode();
        push(&mut queue, &Event::new("a").with_id(1));
        queue.push(&shared, &sealed::Encode::layout(&shared));
        push(&mut queue, &Event::new("b"));
        let segments = take_all(&mut queue);
        assert_eq!(segments.len(), 3);
        assert_eq!(segments[1].bytes.as_ptr(), shared.to_bytes().as_ptr());
        assert_eq!(segments[1].last_id.as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn the_oldest_goes_whole_and_takes_its_id_along() {
        let mut queue = Queue::sliding();
        push(&mut queue, &Event::new("a").with_id(1));
        push(&mut queue, &Event::new("b"));
        queue.drop_oldest();
        let segment = queue.take().unwrap();
        assert_eq!((&segment.bytes[..], segment.last_id), (&b"data: b\n\n"[..], None));

        let shared = Event::new("x".repeat(SHARED)).encode();
        queue.push(&shared, &sealed::Encode::layout(&shared));
        push(&mut queue, &Event::new("c").with_id(3));
        push(&mut queue, &Event::new("d"));
        queue.drop_oldest();
        assert_eq!(queue.events(), 2);
        let segment = queue.take().unwrap();
        assert_eq!((segment.events, segment.last_id.as_deref()), (2, Some(&b"3"[..])));
        assert_eq!((queue.events(), queue.bytes()), (0, 0));
    }

    #[test]
    fn an_idle_queue_keeps_little() {
        for mut queue in [Queue::default(), Queue::sliding()] {
            for _ in 0..10_000 {
                push(&mut queue, &Event::new("x".repeat(100)));
            }
            let segments = take_all(&mut queue);
            assert!(segments.len() > 10);
            drop(segments);
            let lengths =
                queue.lengths.map_or(0, |lengths| lengths.capacity() * size_of::<usize>());
            let sealed = queue.sealed.capacity() * size_of::<Segment>();
            assert!(queue.tail.capacity() + sealed + lengths <= IDLE);
        }
    }
}
