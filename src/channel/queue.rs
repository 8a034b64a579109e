//! The encoded events that wait for a client, in the segments in which they will go out.
//!
//! A queued event is in one of three places, which stand in this order:
//!
//! - `single`: shared bytes (an [`EncodedEvent`](crate::EncodedEvent)) that are alone in the queue.
//!   They go out as they are, without a copy. A second event moves them on.
//! - `backlog.sealed`: segments that are complete.
//! - `tail`: the segment that small events are still appended to.
//!
//! A tail never grows beyond [`MAX_SEGMENT`]. A large event starts a tail of exactly its size,
//! since a tail that grew around it would copy it a second time.

use std::{collections::VecDeque, mem, ops::Range};

use bytes::{Buf, Bytes, BytesMut};

use super::segment::{LastId, Segment};
use crate::encode::{Layout, sealed};

/// The maximum length of a segment with more than one event, in bytes. It is also the number of
/// bytes that a body yields before it lets the server write.
pub(crate) const MAX_SEGMENT: usize = 64 << 10;
/// Events of this length or more, in bytes, are not copied into a tail that has no room for them.
const MIN_LARGE: usize = 8 << 10;
/// Shared bytes of this length or more are queued as they are. Shorter ones are copied into the
/// tail, so that they go out together with the events around them.
const MIN_SHARED: usize = 4 << 10;
/// The maximum capacity that an empty queue keeps, in bytes.
const MAX_IDLE_CAPACITY: usize = 4 << 10;

/// Fields that every event touches stand first. The fields for bursts are boxed: most streams
/// have at most one event in their queue.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Queue {
    /// The number of queued events.
    events: usize,
    /// Their length, in bytes.
    bytes: usize,
    /// The only queued event, if it is in shared bytes. Empty otherwise.
    single: Bytes,
    /// Where the last ID is in `single`, or in `tail`.
    last_id: Option<Range<usize>>,
    /// `Some` for a sliding queue, and while more than one segment is queued.
    backlog: Option<Box<Backlog>>,
    /// The segment that small events are appended to.
    tail: BytesMut,
    /// The number of events in `tail`.
    tail_events: usize,
    /// The capacity of the tail's allocation. Segments that were split off may hold parts of it.
    allocated: usize,
    /// The length of the last tail of small events that was taken. The next one is likely as long.
    last_taken: usize,
    /// Whether the last event in `tail` is a large one, which must not be copied again.
    tail_large: bool,
}

#[derive(Debug, Default)]
struct Backlog {
    /// Complete segments, before the tail. None of them is empty.
    sealed: VecDeque<SealedSegment>,
    /// The length of each queued event. `Some` if the oldest events may be dropped.
    lengths: Option<VecDeque<usize>>,
}

#[derive(Debug)]
struct SealedSegment {
    /// Whole events.
    bytes: Bytes,
    /// Their number.
    events: usize,
    /// Where the last ID is in `bytes`.
    last_id: Option<Range<usize>>,
}

impl SealedSegment {
    fn into_segment(self) -> Segment {
        let last_id = self.last_id.map(|id| LastId::Slice(self.bytes.slice(id)));
        Segment { bytes: self.bytes, events: self.events, last_id, is_last: false }
    }
}

