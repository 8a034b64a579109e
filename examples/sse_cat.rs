//! Reads an event stream and prints each event as one line of JSON.
//!
//! ```text
//! cargo run --example sse_cat --features full -- http://127.0.0.1:8080/events
//! curl -sN http://127.0.0.1:8080/events | cargo run --example sse_cat --features full -- -
//! ```
//!
//! ```text
//! {"opened":{"status":200,"attempt":1}}
//! {"event":"message","data":"…","id":"…"}       the id is the last event ID
//! {"comment":"…"}                               with --comments
//! {"reconnecting":{"attempt":2,"delay_ms":1000,"cause":"…"}}
//! {"error":"…"}                                 with "body" if the server has refused the request
//! {"closed":true}                               the end without an error
//! ```
//!
//! A request whose method is not safe, for example a POST, is sent again only until a response is
//! opened, unless `--resilient` is given.
//!
//! If no header can carry the last event ID, a warning appears on standard error.
//!
//! The exit status is 0 after an end without an error (a 204, `--max-events`, or the end of the
//! stream with `--no-reconnect`), and 1 after a fatal error. For
//! standard input, no line about a connection appears.

use std::{
    error::Error,
    io::{self, Read as _, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue, Method, Request};
use serde::Serialize;
use tower_sse::{
    BoxError, Event, EventId, EventParser, EventSource, Reconnection, Update, parse::Parsed,
};

/// Reads an event stream and prints each event as one line of JSON.
#[derive(Parser)]
struct Args {
    /// The URL to read, or - for standard input
    url: String,
    /// A header of the request; can be repeated
    #[arg(long, value_name = "N: V", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// The method; GET by default, or POST if there is a body
    #[arg(long)]
    method: Option<Method>,
    /// The body of the request
    #[arg(long)]
    body: Option<String>,
    /// The last event ID to start with
    #[arg(long, value_parser = |id: &str| EventId::try_from(id))]
    last_event_id: Option<EventId>,
    /// Stops after this number of events
    #[arg(long)]
    max_events: Option<u64>,
    /// Reads one response and does not reconnect
    #[arg(long)]
    no_reconnect: bool,
    /// The longest time without a received byte, for example 30s
    #[arg(long)]
    idle_timeout: Option<humantime::Duration>,
    /// The longest wait for a response head, for example 10s
    #[arg(long)]
    header_timeout: Option<humantime::Duration>,
    /// The maximum size of an event in bytes, over all its lines
    #[arg(long)]
    max_event_bytes: Option<usize>,
    /// Reconnects exactly as the standard prescribes
    #[arg(long)]
    standard: bool,
    /// Reconnects after every temporary failure, also if the method is not safe
    #[arg(long, conflicts_with_all = ["standard", "no_reconnect"])]
    resilient: bool,
    /// Prints comments too
    #[arg(long)]
    comments: bool,
    /// Prints only the data of events, unchanged; errors go to standard error
    #[arg(long)]
    raw: bool,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), BoxError> {
    let (name, value) = text.split_once(':').ok_or("a header must have the form `Name: value`")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

/// A line of the output.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Opened {
        status: u16,
        attempt: u64,
    },
    Comment(&'a str),
    Reconnecting {
        attempt: u64,
        delay_ms: u128,
        cause: String,
    },
    Closed(bool),
    #[serde(untagged)]
    Error {
        error: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<&'a str>,
    },
    #[serde(untagged)]
    Event {
        event: &'a str,
        data: &'a str,
        id: &'a str,
    },
}

/// The output and its format.
struct Output {
    raw: bool,
    comments: bool,
    /// How many events remain to be printed, if there is a limit.
    wanted: Option<u64>,
}

impl Output {
    fn is_satisfied(&self) -> bool {
        self.wanted == Some(0)
    }

    fn event(&mut self, event: &Event, last_event_id: Option<&EventId>) -> io::Result<()> {
        self.wanted = self.wanted.map(|wanted| wanted.saturating_sub(1));
        if self.raw {
            return print(event.data());
        }
        let id = last_event_id.map_or("", EventId::as_str);
        self.line(&Line::Event { event: event.event_type().as_str(), data: event.data(), id })
    }

    fn comment(&self, text: &str) -> io::Result<()> {
        if self.comments { self.line(&Line::Comment(text)) } else { Ok(()) }
    }

    fn error(&self, error: &dyn Error, body: Option<&[u8]>) -> io::Result<()> {
        let error = with_causes(error);
        // The message has the start of the body, on one line.
        let body =
            body.and_then(|body| std::str::from_utf8(body).ok()).filter(|text| !text.is_empty());
        if self.raw {
            eprintln!("{error}");
        }
        self.line(&Line::Error { error, body })
    }

    fn line(&self, line: &Line<'_>) -> io::Result<()> {
        if self.raw { Ok(()) } else { print(&serde_json::to_string(line)?) }
    }
}

fn print(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let args = Args::parse();
    let output = Output { raw: args.raw, comments: args.comments, wanted: args.max_events };
    let read = match args.url.as_str() {
        "-" => read_stdin(&args, output).map(|()| ExitCode::SUCCESS),
        _ => match source(&args) {
            Ok(source) => read(source, output).await,
            Err(error) => output.error(&*error, None).map(|()| ExitCode::FAILURE),
        },
    };
    match read {
        // The reader of the output has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        read => Ok(read?),
    }
}

fn source(args: &Args) -> Result<EventSource, BoxError> {
    let default = if args.body.is_some() { Method::POST } else { Method::GET };
    let mut request = Request::builder()
        .method(args.method.clone().unwrap_or(default))
        .uri(&args.url)
        .body(args.body.clone().unwrap_or_default())?;
    for (name, value) in &args.header {
        request.headers_mut().append(name, value.clone());
    }
    let mut source = EventSource::send(request);
    source = match args {
        Args { no_reconnect: true, .. } => source.reconnection(Reconnection::never()),
        Args { standard: true, .. } => source.reconnection(Reconnection::standard()),
        Args { resilient: true, .. } => source.reconnection(Reconnection::resilient()),
        _ => source,
    };
    if let Some(id) = &args.last_event_id {
        source = source.with_last_event_id(id);
    }
    if let Some(timeout) = args.idle_timeout {
        source = source.idle_timeout(timeout.into());
    }
    if let Some(timeout) = args.header_timeout {
        source = source.header_timeout(timeout.into());
    }
    if let Some(bytes) = args.max_event_bytes {
        // A line is part of an event, so the limit for events is enough.
        source = source.max_event_bytes(bytes).max_line_bytes(usize::MAX);
    }
    Ok(source)
}

async fn read(source: EventSource, mut output: Output) -> io::Result<ExitCode> {
    let mut updates = source.updates();
    while !output.is_satisfied() {
        match updates.next().await {
            None => break,
            Some(Ok(update)) => tell(update, &updates, &mut output)?,
            Some(Err(error)) => {
                output.error(&error, error.body().map(|body| &body[..]))?;
                if error.is_fatal() {
                    return Ok(ExitCode::FAILURE);
                }
            }
        }
    }
    output.line(&Line::Closed(true))?;
    Ok(ExitCode::SUCCESS)
}

fn tell(
    update: Update,
    updates: &tower_sse::client::Updates,
    output: &mut Output,
) -> io::Result<()> {
    match update {
        Update::Opened(opened) => {
            output.line(&Line::Opened { status: opened.status.as_u16(), attempt: opened.attempt })
        }
        Update::Event(event) => output.event(&event, updates.get_ref().last_event_id()),
        Update::Comment(text) => output.comment(text.as_str()),
        Update::Reconnecting(again) => {
            let (attempt, delay_ms) = (again.attempt, Duration::as_millis(&again.delay));
            output.line(&Line::Reconnecting { attempt, delay_ms, cause: with_causes(&again.cause) })
        }
        Update::LastEventIdOmitted(id) => {
            let length = id.as_str().len();
            eprintln!(
                "the last event ID, of {length} bytes, is not sent: a header cannot carry it"
            );
            Ok(())
        }
        _ => Ok(()),
    }
}

fn read_stdin(args: &Args, mut output: Output) -> io::Result<()> {
    let mut parser = EventParser::new();
    if let Some(id) = &args.last_event_id {
        parser = parser.with_last_event_id(id);
    }
    if let Some(bytes) = args.max_event_bytes {
        parser = parser.max_event_bytes(bytes).max_line_bytes(usize::MAX);
    }
    let mut chunk = vec![0; 64 << 10];
    loop {
        while let Some(item) = parser.next_item() {
            match item {
                _ if output.is_satisfied() => return Ok(()),
                Ok(Parsed::Event(event)) => output.event(&event, parser.last_event_id())?,
                Ok(Parsed::Comment(text)) => output.comment(text.as_str())?,
                Ok(_) => {}
                Err(error) => output.error(&error, None)?,
            }
        }
        match io::stdin().lock().read(&mut chunk)? {
            _ if output.is_satisfied() => return Ok(()),
            0 => return Ok(()),
            length => parser.push(chunk[..length].to_vec()),
        }
    }
}
