//! A server on a real socket that answers by a script, well or badly.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time::sleep,
};

/// The head of a stream whose end is the end of the connection.
const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// The behavior of the server after it has read a request.
pub(crate) enum Act {
    /// Writes, and closes.
    Writes(String),
    /// Writes, and resets the connection.
    Resets(String),
    /// Writes, and is then silent.
    Holds(String),
    /// Writes the bytes one by one, with a pause after each.
    Drips(String, Duration),
    /// Writes a head and then a gibibyte of `x`, until the client is gone. Counts the bytes.
    Floods(String),
    /// Writes these bytes and closes.
    Bytes(Vec<u8>),
    /// Writes both with a pause between them, and reads the next request of the connection.
    Serves(String, Duration, String),
    /// Holds the connection for a while with a comment now and then, and closes it well.
    Lasts(Duration),
}

/// Returns an act's answer that is an event stream.
pub(crate) fn stream(text: &str) -> String {
    format!("{HEAD}{text}")
}

/// Returns an act's answer without a body: a status, and lines of headers.
pub(crate) fn status(line: &str) -> String {
    refusal(line, "")
}

/// Returns an act's answer with a body: a status, lines of headers, and the body.
pub(crate) fn refusal(line: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// Returns the parts of an [`Act::Serves`]: a stream in one chunk, and the end of its body.
pub(crate) fn chunked(text: &str, pause: Duration) -> Act {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
    let answer = format!("{head}\r\n\r\n{:x}\r\n{text}\r\n", text.len());
    Act::Serves(answer, pause, "0\r\n\r\n".into())
}

/// What the server has seen.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    requests: Arc<Mutex<Vec<(String, String)>>>,
    connections: Arc<Mutex<usize>>,
    flooded: Arc<Mutex<u64>>,
}

impl Seen {
    /// Returns the heads of all requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(head, _)| head.clone()).collect()
    }

    /// Returns the bodies of all requests.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// Returns the paths of all requests.
    pub(crate) fn paths(&self) -> Vec<String> {
        let path = |head: &String| head.split(' ').nth(1).unwrap().to_owned();
        self.heads().iter().map(path).collect()
    }

    /// Returns the methods of all requests.
    pub(crate) fn methods(&self) -> Vec<String> {
        let method = |head: &String| head.split(' ').next().unwrap().to_owned();
        self.heads().iter().map(method).collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    pub(crate) fn flooded(&self) -> u64 {
        *self.flooded.lock().unwrap()
    }
}

/// Starts a server that plays one act for each request, and then repeats the last one. Returns the
/// URL of a stream.
pub(crate) async fn server(acts: impl IntoIterator<Item = Act>) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let acts: VecDeque<_> = acts.into_iter().map(Arc::new).collect();
    let acts = Arc::new(Mutex::new(acts));
    let seen = Seen::default();
    let reported = seen.clone();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            *reported.connections.lock().unwrap() += 1;
            tokio::spawn(play(socket, acts.clone(), reported.clone()));
        }
    });
    (url, seen)
}

/// Returns a URL at which nothing listens. The port stays bound, so that no other test gets it.
pub(crate) async fn refused_url() -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/events", socket.local_addr().unwrap());
    std::mem::forget(socket);
    url
}

/// Reads a request with its body.
pub(crate) async fn read_request(socket: &mut TcpStream) -> io::Result<(String, String)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = bytes.split_off(end);
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        if socket.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, String::from_utf8(body).unwrap()))
}

async fn play(
    mut socket: TcpStream,
    acts: Arc<Mutex<VecDeque<Arc<Act>>>>,
    seen: Seen,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    loop {
        let request = read_request(&mut socket).await?;
        seen.requests.lock().unwrap().push(request);
        let act = {
            let mut acts = acts.lock().unwrap();
            let act = acts[0].clone();
            if acts.len() > 1 {
                acts.pop_front();
            }
            act
        };
        match &*act {
            Act::Serves(first, pause, last) => {
                socket.write_all(first.as_bytes()).await?;
                sleep(*pause).await;
                socket.write_all(last.as_bytes()).await?;
                continue;
            }
            Act::Writes(text) => socket.write_all(text.as_bytes()).await?,
            Act::Bytes(bytes) => socket.write_all(bytes).await?,
            Act::Resets(text) => {
                socket.write_all(text.as_bytes()).await?;
                // The client reads the bytes before the reset discards them.
                sleep(Duration::from_millis(200)).await;
                socket.set_zero_linger()?;
            }
            Act::Holds(text) => {
                socket.write_all(text.as_bytes()).await?;
                socket.read_buf(&mut Vec::new()).await?;
            }
            Act::Lasts(time) => {
                socket.write_all(stream("").as_bytes()).await?;
                let end = tokio::time::Instant::now() + *time;
                while tokio::time::Instant::now() < end {
                    socket.write_all(b":\n").await?;
                    sleep((*time / 4).min(Duration::from_millis(250))).await;
                }
            }
            Act::Drips(text, pause) => {
                for byte in text.as_bytes() {
                    socket.write_all(&[*byte]).await?;
                    sleep(*pause).await;
                }
            }
            Act::Floods(text) => {
                socket.write_all(text.as_bytes()).await?;
                let line = vec![b'x'; 1 << 20];
                for _ in 0..1024 {
                    socket.write_all(&line).await?;
                    *seen.flooded.lock().unwrap() += line.len() as u64;
                }
            }
        }
        return Ok(());
    }
}
