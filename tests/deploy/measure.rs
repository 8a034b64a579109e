//! The measurements, for one proxy and one protocol.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use http_body_util::BodyExt as _;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{sleep, timeout},
};
use tower_sse::EndReason;

use crate::{
    client::{End, Front, Protocol},
    support::process::PATIENCE,
    table::Row,
    upstream::{FLOOD, KEEP_ALIVE, LATE, TICKS, Upstream},
};

/// The idle timeout of the proxies in the test.
pub(crate) const IDLE_TIMEOUT: u32 = 3;

/// Returns a number for a stream that its server watches.
fn number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Measures how late events come: the median, and the most.
pub(crate) async fn lag(front: &Front, upstream: &Upstream) -> [Duration; 2] {
    let mut opened = front.open("/ticks").await;
    let (mut lags, mut read) = (Vec::new(), Vec::new());
    while let Some(frame) = timeout(PATIENCE, opened.response.frame()).await.expect("an event") {
        let now = upstream.start.elapsed();
        read.extend_from_slice(frame.unwrap().data_ref().unwrap());
        let text = String::from_utf8_lossy(&read);
        let events = text.split_inclusive("\n\n").filter(|event| event.ends_with("\n\n"));
        for event in events.skip(lags.len()) {
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            lags.push(now - Duration::from_micros(data.parse().unwrap()));
        }
    }
    let text = String::from_utf8_lossy(&read);
    assert_eq!(lags.len(), TICKS as usize, "{text}, {:?}", opened.response);
    // The first event of a connection may wait for the connection.
    lags.remove(0);
    lags.sort();
    [lags[lags.len() / 2], lags[lags.len() - 1]]
}

/// Measures everything that a lag of a few milliseconds does not change.
/// `has_timeout` says that streams without bytes are cut after [`IDLE_TIMEOUT`].
pub(crate) async fn measure(
    front: &Front,
    protocol: Protocol,
    has_timeout: bool,
    upstream: &Upstream,
) -> Row {
    let idle = async {
        if has_timeout {
            idle(front, upstream).await;
        }
    };
    let reset = async {
        match protocol {
            Protocol::Http1 => None,
            Protocol::Http2 => Some(left(front, upstream, true).await),
        }
    };
    let (head, left, reset, failure, (), ()) = tokio::join!(
        head(front),
        left(front, upstream, false),
        reset,
        failure(front, protocol),
        idle,
        unchanged(front),
    );
    // A browser keeps its connection, and the server does not learn it later.
    assert!(reset.is_none_or(|reset| reset <= left), "{}: {reset:?}, {left}", front.name);
    Row { head, left, failure, ..Row::default() }
}

/// Measures when the head of a stream comes whose first byte comes later.
async fn head(front: &Front) -> &'static str {
    let start = Instant::now();
    let mut opened = front.open("/late").await;
    let at = start.elapsed();
    assert_eq!(opened.rest().await, ("data: late\n\n".into(), End::Clean));
    if at < LATE / 2 { "at once" } else { "with the first byte" }
}

/// Measures when the server learns that a client has left: the number of keep-alives that it has written.
/// A client `resets` one stream of HTTP/2, or closes its connection.
async fn left(front: &Front, upstream: &Upstream, resets: bool) -> u64 {
    let stream = number();
    let mut opened = front.open(&format!("/kept?{stream}")).await;
    let read = opened.until("data: open\n\n").await;
    sleep(KEEP_ALIVE / 4).await;
    if resets {
        drop(opened);
    } else {
        opened.close_socket();
    }
    let end = upstream.streams.ended(stream).await;
    assert_eq!(end.reason, EndReason::ClientGone);
    let keep_alives = (end.bytes - read.len() as u64) / ": keep-alive\n".len() as u64;
    assert!(keep_alives <= 4, "{}: {keep_alives} keep-alives", front.name);
    keep_alives
}

/// Measures how a client sees that a handler has failed.
async fn failure(front: &Front, protocol: Protocol) -> &'static str {
    let (text, end) = front.open("/fails").await.rest().await;
    assert!(text.ends_with("data: 1\n\ndata: 2\n\ndata: 3\n\n"), "{text:?}");
    match (end, protocol) {
        (End::Clean, _) => "a clean end",
        (End::Error, Protocol::Http1) => "cut",
        (End::Error, Protocol::Http2) => "reset",
    }
}

/// A stream without bytes is cut after the proxy's timeout, and its hook is called. A shorter keep-alive
/// keeps a stream open.
async fn idle(front: &Front, upstream: &Upstream) {
    let limit = Duration::from_secs(IDLE_TIMEOUT.into());
    let kept = async {
        let mut opened = front.open("/kept").await;
        let ended = opened.within(limit * 3).await;
        assert!(ended.is_none(), "a stream with keep-alives ended: {ended:?}");
    };
    let silent = async {
        let (stream, start) = (number(), Instant::now());
        let mut opened = front.open(&format!("/silent?{stream}")).await;
        let (text, _) = opened.rest().await;
        let cut_at = Instant::now();
        assert!(text.ends_with("data: open\n\n"), "{text:?}");
        assert!(cut_at - start > limit - Duration::from_millis(500), "{:?}", cut_at - start);
        let end = upstream.streams.ended(stream).await;
        assert_eq!(end.reason, EndReason::ClientGone);
        let delay = end.at.saturating_duration_since(cut_at);
        assert!(
            delay < Duration::from_secs(2),
            "the call of the hook came {delay:?} after the cut"
        );
    };
    tokio::join!(kept, silent);
}

/// Heads and answers pass unchanged.
async fn unchanged(front: &Front) {
    let mut opened = front.open_with("/echo", &[("last-event-id", "7-\u{fc}")]).await;
    let headers = opened.response.headers().clone();
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-own", "kept"),
    ] {
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
    }
    let (text, end) = opened.rest().await;
    assert!(text.ends_with("id: 8\ndata: 7-\u{fc}\n\n"), "{text:?}");
    assert_eq!(end, End::Clean);

    let mut later = front.open("/later").await;
    assert_eq!(later.response.status(), 200);
    assert_eq!(later.rest().await, ("retry: 700\n\n".into(), End::Clean));
    let mut stop = front.open("/stop").await;
    assert_eq!(stop.response.status(), 204);
    assert_eq!(stop.rest().await, (String::new(), End::Clean));
}

/// Measures how many events of a kilobyte a server can write to a client that reads nothing.
pub(crate) async fn flood(front: &Front, protocol: Protocol, upstream: &Upstream) -> u64 {
    let stream = number();
    let path = format!("/flood?{stream}");
    // The client of HTTP/1.1 reads nothing at all, also into no buffer of its own.
    let (_raw, _opened);
    if protocol == Protocol::Http1 {
        let mut raw = TcpStream::connect(front.addr()).await.unwrap();
        let head = "host: example.org\r\naccept: text/event-stream";
        let request = format!("GET {path} HTTP/1.1\r\n{head}\r\n\r\n");
        raw.write_all(request.as_bytes()).await.unwrap();
        _raw = raw;
    } else {
        _opened = front.open(&path).await;
    }
    let stands = async {
        let (mut written, mut since) = (0, Instant::now());
        while written < FLOOD && since.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_millis(100)).await;
            let now = upstream.streams.written(stream);
            // A stream that has not been opened has not been measured.
            if now > written || now == 0 {
                (written, since) = (now, Instant::now());
            }
        }
        written
    };
    timeout(Duration::from_secs(60), stands).await.expect("all is written, or nothing more")
}
