//! The hooks of the first and the last reader do not keep a caller for the changes of others.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tower_sse::Hub;

use super::{subscribe, topics};

thread_local! {
    /// How many hooks this thread has called.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// What others do while the hook of a reader's own topic runs.
const CHANGES_OF_OTHERS: usize = 20_000;

/// Returns a hub whose hooks count, and make others come and go when the first reader of "mine"
/// comes.
fn hub(calls: &Arc<AtomicUsize>) -> Hub {
    let slot: Arc<OnceLock<Hub>> = Arc::default();
    let hooked = slot.clone();
    let open: Arc<Mutex<Vec<String>>> = Arc::default();
    let (first_calls, last_calls) = (calls.clone(), calls.clone());
    let (opened, closed) = (open.clone(), open);
    let hub = Hub::builder()
        .on_first_reader(move |topic| {
            CALLS.set(CALLS.get() + 1);
            first_calls.fetch_add(1, SeqCst);
            opened.lock().unwrap().push(topic.to_string());
            if topic == "mine" {
                let hub = hooked.get().unwrap().clone();
                let others = std::thread::spawn(move || {
                    for n in 0..CHANGES_OF_OTHERS / 2 {
                        drop(subscribe(&hub, topics(&[&format!("other.{n}")])));
                    }
                    CALLS.get()
                });
                // They are not kept either: a hook runs already.
                assert_eq!(others.join().unwrap(), 0);
            }
        })
        .on_last_reader(move |topic| {
            CALLS.set(CALLS.get() + 1);
            last_calls.fetch_add(1, SeqCst);
            // In order: it was opened before.
            let mut open = closed.lock().unwrap();
            let last = open.iter().rposition(|it| *it == *topic.as_str()).unwrap();
            open.swap_remove(last);
        })
        .build();
    slot.set(hub.clone()).unwrap();
    hub
}

#[test]
fn a_caller_is_not_kept_by_the_changes_of_others_and_a_thread_calls_their_hooks() {
    let calls = Arc::new(AtomicUsize::new(0));
    let hub = hub(&calls);
    let mine = subscribe(&hub, topics(&["mine"]));
    let own = CALLS.get();
    assert!((1..=32).contains(&own), "{own} hooks were called by one subscribe");
    while calls.load(SeqCst) < 1 + CHANGES_OF_OTHERS {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(CALLS.get(), own);
    drop(mine);
    while calls.load(SeqCst) < 2 + CHANGES_OF_OTHERS {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn a_caller_in_a_runtime_hands_the_changes_of_others_to_a_task() {
    let calls = Arc::new(AtomicUsize::new(0));
    let hub = hub(&calls);
    let mine = hub.subscribe(topics(&["mine"])).await.unwrap();
    let own = CALLS.get();
    assert!((1..=32).contains(&own), "{own} hooks were called by one subscribe");
    // The task calls one hook a turn.
    let mut turns = 0;
    while calls.load(SeqCst) < 1 + CHANGES_OF_OTHERS {
        tokio::task::yield_now().await;
        turns += 1;
    }
    assert!(turns >= CHANGES_OF_OTHERS / 64, "{turns}");
    drop(mine);
    // The task may not have seen yet that it is done. Then it calls this hook as well.
    while calls.load(SeqCst) < 2 + CHANGES_OF_OTHERS {
        tokio::task::yield_now().await;
    }
}
