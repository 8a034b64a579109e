//! A client of many event streams. It counts events, measures the server, and prints a report as
//! JSON: see [`Report`] for its fields.
//!
//! ```text
//! sse-load --url http://127.0.0.1:8080/ --connections 1000 --duration 3 --pid 4711
//! ```

use std::{
    error::Error,
    io::{self, ErrorKind, Read as _, Write as _},
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser;
use hdrhistogram::Histogram;
use http::Uri;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use tower_sse_bench::{
    Latency, Report,
    count::{Counts, EventCounter, Http1},
    nanos,
    process::{Usage, resident_kib, segments_sent},
};

/// Opens event streams, counts the events that arrive, and prints one line of JSON
#[derive(Parser)]
struct Args {
    /// The URL; its host must be an IP address
    #[arg(long)]
    url: Uri,
    /// The number of streams
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// How long to count, in seconds
    #[arg(long, default_value_t = 3.0)]
    duration: f64,
    /// How long to wait before that, in seconds
    #[arg(long, default_value_t = 0.5)]
    warmup: f64,
    /// The process ID of the server
    #[arg(long)]
    pid: Option<u32>,
    /// Repeatedly open streams, read the first event, and close them; `connections` at a time
    #[arg(long)]
    open_close: bool,
    /// Use HTTP/2 without TLS, with this number of streams on each connection
    #[arg(long, value_name = "STREAMS")]
    h2: Option<usize>,
    /// Do not measure latencies, which requires reading each event's data
    #[arg(long)]
    no_latency: bool,
}

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Latencies are recorded for one in this number of connections.
const SAMPLED: usize = 16;
/// How long opening all streams may take.
const OPENING: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let args = Args::parse();
    let report = match args.h2 {
        Some(streams) => h2::run(&args, streams)?,
        None if args.open_close => open_close(&args)?,
        None => streams(&args)?,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

impl Args {
    fn addr(&self) -> Result<SocketAddr> {
        let authority = self.url.authority().ok_or("the URL has no host")?;
        Ok(authority.as_str().parse()?)
    }

    fn request(&self) -> String {
        let path = self.url.path_and_query().map_or("/", |it| it.as_str());
        let host = self.url.authority().map_or("", |it| it.as_str());
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n")
    }

    fn window(&self) -> Window {
        let begin = Instant::now() + Duration::from_secs_f64(self.warmup);
        let end = begin + Duration::from_secs_f64(self.duration);
        Window { pid: self.pid, begin, end, started: None }
    }
}

/// The measured window.
struct Window {
    pid: Option<u32>,
    begin: Instant,
    end: Instant,
    started: Option<Started>,
}

struct Started {
    at: Instant,
    usage: Usage,
    segments: u64,
}

impl Window {
    /// Returns whether the window starts now, so that all counts must be reset.
    fn starts(&mut self, now: Instant) -> bool {
        if self.started.is_some() || now < self.begin {
            return false;
        }
        self.started = Some(Started { at: now, usage: self.usage(), segments: segments_sent() });
        true
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        let next = if self.started.is_some() { self.end } else { self.begin };
        (now < self.end).then(|| next.saturating_duration_since(now))
    }

    fn usage(&self) -> Usage {
        self.pid.and_then(|pid| Usage::of(pid).ok()).unwrap_or_default()
    }

    fn report(&self, tally: Tally) -> Report {
        let Some(started) = &self.started else { return Report::default() };
        let usage = self.usage();
        let spent = usage.since(&started.usage);
        let latency = tally.latency.filter(|it| !it.is_empty()).map(|histogram| {
            let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
            Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: histogram.max() as f64 / 1000.0,
            }
        });
        Report {
            seconds: started.at.elapsed().as_secs_f64(),
            events: tally.counts.events,
            comments: tally.counts.comments,
            bytes: tally.bytes,
            reads: tally.reads,
            opened: tally.opened,
            failed: tally.failed,
            segments: segments_sent().saturating_sub(started.segments),
            user_us: spent.user,
            system_us: spent.system,
            cpu_us: spent.cpu,
            syscw: usage.syscw.saturating_sub(started.usage.syscw),
            rss_after_kib: self.pid.map_or(0, resident_kib),
            latency_us: latency,
            ..Report::default()
        }
    }
}

#[derive(Default)]
struct Tally {
    counts: Counts,
    bytes: u64,
    reads: u64,
    opened: u64,
    failed: u64,
    latency: Option<Histogram<u64>>,
}

impl Tally {
    fn new(args: &Args) -> Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, 600_000_000_000, 3);
        let latency = if args.no_latency { None } else { Some(histogram()?) };
        Ok(Self { latency, ..Self::default() })
    }

    /// Resets all counts except the failures.
    fn restart(&mut self) {
        self.latency.iter_mut().for_each(Histogram::reset);
        *self = Self { failed: self.failed, latency: self.latency.take(), ..Self::default() };
    }
}

