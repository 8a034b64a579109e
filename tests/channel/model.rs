//! The channel against a model of it: random sequences of the steps that senders and a body can
//! take, with every waker watched.
//!
//! The model is a list of queued events and a line of waiting senders. After each step, the body
//! has taken the same events as the model, in the same order, and every task that could go on has
//! been woken.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use proptest::{collection::vec, prelude::*};
use tower_sse::{Buffer, Event, EventBody, EventSender, event_channel};

use crate::support::decode;

#[derive(Clone, Debug)]
enum Step {
    TrySend {
        len: usize,
    },
    /// Creates a send, which is not polled yet.
    Send {
        len: usize,
    },
    /// Polls one of the sends.
    Poll {
        which: usize,
    },
    Cancel {
        which: usize,
    },
    /// Lets the body take the queued events.
    Take,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..100_usize;
    prop_oneof![
        3 => (0..30_usize).prop_map(|len| Step::TrySend { len }),
        4 => (0..30_usize).prop_map(|len| Step::Send { len }),
        9 => which.clone().prop_map(|which| Step::Poll { which }),
        2 => which.prop_map(|which| Step::Cancel { which }),
        3 => Just(Step::Take),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum WhenFull {
    Wait,
    DropNewest,
    DropOldest,
}

/// Records whether it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Flag {
    /// Clears the flag, and polls with itself as the waker.
    fn poll<T>(self: &Arc<Self>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.0.store(false, SeqCst);
        poll(&mut Context::from_waker(&Waker::from(self.clone())))
    }

    fn is_woken(&self) -> bool {
        self.0.load(SeqCst)
    }
}

struct Sending {
    future: Pin<Box<dyn Future<Output = bool>>>,
    data: String,
    flag: Arc<Flag>,
    /// The place in the line, after a poll that had to wait.
    in_line: Option<u64>,
}

struct Model {
    when_full: WhenFull,
    max_events: usize,
    max_bytes: usize,
    queued: Vec<String>,
    dropped: u64,
    open: bool,
}

impl Model {
    /// The length of an event on the wire, in bytes.
    fn len(data: &str) -> usize {
        "data: \n\n".len() + data.len()
    }

    fn fits(&self, data: &str) -> bool {
        let bytes: usize = self.queued.iter().map(|data| Self::len(data)).sum();
        self.queued.is_empty()
            || (self.queued.len() < self.max_events && bytes + Self::len(data) <= self.max_bytes)
    }