impl Queue {
    /// Creates a queue from which the oldest events can be dropped.
    pub(super) fn sliding() -> Self {
        let backlog = Backlog { lengths: Some(VecDeque::new()), ..Backlog::default() };
        Self { backlog: Some(Box::new(backlog)), ..Self::default() }
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

    #[inline]
    /// Queues an event. Returns shared bytes that it has copied, which the caller frees without the
    /// lock: their owner may be anything.
    pub(super) fn push<E: sealed::Encode>(&mut self, event: &E, layout: &Layout) -> Option<Bytes> {
        let was_empty = self.is_empty();
        self.events += 1;
        self.bytes += layout.len;
        if let Some(lengths) = self.lengths() {
            lengths.push_back(layout.len);
        }
        match event.shared() {
            Some(bytes) if was_empty => {
                self.single = bytes.clone();
                self.last_id.clone_from(&layout.id);
                None
            }
            shared => {
                let copied = self.move_single();
                match shared {
                    Some(bytes) if bytes.len() >= MIN_SHARED => self.push_shared(bytes, layout),
                    _ => self.append(event, layout),
                }
                copied
            }
        }
    }

    /// Takes the first segment.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Segment> {
        if self.is_empty() {
            return None;
        }
        // An event in `single` is alone in the queue.
        let sealed = if !self.single.is_empty() {
            let last_id = self.last_id.take();
            SealedSegment { bytes: mem::take(&mut self.single), events: 1, last_id }
        } else if let Some(first) = self.backlog.as_mut().and_then(|it| it.sealed.pop_front()) {
            first
        } else {
            self.last_taken = if self.tail_large { 0 } else { self.tail.len() };
            self.split_tail()?
        };
        self.events -= sealed.events;
        self.bytes -= sealed.bytes.len();
        if let Some(lengths) = self.lengths() {
            lengths.drain(..sealed.events);
        }
        if self.is_empty() {
            self.shrink();
        }
        Some(sealed.into_segment())
    }

    /// Drops the oldest event of a sliding queue. If no other event is left in its segment, this
    /// returns the segment's bytes, which the caller frees without the lock.
    pub(super) fn drop_oldest(&mut self) -> Option<Bytes> {
        let len = self.lengths()?.pop_front()?;
        self.events -= 1;
        self.bytes -= len;
        if !self.single.is_empty() {
            self.last_id = None;
            return Some(mem::take(&mut self.single));
        }
        let sealed = &mut self.backlog.as_mut()?.sealed;
        let Some(segment) = sealed.front_mut() else {
            self.tail.advance(len);
            self.tail_events -= 1;
            advance_id(&mut self.last_id, len);
            return None;
        };
        segment.bytes.advance(len);
        segment.events -= 1;
        advance_id(&mut segment.last_id, len);
        if segment.events > 0 {
            return None;
        }
        sealed.pop_front().map(|segment| segment.bytes)
    }

    /// Moves the event in `single` to where a second one can follow it. Returns its bytes if they were
    /// copied.
    fn move_single(&mut self) -> Option<Bytes> {
        if self.single.is_empty() {
            return None;
        }
        let bytes = mem::take(&mut self.single);
        if bytes.len() >= MIN_SHARED {
            let last_id = self.last_id.take();
            self.push_sealed(SealedSegment { bytes, events: 1, last_id });
            None
        } else {
            // The tail is empty here, so positions in `single` are positions in the tail.
            self.reserve(bytes.len());
            self.tail.extend_from_slice(&bytes);
            self.tail_events = 1;
            self.tail_large = false;
            Some(bytes)
        }
    }

    fn push_shared(&mut self, bytes: &Bytes, layout: &Layout) {
        self.seal();
        let last_id = layout.id.clone();
        self.push_sealed(SealedSegment { bytes: bytes.clone(), events: 1, last_id });
    }

    fn append<E: sealed::Encode>(&mut self, event: &E, layout: &Layout) {
        let large = layout.len >= MIN_LARGE;
        if self.tail.len() + layout.len > MAX_SEGMENT {
            self.seal();
        }
        if (large || self.tail_large) && self.tail.capacity() - self.tail.len() < layout.len {
            self.seal();
        }
        self.reserve(layout.len);
        let start = self.tail.len();
        event.write(layout, &mut self.tail);
        debug_assert_eq!(self.tail.len() - start, layout.len, "the layout is exact");
        self.tail_events += 1;
        self.tail_large = large;
        if let Some(id) = &layout.id {
            self.last_id = Some(start + id.start..start + id.end);
        }
    }

