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
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-sse-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let server = Self { child: Mutex::default(), port, folder, settings };
        server.run().await;
        Arc::new(server)
    }

    /// Starts the server again, with the files that it has.
    pub(crate) async fn run(&self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.arg("--dir").arg(&self.folder).args(&self.settings);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("`ci/test` installs redis-server");
        *self.child.lock().unwrap() = Some(child);
        for _ in 0..200 {
            let ping = async {
                let mut connection = self.try_connect().await?;
                redis::cmd("PING").query_async::<String>(&mut connection).await
            };
            // A server that wants a password, or has not read its files, answers as well.
            match ping.await {
                Err(error) if error.code() == Some("NOAUTH") => return,
                Ok(_) => return,
                Err(_) => {}
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("redis-server does not answer on port {}", self.port);
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

    async fn try_connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        redis::Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    /// Runs a command: its words.
    pub(crate) async fn run_command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.try_connect().await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Relays connections to a port. It can lose an answer, and stall.
pub(crate) struct Relay {
    pub(crate) port: u16,
    loses_answer: Arc<AtomicBool>,
    stalls: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            port: listener.local_addr().unwrap().port(),
            loses_answer: Arc::default(),
            stalls: Arc::default(),
        };
        let (loses, stalls) = (relay.loses_answer.clone(), relay.stalls.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(pass(socket, port, loses.clone(), stalls.clone()));
            }
        });
        relay
    }

    /// Closes the connection that makes the next request, once the server has answered it.
    pub(crate) fn lose_answer(&self) {
        self.loses_answer.store(true, Ordering::SeqCst);
    }

    /// Keeps all connections open, and passes nothing.
    pub(crate) fn stall(&self, stalls: bool) {
        self.stalls.store(stalls, Ordering::SeqCst);
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
