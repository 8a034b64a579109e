//! Each proxy with its file, and some without one line of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;

use crate::{
    client::{Front, Protocol},
    measure::{IDLE_TIMEOUT, flood, lag, measure},
    proxy::{Kind, Options, Proxy},
    table::{Row, assert_documented},
    upstream::Upstream,
};

/// A row of the table: its name, a proxy, a protocol, and the line that is missing in its file.
type Case = (&'static str, Kind, Protocol, Option<(&'static str, &'static str)>);

#[rustfmt::skip]
const CASES: [Case; 14] = {
    use self::{Kind::*, Protocol::*};
    [
        ("nginx", Nginx, Http1, None),
        ("nginx, HTTP/2", Nginx, Http2, None),
        ("nginx without `proxy_http_version 1.1`", Nginx, Http1, Some(("proxy_http_version 1.1;", ""))),
        ("haproxy", Haproxy, Http1, None),
        ("haproxy, HTTP/2", Haproxy, Http2, None),
        ("haproxy without `option http-no-delay`", Haproxy, Http1, Some(("option http-no-delay", ""))),
        ("haproxy without `option abortonclose`", Haproxy, Http1, Some(("option abortonclose", ""))),
        ("haproxy, HTTP/2, without `option abortonclose`", Haproxy, Http2, Some(("option abortonclose", ""))),
        ("Varnish", Varnish, Http1, None),
        ("Varnish without `return (pipe)`", Varnish, Http1, Some(("return (pipe);", ""))),
        ("Apache", Apache, Http1, None),
        ("Apache, HTTP/2", Apache, Http2, None),
        ("Caddy", Caddy, Http1, None),
        ("Caddy, HTTP/2", Caddy, Http2, None),
    ]
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_proxy_does_with_its_file_what_the_docs_say() {
    let upstream = Arc::new(Upstream::start().await);
    let proxies = join_all(CASES.iter().map(async |&(name, kind, protocol, without)| {
        let changes = without.map(|(line, other)| (line.to_owned(), other.to_owned()));
        let idle_timeout = Some(IDLE_TIMEOUT);
        let options = Options { changes: changes.into_iter().collect(), idle_timeout };
        (name, protocol, without, Proxy::start(kind, &[upstream.addr], &options).await)
    }))
    .await;
    let direct = Front::plain("none", upstream.addr);
    let mut fronts = vec![("none", Protocol::Http1, false, direct)];
    fronts.extend(proxies.iter().map(|(name, protocol, without, proxy)| {
        (*name, *protocol, without.is_none(), proxy.front(name, *protocol))
    }));

    // Nothing else runs while the time is measured, and the floods come last.
    let lags = join_all(fronts.iter().map(|(_, _, _, front)| lag(front, &upstream))).await;
    let rows = join_all(fronts.iter().map(|(_, protocol, has_timeout, front)| {
        measure(front, *protocol, *has_timeout, &upstream)
    }));
    let rows = rows.await;
    let taken =
        join_all(fronts.iter().map(|(_, protocol, _, front)| flood(front, *protocol, &upstream)));
    let taken = taken.await;
    let rows = fronts.iter().zip(rows).zip(lags).zip(taken);
    let rows: Vec<_> =
        rows.map(|(((&(name, ..), row), lag), taken)| Row { name, lag, taken, ..row }).collect();
    assert_documented(&rows);
}

/// A proxy that reloads or stops ends streams that go on, and only with the line of its file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_streams_end_after_the_time_in_the_files() {
    let upstream = Upstream::start().await;
    let cases = [
        (Kind::Nginx, "worker_shutdown_timeout 60s;", "worker_shutdown_timeout 1s;", "-HUP"),
        (Kind::Nginx, "worker_shutdown_timeout 60s;", "", "-HUP"),
        // A reload sends this signal to the old process.
        (Kind::Haproxy, "hard-stop-after 60s", "hard-stop-after 1s", "-USR1"),
        (Kind::Haproxy, "hard-stop-after 60s", "", "-USR1"),
        (Kind::Apache, "GracefulShutdownTimeout 60", "GracefulShutdownTimeout 1", "-WINCH"),
        (Kind::Caddy, "grace_period 60s", "grace_period 1s", "-TERM"),
    ];
    join_all(cases.map(async |(kind, line, other, signal)| {
        let changes = vec![(line.to_owned(), other.to_owned())];
        let options = Options { changes, idle_timeout: None };
        let proxy = Proxy::start(kind, &[upstream.addr], &options).await;
        let mut opened = proxy.front("old", Protocol::Http1).open("/kept").await;
        opened.until("data: open\n\n").await;
        proxy.signal(signal);
        let start = Instant::now();
        if other.is_empty() {
            let ended = opened.within(Duration::from_secs(6)).await;
            assert!(ended.is_none(), "{kind:?} without {line:?}: {ended:?}");
        } else {
            opened.rest().await;
            println!("{kind:?}: {line:?} ends a stream after {:?}", start.elapsed());
            assert!(start.elapsed() > Duration::from_millis(500), "{kind:?}");
        }
    }))
    .await;
}
