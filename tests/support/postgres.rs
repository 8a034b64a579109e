//! A PostgreSQL server of a test, and a relay in front of it.
#![allow(dead_code, reason = "every test target uses a part of it")]

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};
use tokio_postgres::{Client, NoTls};

/// A running server, with a folder of its own. Both are gone when it is dropped.
pub(crate) struct Postgres {
    child: Mutex<Option<Child>>,
    pub(crate) port: u16,
    folder: PathBuf,
}

impl Postgres {
    pub(crate) async fn start() -> Arc<Self> {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-sse-postgres-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let mut init = command("initdb", &folder);
        init.args(["--username", "postgres", "--auth", "trust", "--encoding", "UTF8"]);
        init.args(["--locale", "C", "--no-sync", "--pgdata"]).arg(&folder);
        let made = init.output().expect("`ci/test` installs postgresql");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { child: Mutex::default(), port, folder };
        server.run().await;
        Arc::new(server)
    }

    /// Starts the server again, with the files that it has.
    pub(crate) async fn run(&self) {
        let mut command = command("postgres", &self.folder);
        command.arg("-D").arg(&self.folder).args(["-h", "127.0.0.1", "-k", ""]);
        // Only a machine that fails loses what is not synchronized.
        command.args(["-p", &self.port.to_string(), "-c", "fsync=off"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        *self.child.lock().unwrap() = Some(command.spawn().unwrap());
        for _ in 0..600 {
            if let Ok(client) = connect(&self.url()).await {
                if client.batch_execute("SELECT 1").await.is_ok() {
                    return;
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("postgres does not answer on port {}", self.port);
    }

    /// Ends the server at once, without a checkpoint: it recovers when it starts again.
    pub(crate) fn kill(&self) {
        let Some(mut child) = self.child.lock().unwrap().take() else { return };
        // Unlike SIGKILL, it also ends the processes that the server has started.
        let quit = Command::new("kill").args(["-QUIT", &child.id().to_string()]).status();
        if !quit.is_ok_and(|status| status.success()) {
            let _ = child.kill();
        }
        let _ = child.wait();
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// Runs SQL.
    pub(crate) async fn execute(&self, sql: &str) {
        connect(&self.url()).await.unwrap().batch_execute(sql).await.unwrap();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns the URL of the server, or of a relay.
pub(crate) fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Returns a program of PostgreSQL, which is not in the path on Debian. It refuses to run as root.
/// Then the user `postgres` runs it, and owns the folder.
fn command(program: &str, folder: &Path) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let paths = versions.map(|version| version.path().join("bin").join(program));
    let newest = paths.filter(|path| path.exists()).max();
    let mut command = Command::new(newest.unwrap_or_else(|| program.into()));
    command.current_dir(folder);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let user = fs::metadata("/var/lib/postgresql").expect("`ci/test` installs postgresql");
        std::os::unix::fs::chown(folder, Some(user.uid()), Some(user.gid())).unwrap();
        command.uid(user.uid()).gid(user.gid());
    }
    command
}

/// Relays connections to a port. It can lose the answer to an append, and stall.
pub(crate) struct Relay {
    pub(crate) port: u16,
    loses_answer: Arc<AtomicBool>,
    stalls: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port_of_relay = listener.local_addr().unwrap().port();
        let (loses_answer, stalls) = (Arc::default(), Arc::default());
        let relay = Self { port: port_of_relay, loses_answer, stalls };
        let (loses, stalls) = (relay.loses_answer.clone(), relay.stalls.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(pass(socket, port, loses.clone(), stalls.clone()));
            }
        });
        relay
    }

    /// Closes the connection that makes the next append, after the server has answered it.
    pub(crate) fn lose_answer(&self) {
        self.loses_answer.store(true, Ordering::SeqCst);
    }

    /// Keeps all connections open, and passes no answer.
    pub(crate) fn stall(&self) {
        self.stalls.store(true, Ordering::SeqCst);
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
                // The text of the statement is at the start of the request.
                let is_append = request[..len].windows(10).any(|part| part == b"sse_append");
                is_losing |= is_append && loses.swap(false, Ordering::SeqCst);
                if server.write_all(&request[..len]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(len @ 1..) = read else { return };
                if stalls.load(Ordering::SeqCst) {
                    continue;
                }
                if is_losing || client.write_all(&answer[..len]).await.is_err() {
                    return;
                }
            }
        }
    }
}