    /// Makes room for so many bytes at the end of the tail.
    fn reserve(&mut self, len: usize) {
        if self.tail.capacity() - self.tail.len() < len {
            let likely = if self.tail.is_empty() { self.last_taken } else { 0 };
            self.tail.reserve(len.max(likely));
            self.allocated = self.tail.capacity();
        }
    }

    /// Makes the tail a sealed segment.
    fn seal(&mut self) {
        if let Some(segment) = self.split_tail() {
            self.push_sealed(segment);
        }
    }

    fn push_sealed(&mut self, segment: SealedSegment) {
        self.backlog.get_or_insert_default().sealed.push_back(segment);
    }

    /// Returns the lengths of the events of a sliding queue.
    #[inline]
    fn lengths(&mut self) -> Option<&mut VecDeque<usize>> {
        self.backlog.as_mut()?.lengths.as_mut()
    }

    /// Splits the tail off, if there is one.
    fn split_tail(&mut self) -> Option<SealedSegment> {
        if self.tail.is_empty() {
            return None;
        }
        self.tail_large = false;
        Some(SealedSegment {
            bytes: self.tail.split().freeze(),
            events: mem::take(&mut self.tail_events),
            last_id: self.last_id.take(),
        })
    }

    /// Gives back the memory of a burst. An idle stream keeps the rest.
    fn shrink(&mut self) {
        // Not the tail's capacity: segments that were split off hold parts of the same allocation.
        if self.allocated > MAX_IDLE_CAPACITY {
            self.tail = BytesMut::new();
            self.allocated = 0;
        }
        let Some(backlog) = &mut self.backlog else { return };
        match &mut backlog.lengths {
            Some(lengths) => {
                backlog.sealed = VecDeque::new();
                lengths.shrink_to(MAX_IDLE_CAPACITY / 8 / size_of::<usize>());
            }
            None => self.backlog = None,
        }
    }
}

