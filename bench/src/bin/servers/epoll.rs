//! The limit of the kernel: one epoll, one buffer, and a `send` for each stream.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    time::{Duration, Instant},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use tower_sse_bench::{Mode, Workload};

use super::{Result, listen};

const LISTENER: Token = Token(usize::MAX);
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// How many bytes of a flood are written at once.
const FLOOD: usize = 64 << 10;

struct Stream {
    socket: TcpStream,
    /// Whether its request has arrived.
    open: bool,
    /// The bytes that did not fit into the socket.
    unsent: Vec<u8>,
}

pub(super) fn run(workload: &Workload) -> Result<()> {
    let listener = listen(workload)?;
    listener.set_nonblocking(true)?;
    let mut server = Server {
        listener: TcpListener::from_std(listener),
        poll: Poll::new()?,
        streams: Vec::new(),
        free: Vec::new(),
        frame: Vec::new(),
    };
    let interest = Interest::READABLE;
    server.poll.registry().register(&mut server.listener, LISTENER, interest)?;
    server.serve(workload)
}

struct Server {
    listener: TcpListener,
    poll: Poll,
    streams: Vec<Option<Stream>>,
    free: Vec<usize>,
    frame: Vec<u8>,
}

impl Server {
    fn serve(&mut self, workload: &Workload) -> Result<()> {
        let every = match workload.mode {
            Mode::Fanout => Duration::from_secs_f64(1.0 / workload.rate),
            Mode::Idle => workload.keep_alive(),
            Mode::Flood => Duration::ZERO,
        };
        let data = workload.data();
        let mut due = Instant::now() + every;
        let mut events = Events::with_capacity(1024);
        let mut busy = false;
        loop {
            let timeout = match workload.mode {
                Mode::Flood if busy => Some(Duration::ZERO),
                Mode::Flood => None,
                Mode::Fanout | Mode::Idle => Some(due.saturating_duration_since(Instant::now())),
            };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(index) => {
                        self.ready(index, event.is_readable(), event.is_writable(), workload);
                    }
                }
            }
            if workload.mode == Mode::Flood {
                busy = self.flood(&data);
            } else if Instant::now() >= due {
                due += every;
                match workload.mode {
                    Mode::Fanout => {
                        let burst = (0..workload.burst).map(|_| workload.stamped());
                        let burst: Vec<String> = burst.collect();
                        chunk(&mut self.frame, |frame| {
                            burst.iter().for_each(|data| encode(data, frame));
                        });
                    }
                    _ => chunk(&mut self.frame, |frame| {
                        frame.extend_from_slice(b": keep-alive\n\n");
                    }),
                }
                for index in 0..self.streams.len() {
                    self.send(index);
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let index = self.free.pop().unwrap_or_else(|| {
                self.streams.push(None);
                self.streams.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(index), interest)?;
            self.streams[index] = Some(Stream { socket, open: false, unsent: Vec::new() });
        }
    }

    fn ready(&mut self, index: usize, readable: bool, writable: bool, workload: &Workload) {
        let Some(stream) = &mut self.streams[index] else { return };
        let mut gone = false;
        if readable {
            let mut buffer = [0; 4096];
            loop {
                match stream.socket.read(&mut buffer) {
                    Ok(0) => gone = true,
                    Ok(read) => {
                        if !stream.open {
                            stream.open = true;
                            let mut first = HEAD.to_vec();
                            if workload.mode == Mode::Idle {
                                let mut frame = Vec::new();
                                chunk(&mut frame, |frame| encode(&workload.data(), frame));
                                first.extend(frame);
                            }
                            gone = stream.socket.write(&first).is_err();
                        }
                        if read == buffer.len() {
                            continue;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => gone = true,
                }
                break;
            }
        }
        if writable && !gone && !stream.unsent.is_empty() {
            let unsent = std::mem::take(&mut stream.unsent);
            gone = !stream.write(&unsent);
        }
        if gone {
            self.streams[index] = None;
            self.free.push(index);
        }
    }

    fn send(&mut self, index: usize) {
        let Some(stream) = self.streams[index].as_mut().filter(|it| it.open) else { return };
        let sent = if stream.unsent.is_empty() {
            stream.write(&self.frame)
        } else {
            stream.unsent.extend_from_slice(&self.frame);
            true
        };
        if !sent {
            self.streams[index] = None;
            self.free.push(index);
        }
    }

    /// Writes until the sockets are full, and returns whether there may be more room.
    fn flood(&mut self, data: &str) -> bool {
        let mut busy = false;
        for index in 0..self.streams.len() {
            let Some(stream) = &self.streams[index] else { continue };
            if !stream.open || !stream.unsent.is_empty() {
                continue;
            }
            chunk(&mut self.frame, |frame| {
                while frame.len() < FLOOD {
                    encode(data, frame);
                }
            });
            self.send(index);
            busy |= self.streams[index].as_ref().is_some_and(|it| it.unsent.is_empty());
        }
        busy
    }
}

impl Stream {
    /// Returns whether the connection is still there.
    fn write(&mut self, bytes: &[u8]) -> bool {
        match self.socket.write(bytes) {
            Ok(written) => {
                self.unsent.extend_from_slice(&bytes[written..]);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.unsent.extend_from_slice(bytes);
                true
            }
            Err(_) => false,
        }
    }
}

fn encode(data: &str, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(b"data: ");
    buffer.extend_from_slice(data.as_bytes());
    buffer.extend_from_slice(b"\n\n");
}

/// Returns the data as one chunk of HTTP/1.1.
fn chunk(frame: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    const LENGTH: usize = 10;
    frame.clear();
    frame.resize(LENGTH, 0);
    fill(frame);
    let length = format!("{:08x}\r\n", frame.len() - LENGTH);
    frame[..LENGTH].copy_from_slice(length.as_bytes());
    frame.extend_from_slice(b"\r\n");
}
