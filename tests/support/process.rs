//! Examples as processes, and a client that talks to them.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

/// The limit for anything a process does. The tests check results, not speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A child process, killed when it is dropped, and the lines of its stdout.
pub(crate) struct Process {
    child: Child,
    lines: UnboundedReceiver<String>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = unbounded_channel();
        // The thread reads to the end even without a receiver, so that the process does not block.
        thread::spawn(move || {
            stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        Self { child, lines }
    }

    /// Waits for the next line of stdout.
    pub(crate) async fn line(&mut self) -> String {
        self.line_or_end().await.expect("a line on stdout before its end")
    }

    /// Waits for the next line of stdout, or for its end.
    pub(crate) async fn line_or_end(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.recv()).await.expect("a line on stdout")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running example.
pub(crate) struct Example {
    process: Process,
    pub(crate) addr: SocketAddr,
}

impl Example {
    pub(crate) async fn start(name: &str, args: &[&str]) -> Self {
        Self::start_at(name, "127.0.0.1:0", args).await
    }

    /// Starts an example at an address, for example that of one that has ended.
    pub(crate) async fn start_at(name: &str, addr: &str, args: &[&str]) -> Self {
        let mut command = Command::new(executable(name));
        let mut process = Process::start(command.args(["--addr", addr]).args(args));
        let line = process.line().await;
        let addr = line.strip_prefix("listening on http://").map(str::parse);
        let Some(Ok(addr)) = addr else { panic!("the first line is {line:?}") };
        Self { process, addr }
    }

    /// Waits for the next line on stdout, after the first.
    pub(crate) async fn line(&mut self) -> String {
        self.process.line().await
    }

    /// Interrupts the example, as Ctrl-C does.
    #[cfg(unix)]
    pub(crate) fn interrupt(&self) {
        signal(&self.process.child, "-INT");
    }

    /// Asks the example to end, as systemd and Kubernetes do.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        signal(&self.process.child, "-TERM");
    }

    /// Waits until the example has ended by itself, and returns whether it succeeded.
    pub(crate) async fn ended_well(mut self) -> bool {
        let ended = async {
            loop {
                if let Some(status) = self.process.child.try_wait().unwrap() {
                    return status.success();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("it ends")
    }

    /// Gets a path over HTTP/1.1.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path)).await
    }

    /// Posts over HTTP/1.1.
    pub(crate) async fn post(&self, path: &str, json: impl Into<Bytes>) -> Reply {
        let request = Request::post(path).header("content-type", "application/json");
        send(self.addr, Version::HTTP_11, request, json.into()).await
    }

    /// Sends a request without a body over HTTP/1.1.
    pub(crate) async fn send(&self, request: http::request::Builder) -> Reply {
        send(self.addr, Version::HTTP_11, request, Bytes::new()).await
    }
}

/// Sends a signal to a child that has not been waited for.
#[cfg(unix)]
pub(crate) fn signal(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

/// Sends a request on a connection of its own, over HTTP/1.1, or over HTTP/2 with prior knowledge.
pub(crate) async fn send(
    addr: SocketAddr,
    version: Version,
    request: http::request::Builder,
    body: Bytes,
) -> Reply {
    let mut request = request.body(Full::new(body)).unwrap();
    *request.uri_mut() = format!("http://{addr}{}", request.uri()).parse().unwrap();
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http();
    let response = timeout(PATIENCE, client.request(request)).await.expect("an answer").unwrap();
    Reply::new(response)
}

/// A response whose body is read in parts. Dropping it closes the stream.
pub(crate) struct Reply {
    pub(crate) head: response::Parts,
    body: Incoming,
}

impl Reply {
    fn new(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self { head, body }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Returns the value of a header, which must occur once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut values = self.head.headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("no header {name}"));
        assert!(values.next().is_none(), "several headers {name}");
        value.to_str().unwrap()
    }

    /// Asserts the head of an event stream.
    #[track_caller]
    pub(crate) fn assert_event_stream(&self) {
        assert_eq!(self.status(), StatusCode::OK);
        assert_eq!(self.header("content-type"), "text/event-stream");
        assert_eq!(self.header("cache-control"), "no-store, no-transform");
        assert_eq!(self.header("x-accel-buffering"), "no");
    }

    /// Reads to the end of the body, which must be a clean one.
    pub(crate) async fn text(mut self) -> String {
        self.read_while(|_| true).await
    }

    /// Reads `count` blocks, including comments, and leaves the rest.
    pub(crate) async fn blocks(&mut self, count: usize) -> String {
        let text = self.read_while(|text| split_blocks(text).len() < count).await;
        split_blocks(&text)[..count].concat()
    }

    /// Reads until a text has come.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let read = self.read_while(|read| !read.contains(text)).await;
        assert!(read.contains(text), "{read}");
        read
    }

    /// Reads to the end of the body, clean or not.
    pub(crate) async fn ended(&mut self) {
        let read = async { while let Some(Ok(_)) = self.body.frame().await {} };
        timeout(PATIENCE, read).await.expect("the end of the body");
    }

    async fn read_while(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let mut text = Vec::new();
        while wanted(&String::from_utf8_lossy(&text)) {
            let frame = timeout(PATIENCE, self.body.frame()).await.expect("more of the body");
            let Some(frame) = frame else { break };
            if let Ok(bytes) = frame.expect("a clean end").into_data() {
                text.extend_from_slice(&bytes);
            }
        }
        String::from_utf8(text).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Returns the path of the executable of an example. `cargo test --test NAME` builds no examples,
/// so they are built here first.
pub(crate) fn executable(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let test = env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("target/debug/deps/test");
    BUILT.get_or_init(|| {
        let target = profile.parent().expect("target/debug");
        let profile = profile.file_name().filter(|&name| name != "debug");
        let mut cargo = Command::new(env!("CARGO"));
        // Some dependencies are built again if these differ, and cargo sets them for a test only.
        for (name, _) in env::vars_os() {
            let is_of_package = |name: &str| {
                ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start))
            };
            if name.to_str().is_some_and(is_of_package) {
                cargo.env_remove(name);
            }
        }
        let status = cargo
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--all-features", "--examples", "--profile"])
            .arg(profile.unwrap_or("dev".as_ref()))
            .arg("--target-dir")
            .arg(target)
            .status();
        assert!(status.unwrap().success(), "the examples do not build");
    });
    profile.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION)
}

/// Splits a stream into events, and comments between them.
fn split_blocks(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let (mut start, mut end, mut in_event) = (0, 0, false);
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        end += line.len();
        in_event |= !line.starts_with(':') && line != "\n";
        if line == "\n" || !in_event {
            blocks.push(&text[start..end]);
            (start, in_event) = (end, false);
        }
    }
    blocks
}