    /// Accepts an event whose turn it is. If senders wait for room, there must be room.
    fn accept(&mut self, data: String) {
        match self.when_full {
            WhenFull::DropNewest if !self.fits(&data) => self.dropped += 1,
            WhenFull::Wait | WhenFull::DropNewest => self.queued.push(data),
            WhenFull::DropOldest => {
                while !self.fits(&data) {
                    self.queued.remove(0);
                    self.dropped += 1;
                }
                self.queued.push(data);
            }
        }
    }
}

fn begin(events: &EventSender, data: String) -> Sending {
    let (events, event) = (events.clone(), Event::new(&data));
    let future = Box::pin(async move { events.send(event).await.is_ok() });
    Sending { future, data, flag: Arc::default(), in_line: None }
}

/// Returns the first send in the line.
fn front(sendings: &[Sending]) -> Option<&Sending> {
    sendings
        .iter()
        .filter(|sending| sending.in_line.is_some())
        .min_by_key(|sending| sending.in_line)
}

fn run(when_full: WhenFull, max_events: usize, max_bytes: usize, steps: Vec<Step>) {
    let buffer = match when_full {
        WhenFull::Wait => Buffer::fixed(max_events),
        WhenFull::DropNewest => Buffer::dropping(max_events),
        WhenFull::DropOldest => Buffer::sliding(max_events),
    };
    let (events, receiver) = event_channel(buffer.max_bytes(max_bytes));
    let mut body = EventBody::from(receiver).without_keep_alive().without_greeting();
    let body_flag = Arc::new(Flag::default());
    let mut body_pending = false;
    let mut model = Model {
        when_full,
        max_events: max_events.max(1),
        max_bytes,
        queued: Vec::new(),
        dropped: 0,
        open: true,
    };
    let mut sendings: Vec<Sending> = Vec::new();
    let mut places = 0;

    for (number, step) in steps.into_iter().enumerate() {
        let data = |len: usize| format!("{number}{}", "x".repeat(len));
        match step {
            Step::TrySend { len } => {
                let data = data(len);
                let sent = events.try_send(Event::new(&data)).is_ok();
                let waits = when_full == WhenFull::Wait;
                let may = !waits || (front(&sendings).is_none() && model.fits(&data));
                assert_eq!(sent, model.open && may);
                if sent {
                    model.accept(data);
                }
            }
            Step::Send { len } => sendings.push(begin(&events, data(len))),
            Step::Poll { which } if !sendings.is_empty() => {
                let which = which % sendings.len();
                let first = front(&sendings).and_then(|first| first.in_line);
                let sending = &mut sendings[which];
                let is_turn = first.is_none() || first == sending.in_line;
                let may = when_full != WhenFull::Wait || (is_turn && model.fits(&sending.data));
                let flag = sending.flag.clone();
                match flag.poll(|context| sending.future.as_mut().poll(context)) {
                    Poll::Ready(sent) => {
                        let sending = sendings.swap_remove(which);
                        assert_eq!(sent, model.open);
                        if sent {
                            assert!(may, "it was not its turn, or there was no room");
                            model.accept(sending.data);
                        }
                    }
                    // It yields to other tasks once.
                    Poll::Pending if flag.is_woken() => assert!(may || !model.open),
                    Poll::Pending => {
                        assert!(model.open && !may, "it could have been sent");
                        places += 1;
                        sending.in_line.get_or_insert(places);
                    }
                }
            }
            Step::Cancel { which } if !sendings.is_empty() => {
                sendings.swap_remove(which % sendings.len());
            }
            Step::Poll { .. } | Step::Cancel { .. } => {}
            Step::Take => {
                let polled =
                    body_flag.poll(|context| Box::pin(body.next_chunk()).as_mut().poll(context));
                body_pending = polled.is_pending();
                let taken = match polled {
                    Poll::Ready(Some(chunk)) => decode(chunk.unwrap()),
                    Poll::Ready(None) | Poll::Pending => Vec::new(),
                };
                let taken: Vec<String> = taken.into_iter().map(|(_, data, _)| data).collect();
                assert_eq!(taken, std::mem::take(&mut model.queued));
            }
            Step::Close => {
                events.close();
                model.open = false;
            }
        }

        // Every task that could go on has been woken.
        if body_pending && (!model.queued.is_empty() || !model.open) {
            assert!(body_flag.is_woken(), "the body, step {number}");
        }
        let could_go = |first: &Sending| model.fits(&first.data);
        if let Some(first) = front(&sendings).filter(|first| !model.open || could_go(first)) {
            assert!(first.flag.is_woken(), "the first in line, step {number}");
        }
        assert_eq!(events.dropped(), model.dropped);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn the_channel_agrees_with_its_model(
        when_full in prop_oneof![
            2 => Just(WhenFull::Wait),
            1 => Just(WhenFull::DropNewest),
            1 => Just(WhenFull::DropOldest),
        ],
        max_events in 0..6_usize,
        max_bytes in prop_oneof![Just(0), Just(60), Just(1_000)],
        steps in vec(step(), 0..80),
        close_at in proptest::option::of(0..80_usize),
    ) {
        let mut steps = steps;
        if let Some(at) = close_at.filter(|at| *at < steps.len()) {
            steps.insert(at, Step::Close);
        }
        run(when_full, max_events, max_bytes, steps);
    }
}