struct Connection {
    stream: TcpStream,
    response: Http1,
}

/// The state of a connection after a read.
#[derive(PartialEq, Eq)]
enum Read {
    Open,
    Over,
}

impl Connection {
    fn open(addr: SocketAddr, request: &str, poll: &Poll, token: usize) -> io::Result<Self> {
        let mut stream = std::net::TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(token), Interest::READABLE)?;
        Ok(Self { stream, response: Http1::default() })
    }

    fn read(&mut self, buffer: &mut [u8], tally: &mut Tally, sampled: bool) -> Read {
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Read::Over,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Read::Open,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Read::Over,
            };
            tally.reads += 1;
            tally.bytes += length as u64;
            let now = if sampled { nanos() } else { 0 };
            let latency = tally.latency.as_mut().filter(|_| sampled);
            let fed = match latency {
                Some(latency) => {
                    self.response.feed(&buffer[..length], &mut tally.counts, |stamp| {
                        latency.saturating_record(now.saturating_sub(stamp));
                    })
                }
                None => self.response.feed(&buffer[..length], &mut tally.counts, |_| ()),
            };
            if let Err(refused) = fed {
                eprintln!("refused: {}", refused.0);
                return Read::Over;
            }
            // A read that does not fill the buffer has emptied the socket.
            if length < buffer.len() {
                return Read::Open;
            }
        }
    }
}

fn streams(args: &Args) -> Result<Report> {
    let (addr, request) = (args.addr()?, args.request());
    let rss_before_kib = args.pid.map_or(0, resident_kib);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 << 10];
    let mut tally = Tally::new(args)?;
    let mut connections: Vec<Option<Connection>> = Vec::with_capacity(args.connections);
    let mut opening = Some((args.connections, Instant::now() + OPENING));
    let mut window = args.window();
    loop {
        if let Some((left, until)) = opening {
            // A few at a time, so that the server's backlog does not overflow.
            for _ in 0..32.min(args.connections - connections.len()) {
                match Connection::open(addr, &request, &poll, connections.len()) {
                    Ok(connection) => connections.push(Some(connection)),
                    Err(error) => {
                        eprintln!("connecting: {error}");
                        tally.failed += 1;
                        connections.push(None);
                    }
                }
            }
            let done = connections.len() == args.connections;
            let open =
                |it: &Option<Connection>| it.as_ref().is_none_or(|it| it.response.has_head());
            if done && connections.iter().all(open) || Instant::now() > until {
                opening = None;
                window = args.window();
            } else {
                opening = Some((left, until));
            }
        }
        let now = Instant::now();
        if opening.is_none() && window.starts(now) {
            tally.restart();
        }
        let timeout = match (opening.is_some(), window.left(now)) {
            (true, _) if connections.len() < args.connections => Duration::ZERO,
            (true, _) => Duration::from_millis(1),
            (false, Some(left)) => left,
            (false, None) => break,
        };
        match poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            let token = event.token().0;
            let Some(Some(connection)) = connections.get_mut(token) else { continue };
            let sampled = token.is_multiple_of(SAMPLED) && !args.no_latency;
            let read = connection.read(&mut buffer, &mut tally, sampled);
            if read == Read::Over {
                connections[token] = None;
                tally.failed += 1;
            }
        }
    }
    let open = connections.iter().flatten().count();
    Ok(Report { connections: open, rss_before_kib, ..window.report(tally) })
}