/// Adjusts the range of an ID after `len` bytes were removed from the front. An ID that started
/// within them was removed too.
fn advance_id(last_id: &mut Option<Range<usize>>, len: usize) {
    let kept = last_id.take().filter(|id| id.start >= len);
    *last_id = kept.map(|id| id.start - len..id.end - len);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn push(queue: &mut Queue, event: &Event) {
        drop(queue.push(event, &Layout::of(event)));
    }

    fn push_encoded(queue: &mut Queue, event: &Event) {
        let encoded = event.encode();
        drop(queue.push(&encoded, &sealed::Encode::layout(&encoded)));
    }

    fn take_all(queue: &mut Queue) -> Vec<Segment> {
        std::iter::from_fn(|| queue.take()).collect()
    }

    fn id_of(segment: &Segment) -> Option<&[u8]> {
        segment.last_id.as_ref().map(|id| match id {
            LastId::Slice(id) | LastId::Own(id) => &id[..],
        })
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
        assert_eq!((segment.events, id_of(&segment)), (3, Some(&b"2"[..])));
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
            assert!(segment.bytes.len() <= MAX_SEGMENT || segment.events == 1);
        }
    }

    #[test]
    fn a_large_event_is_written_once_and_never_moved() {
        let mut queue = Queue::default();
        push(&mut queue, &Event::new("x".repeat(MIN_LARGE)));
        let at = queue.tail.as_ptr();
        push(&mut queue, &Event::new("y"));
        assert_eq!(queue.take().unwrap().bytes.as_ptr(), at);
    }

    #[test]
    fn an_event_after_a_large_one_is_not_allocated_as_large() {
        let mut queue = Queue::default();
        push(&mut queue, &Event::new("x".repeat(8 << 20)));
        queue.take().unwrap();
        push(&mut queue, &Event::new("y"));
        assert!(queue.tail.capacity() < MAX_IDLE_CAPACITY, "{}", queue.tail.capacity());
    }

    #[test]
    fn large_encoded_bytes_are_shared_and_keep_their_place() {
        let mut queue = Queue::default();
        let shared = Event::new("x".repeat(MIN_SHARED)).with_id(2).encode();
        push(&mut queue, &Event::new("a").with_id(1));
        drop(queue.push(&shared, &sealed::Encode::layout(&shared)));
        push(&mut queue, &Event::new("b"));
        let segments = take_all(&mut queue);
        assert_eq!(segments.len(), 3);
        assert_eq!(segments[1].bytes.as_ptr(), shared.to_bytes().as_ptr());
        assert_eq!(id_of(&segments[1]), Some(&b"2"[..]));
    }

    #[test]
    fn an_encoded_event_alone_goes_out_without_a_copy() {
        for len in [1, MIN_SHARED] {
            let mut queue = Queue::default();
            let shared = Event::new("x".repeat(len)).with_id(7).encode();
            drop(queue.push(&shared, &sealed::Encode::layout(&shared)));
            let segment = queue.take().unwrap();
            assert_eq!(segment.bytes.as_ptr(), shared.to_bytes().as_ptr());
            assert_eq!((segment.events, id_of(&segment)), (1, Some(&b"7"[..])));
            assert!(queue.take().is_none());
        }
    }

    #[test]
    fn small_encoded_events_are_joined_with_their_neighbours() {
        let mut queue = Queue::default();
        push_encoded(&mut queue, &Event::new("a").with_id(1));
        push(&mut queue, &Event::new("b"));
        push_encoded(&mut queue, &Event::new("c").with_id(3));
        let segment = queue.take().unwrap();
        assert_eq!(segment.bytes, "id: 1\ndata: a\n\ndata: b\n\nid: 3\ndata: c\n\n"[..]);
        assert_eq!((segment.events, id_of(&segment)), (3, Some(&b"3"[..])));

        push_encoded(&mut queue, &Event::new("a").with_id(1));
        push(&mut queue, &Event::new("b"));
        let segment = queue.take().unwrap();
        assert_eq!((segment.events, id_of(&segment)), (2, Some(&b"1"[..])));
        assert_eq!((queue.events(), queue.bytes()), (0, 0));
    }

    #[test]
    fn the_oldest_goes_whole_and_takes_its_id_along() {
        let mut queue = Queue::sliding();
        push(&mut queue, &Event::new("a").with_id(1));
        push(&mut queue, &Event::new("b"));
        queue.drop_oldest();
        let segment = queue.take().unwrap();
        assert_eq!((&segment.bytes[..], id_of(&segment)), (&b"data: b\n\n"[..], None));

        let shared = Event::new("x".repeat(MIN_SHARED)).encode();
        drop(queue.push(&shared, &sealed::Encode::layout(&shared)));
        push(&mut queue, &Event::new("c").with_id(3));
        push(&mut queue, &Event::new("d"));
        queue.drop_oldest();
        assert_eq!(queue.events(), 2);
        let segment = queue.take().unwrap();
        assert_eq!((segment.events, id_of(&segment)), (2, Some(&b"3"[..])));
        assert_eq!((queue.events(), queue.bytes()), (0, 0));

        push_encoded(&mut queue, &Event::new("e").with_id(5));
        queue.drop_oldest();
        push(&mut queue, &Event::new("f"));
        let segment = queue.take().unwrap();
        assert_eq!((&segment.bytes[..], id_of(&segment)), (&b"data: f\n\n"[..], None));
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
            let backlog = queue.backlog.map_or(0, |backlog| {
                let lengths = backlog.lengths.map_or(0, |lengths| lengths.capacity());
                let sealed = backlog.sealed.capacity() * size_of::<SealedSegment>();
                sealed + lengths * size_of::<usize>()
            });
            assert!(queue.tail.capacity() + backlog <= MAX_IDLE_CAPACITY);
        }
    }
}
