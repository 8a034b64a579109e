//! A NATS server with JetStream, and a connection that can be cut.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use async_nats::HeaderMap;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::watch,
    task::JoinHandle,
};

/// The limit for a start of the server, and for an answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A server on a free port, with a folder of its own. Killed when it is dropped.
pub(crate) struct NatsServer {
    child: Mutex<Option<Child>>,
    folder: PathBuf,
    address: SocketAddr,
    options: Vec<String>,
}

/// The binary: `TOWER_SSE_NATS_SERVER`, or the one that is installed.
fn binary() -> PathBuf {
    let installed = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"];
    env::var_os("TOWER_SSE_NATS_SERVER").map(PathBuf::from).unwrap_or_else(|| {
        let installed = installed.iter().map(PathBuf::from).find(|path| path.exists());
        installed.unwrap_or_else(|| "nats-server".into())
    })
}

/// Returns free addresses. Another process may take one before a server does. Then the server does not
/// start.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

impl NatsServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder =
            env::temp_dir().join(format!("tower-sse-nats-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [address] = free_addresses();
        let options = options.iter().map(ToString::to_string).collect();
        let server = Self { child: Mutex::new(None), folder, address, options };
        server.restart();
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Starts the server again, and waits until it answers.
    pub(crate) fn restart(&self) {
        self.kill();
        let mut command = Command::new(binary());
        command
            .args(["-js", "-a", "127.0.0.1", "-p", &self.address.port().to_string(), "-sd"])
            .arg(&self.folder)
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?} does not start: {error}. Install Debian's nats-server, or see ci/nats-server")
        });
        *self.child.lock().unwrap() = Some(child);
        let start = Instant::now();
        while !self.answers() {
            assert!(start.elapsed() < LIMIT, "{command:?} does not answer");
            sleep(Duration::from_millis(10));
        }
    }

    fn answers(&self) -> bool {
        let Ok(stream) = TcpStream::connect(self.address) else { return false };
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
    }

    /// Kills the server, as `kill -9` does.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops the process without ending it, as a machine that hangs.
    pub(crate) fn pause(&self, is_paused: bool) {
        let id = self.child.lock().unwrap().as_ref().expect("it runs").id();
        let signal = if is_paused { "-STOP" } else { "-CONT" };
        assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
        // The threads stop one after the other.
        let is_stopped = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        };
        let tasks = || fs::read_dir(format!("/proc/{id}/task")).unwrap();
        while is_paused && !tasks().all(|task| is_stopped(task.unwrap())) {
            sleep(Duration::from_millis(1));
        }
    }

    /// Returns a copy of the server's files. The server must not run.
    pub(crate) fn copy(&self) -> PathBuf {
        let copy = self.folder.with_extension("copy");
        copy_folder(&self.folder, &copy);
        copy
    }

    /// Puts a copy in the place of the server's files. The server must not run.
    pub(crate) fn put_back(&self, copy: &Path) {
        fs::remove_dir_all(&self.folder).unwrap();
        fs::rename(copy, &self.folder).unwrap();
    }

    /// Removes the server's files. The server must not run.
    pub(crate) fn wipe(&self) {
        fs::remove_dir_all(&self.folder).unwrap();
        fs::create_dir_all(&self.folder).unwrap();
    }

    /// Removes all messages after a place from the files of a stream, and the indexes, as if they
    /// had not reached the disk. The server must not run.
    pub(crate) fn truncate(&self, stream: &str, last: u64) {
        let folder = self.folder.join("jetstream/$G/streams").join(stream).join("msgs");
        for file in fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "blk") {
                fs::remove_file(&path).unwrap();
                continue;
            }
            // A record starts with its length, whose highest bit is a flag, and its place.
            let bytes = fs::read(&path).unwrap();
            let mut len = 0;
            while let Some(head) = bytes.get(len..len + 12) {
                let (size, place) = head.split_at(4);
                let size = u32::from_le_bytes(size.try_into().unwrap()) & 0x7fff_ffff;
                if u64::from_le_bytes(place.try_into().unwrap()) > last {
                    break;
                }
                len += size as usize;
            }
            fs::write(&path, &bytes[..len]).unwrap();
        }
    }

    /// Publishes a message whose headers are these bytes, whether they are valid or not.
    pub(crate) async fn publish_raw(&self, subject: &str, headers: &[u8]) {
        let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
        let len = headers.len();
        let mut bytes = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n".to_vec();
        bytes.extend(format!("HPUB {subject} {len} {}\r\n", len + 1).bytes());
        bytes.extend(headers);
        bytes.extend(b"x\r\nPING\r\n");
        stream.write_all(&bytes).await.unwrap();
        let mut found = Vec::new();
        while !found.ends_with(b"PONG\r\n") {
            assert_ne!(stream.read_buf(&mut found).await.unwrap(), 0);
        }
    }

    /// A client of another program.
    pub(crate) async fn client(&self) -> NatsClient {
        NatsClient(async_nats::connect(self.url()).await.unwrap())
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Three servers that are one cluster.
pub(crate) struct NatsCluster([NatsServer; 3]);

impl NatsCluster {
    /// Starts the servers. They have not elected a leader yet.
    pub(crate) fn start() -> Self {
        let routes: [_; 3] = free_addresses().map(|address| format!("nats://{address}"));
        // Each server is also given its own route, since it takes their number for the size of the cluster.
        let all = routes.join(",");
        Self([0, 1, 2].map(|index| {
            let cluster = ["--cluster_name", "tower-sse", "--cluster", &routes[index]];
            let name = index.to_string();
            NatsServer::start_with(
                &[&["--server_name", &name, "--routes", &all][..], &cluster].concat(),
            )
        }))
    }

    /// Returns the URLs of all servers.
    pub(crate) fn urls(&self) -> String {
        self.0.each_ref().map(NatsServer::url).join(",")
    }

    /// Returns the leader of a stream, once all servers have all of it.
    pub(crate) async fn leader_of(&self, stream: &str) -> &NatsServer {
        let start = Instant::now();
        let addresses: Vec<async_nats::ServerAddr> =
            self.0.iter().map(|server| server.url().parse().unwrap()).collect();
        let client = async_nats::connect(addresses).await.unwrap();
        loop {
            // There is no answer, or an error, while there is no leader.
            let request = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into());
            let answer = tokio::time::timeout(Duration::from_secs(1), request).await;
            let info = match &answer {
                Ok(Ok(answer)) => serde_json::from_slice(&answer.payload).unwrap(),
                _ => Value::Null,
            };
            let leader = info["cluster"]["leader"].as_str().and_then(|it| it.parse().ok());
            let is_current =
                |replica: &Value| replica["current"] == true && replica["lag"].is_null();
            let replicas = info["cluster"]["replicas"].as_array();
            let are_current =
                replicas.is_some_and(|all| all.len() == 2 && all.iter().all(is_current));
            if let (Some::<usize>(leader), true) = (leader, are_current) {
                return &self.0[leader];
            }
            assert!(start.elapsed() < LIMIT, "the cluster does not recover: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A client of another program.
pub(crate) struct NatsClient(pub(crate) async_nats::Client);

impl NatsClient {
    /// Sends a request to the JetStream API, and returns its answer.
    pub(crate) async fn api(&self, subject: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.0.request(format!("$JS.API.{subject}"), body.into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer.get("error").is_none(), "{subject}: {answer}");
        answer
    }

    pub(crate) async fn info(&self, stream: &str) -> Value {
        self.api(&format!("STREAM.INFO.{stream}"), Value::Null).await
    }

    /// Changes settings of a stream.
    pub(crate) async fn set(&self, stream: &str, settings: Value) {
        let mut config = self.info(stream).await["config"].clone();
        for (name, value) in settings.as_object().unwrap() {
            config[name] = value.clone();
        }
        self.api(&format!("STREAM.UPDATE.{stream}"), config).await;
    }

    pub(crate) async fn delete(&self, stream: &str) {
        self.api(&format!("STREAM.DELETE.{stream}"), Value::Null).await;
    }

    /// Removes the messages before a place, as the server does it when there are too many.
    pub(crate) async fn trim(&self, stream: &str, first: u64) {
        let last = self.info(stream).await["state"]["last_seq"].as_u64().unwrap();
        self.set(stream, json!({ "max_msgs": last + 1 - first })).await;
    }

    /// Publishes a message, and waits until it is stored.
    pub(crate) async fn publish(&self, subject: &str, headers: &[(&str, &str)], data: &str) -> u64 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        let message = async_nats::Request::new().headers(map).payload(data.to_owned().into());
        let answer = self.0.send_request(subject.to_owned(), message).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        answer["seq"].as_u64().unwrap_or_else(|| panic!("{subject}: {answer}"))
    }
}

/// A network between clients and a server that can be cut.
pub(crate) struct Proxy {
    address: SocketAddr,
    server: SocketAddr,
    state: Arc<ProxyState>,
    /// Accepts connections. `None` while they are refused.
    accepts: Mutex<Option<JoinHandle<()>>>,
    /// Keeps the port while connections are refused.
    _port: tokio::net::TcpSocket,
}

#[derive(Default)]
struct ProxyState {
    /// The next acknowledgement is lost, and the connection with it.
    loses_answer: AtomicBool,
    /// Everything that is sent is lost, in both directions.
    is_silent: AtomicBool,
    /// Everything that is sent has to wait, in both directions.
    is_stalled: watch::Sender<bool>,
    /// How often all connections were ended.
    cuts: watch::Sender<u64>,
}

/// Returns a socket with a port that another socket of this process has too.
fn socket(address: SocketAddr) -> tokio::net::TcpSocket {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let port = socket((Ipv4Addr::LOCALHOST, 0).into());
        let address = port.local_addr().unwrap();
        let (state, accepts) = (Arc::default(), Mutex::new(None));
        let proxy = Self { address, server, state, accepts, _port: port };
        proxy.accept();
        proxy
    }

    fn accept(&self) {
        let listener = socket(self.address).listen(128).unwrap();
        let (server, shared) = (self.server, self.state.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = shared.clone();
                // A cut from here on ends this connection too.
                let mut cuts = shared.cuts.subscribe();
                tokio::spawn(async move {
                    let forwarded = async {
                        if let Ok(server) = tokio::net::TcpStream::connect(server).await {
                            forward(client, server, &state).await;
                        }
                    };
                    tokio::select! {
                        () = forwarded => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        *self.accepts.lock().unwrap() = Some(task);
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn lose_answer(&self) {
        self.state.loses_answer.store(true, Ordering::SeqCst);
    }

    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.state.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// Keeps all connections open, and everything that is sent, until it is called again.
    pub(crate) fn set_stalled(&self, is_stalled: bool) {
        self.state.is_stalled.send_replace(is_stalled);
    }

    /// Ends all connections. New ones are possible.
    pub(crate) fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends all connections, and refuses new ones until it is called again.
    pub(crate) async fn set_refusing(&self, is_refusing: bool) {
        if !is_refusing {
            return self.accept();
        }
        let task = self.accepts.lock().unwrap().take();
        if let Some(task) = task {
            task.abort();
            // Once it is over, so is the listener.
            let _aborted = task.await;
        }
        self.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = self.accepts.lock().unwrap().take() {
            task.abort();
        }
    }
}

/// Forwards until a connection ends.
async fn forward(client: tokio::net::TcpStream, server: tokio::net::TcpStream, state: &ProxyState) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let until_open = async || {
        let mut is_stalled = state.is_stalled.subscribe();
        let _open = is_stalled.wait_for(|is_stalled| !is_stalled).await;
    };
    let up = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(len @ 1..) = from_client.read(&mut buffer).await {
            until_open().await;
            let is_silent = state.is_silent.load(Ordering::SeqCst);
            if !is_silent && to_server.write_all(&buffer[..len]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(len @ 1..) = from_server.read(&mut buffer).await {
            until_open().await;
            let bytes = &buffer[..len];
            let is_ack = bytes.windows(6).any(|part| part == b"\"seq\":");
            if is_ack && state.loses_answer.swap(false, Ordering::SeqCst) {
                return;
            }
            let is_silent = state.is_silent.load(Ordering::SeqCst);
            if !is_silent && to_client.write_all(bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