fn open_close(args: &Args) -> Result<Report> {
    let (addr, request) = (args.addr()?, args.request());
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 64 << 10];
    let mut tally = Tally::new(args)?;
    let mut lanes = Vec::with_capacity(args.connections);
    for lane in 0..args.connections {
        lanes.push(Connection::open(addr, &request, &poll, lane)?);
    }
    let mut window = args.window();
    loop {
        let now = Instant::now();
        if window.starts(now) {
            tally.restart();
        }
        let Some(left) = window.left(now) else { break };
        poll.poll(&mut events, Some(left))?;
        for event in &events {
            let lane = event.token().0;
            let before = tally.counts.events;
            let read = lanes[lane].read(&mut buffer, &mut tally, false);
            let has_event = tally.counts.events > before;
            if read == Read::Over || has_event {
                tally.opened += u64::from(has_event);
                tally.failed += u64::from(!has_event);
                lanes[lane] = Connection::open(addr, &request, &poll, lane)?;
            }
        }
    }
    Ok(Report { connections: args.connections, ..window.report(tally) })
}

/// HTTP/2 without TLS.
mod h2 {
    use std::{cell::RefCell, rc::Rc};

    use ::h2::client;
    use http::Request;
    use tokio::{net::TcpStream, task::LocalSet};

    use super::*;

    pub(super) fn run(args: &Args, streams: usize) -> Result<Report> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, measure(args, streams.max(1)))
    }

    async fn measure(args: &Args, streams: usize) -> Result<Report> {
        let rss_before_kib = args.pid.map_or(0, resident_kib);
        let addr = args.addr()?;
        let tally = Rc::new(RefCell::new(Tally::new(args)?));
        let mut left = args.connections;
        while left > 0 {
            let here = streams.min(left);
            left -= here;
            let io = TcpStream::connect(addr).await?;
            io.set_nodelay(true)?;
            let (client, connection) = client::Builder::new()
                .initial_window_size(1 << 20)
                .initial_connection_window_size(16 << 20)
                .handshake::<_, bytes::Bytes>(io)
                .await?;
            tokio::task::spawn_local(async move { connection.await.is_ok() });
            let mut client = client.ready().await?;
            for index in 0..here {
                let request =
                    Request::get(args.url.clone()).header("accept", "text/event-stream").body(())?;
                let (response, _) = client.send_request(request, true)?;
                client = client.ready().await?;
                let response = response.await?;
                if response.status() != 200 {
                    return Err(response.status().to_string().into());
                }
                let sampled = index.is_multiple_of(SAMPLED) && !args.no_latency;
                tokio::task::spawn_local(read(response.into_body(), tally.clone(), sampled));
            }
        }
        let mut window = args.window();
        tokio::time::sleep_until(window.begin.into()).await;
        window.starts(Instant::now());
        tally.borrow_mut().restart();
        tokio::time::sleep_until(window.end.into()).await;
        let tally = std::mem::take(&mut *tally.borrow_mut());
        let connections = args.connections - tally.failed as usize;
        Ok(Report { connections, rss_before_kib, ..window.report(tally) })
    }

    async fn read(mut body: ::h2::RecvStream, tally: Rc<RefCell<Tally>>, sampled: bool) {
        let mut counter = EventCounter::default();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            let tally = &mut *tally.borrow_mut();
            tally.reads += 1;
            tally.bytes += data.len() as u64;
            let now = if sampled { nanos() } else { 0 };
            let mut latency = tally.latency.as_mut().filter(|_| sampled);
            counter.feed(&data, &mut tally.counts, |stamp| {
                if let Some(latency) = &mut latency {
                    latency.saturating_record(now.saturating_sub(stamp));
                }
            });
        }
        tally.borrow_mut().failed += 1;
    }
}
