//! A Redis server of a test, and a relay in front of it.
#![allow(dead_code, reason = "every test target uses a part of it")]

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{FromRedisValue, aio::MultiplexedConnection};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    time::sleep,
};

/// A running server, with a folder of its own. Both are gone when it is dropped.
pub(crate) struct Redis {
    child: Mutex<Option<Child>>,
    pub(crate) port: u16,
    folder: PathBuf,
    settings: Vec<String>,
}

impl Redis {
    /// Starts a server that writes each entry to its disk before it acknowledges it.
    pub(crate) async fn start() -> Arc<Self> {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    pub(crate) async fn with(settings: &[&str]) -> Arc<Self> {
        for _ in 0..5 {
            let server = Self::new(settings.iter().map(|setting| match *setting {
                FREE_PORT => free_port().to_string(),
                setting => setting.to_owned(),
            }));
            if server.has_started().await {
                return Arc::new(server);
            }
        }
        panic!("redis-server does not start with {settings:?}");
    }

    /// Starts a Sentinel that watches a master, and decides alone. `settings` are further lines of its
    /// file, after `sentinel`.
    pub(crate) async fn sentinel(name: &str, master: &Self, settings: &[&str]) -> Arc<Self> {
        let server = Self::new(["--sentinel".to_owned()]);
        let mut lines = vec![
            format!("port {}", server.port),
            "bind 127.0.0.1".into(),
            format!("dir {}", server.folder.display()),
            format!("sentinel monitor {name} 127.0.0.1 {} 1", master.port),
            "logfile sentinel.log".into(),
            format!("sentinel down-after-milliseconds {name} 1500"),
            format!("sentinel failover-timeout {name} 3000"),
        ];
        lines.extend(settings.iter().map(|setting| format!("sentinel {setting}")));
        fs::write(server.folder.join("sentinel.conf"), lines.join("\n")).unwrap();
        server.run().await;
        Arc::new(server)
    }

    fn new(settings: impl IntoIterator<Item = String>) -> Self {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-sse-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // A process that had the same number may have been killed before it could remove its files.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let settings = settings.into_iter().collect();
        Self { child: Mutex::default(), port: free_port(), folder, settings }
    }

    /// Starts the server again, with the files that it has.
    pub(crate) async fn run(&self) {
        assert!(self.has_started().await, "redis-server does not answer on port {}", self.port);
    }

    /// Starts the server. Returns false if that fails: another program may have taken its port.
    async fn has_started(&self) -> bool {
        let mut command = Command::new("redis-server");
        let file = self.folder.join("sentinel.conf");
        if file.exists() {
            command.arg(file);
        } else {
            command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
            command.arg("--dir").arg(&self.folder);
        }
        command.args(&self.settings);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("`ci/test` installs redis-server");
        // Another server may answer on the port.
        let line = format!("process_id:{}", child.id());
        *self.child.lock().unwrap() = Some(child);
        for _ in 0..400 {
            let info = self.try_command::<String>(&["INFO", "server"]).await;
            let is_ours = info.is_ok_and(|info| info.lines().any(|found| found == line));
            // A server that has not read its files answers this with an error.
            if is_ours && self.try_command::<String>(&["PING"]).await.is_ok() {
                return true;
            }
            if !self.is_running() {
                return false;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    fn is_running(&self) -> bool {
        let mut child = self.child.lock().unwrap();
        child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Ends the server at once.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns the value of a setting that it was started with.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().skip_while(|setting| *setting != name).nth(1).map(String::as_str)
    }

    async fn try_connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let password =
            self.settings.iter().skip_while(|setting| *setting != "--requirepass").nth(1);
        let login = password.map_or(String::new(), |password| format!(":{password}@"));
        let url = format!("redis://{login}127.0.0.1:{}", self.port);
        redis::Client::open(url)?.get_multiplexed_async_connection().await
    }

    /// Runs a command: its words.
    pub(crate) async fn run_command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).await.unwrap()
    }

    pub(crate) async fn try_command<T: FromRedisValue>(
        &self,
        words: &[&str],
    ) -> redis::RedisResult<T> {
        let mut connection = self.try_connect().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }

    /// Waits until the reply to a command is as expected.
    pub(crate) async fn wait_for(
        &self,
        words: &[&str],
        is_expected: impl Fn(&redis::Value) -> bool,
    ) {
        let mut reply = None;
        for _ in 0..2000 {
            reply = Some(self.try_command(words).await);
            if matches!(&reply, Some(Ok(reply)) if is_expected(reply)) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let log = fs::read_to_string(self.folder.join("sentinel.log")).unwrap_or_default();
        panic!("the last reply to {words:?} is {reply:?}\n{log}");
    }

    /// Waits until the reply to `INFO` has these lines.
    pub(crate) async fn wait_for_info(&self, section: &str, lines: &[&str]) {
        self.wait_for_lines(&["INFO", section], lines).await;
    }

    /// Waits until the reply to `CLUSTER INFO` has these lines.
    pub(crate) async fn wait_for_cluster(&self, lines: &[&str]) {
        self.wait_for_lines(&["CLUSTER", "INFO"], lines).await;
    }

    async fn wait_for_lines(&self, words: &[&str], lines: &[&str]) {
        let is_expected = |reply: &redis::Value| {
            let text: String = redis::from_redis_value_ref(reply).unwrap();
            lines.iter().all(|line| text.lines().any(|found| found.contains(line)))
        };
        self.wait_for(words, is_expected).await;
    }

    /// Waits until this master has a number of replicas, and each has everything.
    pub(crate) async fn wait_for_replicas(&self, number: usize) {
        type Role = (String, u64, Vec<(String, u64, u64)>);
        let is_expected = |reply: &redis::Value| {
            let (role, offset, replicas): Role = redis::from_redis_value_ref(reply).unwrap();
            let is_synced = replicas.iter().all(|(_, _, at)| *at == offset);
            role == "master" && replicas.len() == number && is_synced
        };
        self.wait_for(&["ROLE"], is_expected).await;
    }
}

/// In the settings of a server: a port that the system has chosen.
pub(crate) const FREE_PORT: &str = "a free port";

/// Returns a port that the system has chosen.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Relays connections to a port. It can lose an answer, stall, lead to another port, and be cut.
pub(crate) struct Relay {
    pub(crate) port: u16,
    loses_answer: Arc<AtomicBool>,
    stalls: Arc<AtomicBool>,
    target: watch::Sender<Option<u16>>,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            loses_answer: Arc::default(),
            stalls: Arc::default(),
            target: watch::Sender::new(Some(port)),
        };
        let (loses, stalls) = (relay.loses_answer.clone(), relay.stalls.clone());
        let mut target = relay.target.subscribe();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let Some(port) = *target.borrow_and_update() else { continue };
                let (loses, stalls, mut target) = (loses.clone(), stalls.clone(), target.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(socket, port, loses, stalls) => {}
                        _cut = target.wait_for(Option::is_none) => {}
                    }
                });
            }
        });
        relay
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Closes the connection that makes the next request, once the server has answered it.
    pub(crate) fn lose_answer(&self) {
        self.loses_answer.store(true, Ordering::SeqCst);
    }

    /// Keeps all connections open, and passes nothing.
    pub(crate) fn stall(&self, stalls: bool) {
        self.stalls.store(stalls, Ordering::SeqCst);
    }

    /// Leads new connections to a port. Those that are open stay.
    pub(crate) fn lead_to(&self, port: u16) {
        self.target.send_replace(Some(port));
    }

    /// Closes all connections, and accepts none until it leads to a port again.
    pub(crate) fn cut(&self) {
        self.target.send_replace(None);
    }
}

async fn pass(mut client: TcpStream, port: u16, loses: Arc<AtomicBool>, stalls: Arc<AtomicBool>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut request, mut answer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut is_losing = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(len @ 1..) = read else { return };
                is_losing |= loses.swap(false, Ordering::SeqCst);
                while stalls.load(Ordering::SeqCst) {
                    sleep(Duration::from_millis(10)).await;
                }
                if server.write_all(&request[..len]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(len @ 1..) = read else { return };
                if is_losing {
                    return;
                }
                while stalls.load(Ordering::SeqCst) {
                    sleep(Duration::from_millis(10)).await;
                }
                if client.write_all(&answer[..len]).await.is_err() {
                    return;
                }
            }
        }
    }
}
