//! The proxies, each started from its file in `deploy/`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use http::StatusCode;
use tokio::time::{Instant, sleep};

use crate::{
    client::{Certificate, Front, Protocol},
    support::process::{PATIENCE, signal},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Haproxy,
    Varnish,
    Apache,
    Caddy,
}

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Haproxy => "haproxy.cfg",
            Self::Varnish => "varnish.vcl",
            Self::Apache => "apache.conf",
            Self::Caddy => "Caddyfile",
        }
    }

    /// Returns the text of the file in `deploy/`.
    pub(crate) fn text(self) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(self.file());
        fs::read_to_string(path).unwrap()
    }

    /// Returns the settings that cut a stream without bytes, as they stand in the file, with their unit.
    fn idle_timeouts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Nginx => &[("proxy_read_timeout 60", "proxy_read_timeout ")],
            Self::Haproxy => &[
                ("timeout client 60", "timeout client "),
                ("timeout server 60", "timeout server "),
            ],
            Self::Varnish => &[("-p pipe_timeout=60", "-p pipe_timeout=")],
            Self::Apache => &[("ProxyTimeout 60", "ProxyTimeout ")],
            Self::Caddy => &[("read_timeout 60", "read_timeout ")],
        }
    }

    /// Returns changes that have to do with the machine only: paths, limits, and how the proxy ends.
    fn changes(self, folder: &str) -> Vec<(&'static str, String)> {
        match self {
            Self::Nginx => vec![
                ("/run/nginx.pid", format!("{folder}/nginx.pid")),
                ("/var/log/nginx", folder.to_owned()),
                (
                    "access_log off;",
                    ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                        .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
                        .join(" ")
                        + " access_log off;",
                ),
            ],
            // Each connection takes two file descriptors, and a user has few.
            Self::Haproxy => vec![("maxconn 20000", "maxconn 200".into())],
            Self::Caddy => vec![("auto_https off", "auto_https off\n\tadmin off".into())],
            Self::Varnish | Self::Apache => vec![],
        }
    }

    /// Writes the files, and returns the command that stays in the foreground.
    fn command(self, text: &str, folder: &Path, front: SocketAddr) -> Command {
        let file = folder.join(self.file());
        fs::write(&file, text).unwrap();
        let mut command = match self {
            Self::Nginx => {
                let mut command = Command::new(program("nginx"));
                command.arg("-p").arg(folder).arg("-c").arg(file).args(["-g", "daemon off;"]);
                command
            }
            Self::Haproxy => {
                let mut command = Command::new(program("haproxy"));
                command.arg("-db").arg("-f").arg(file);
                command
            }
            // Its command line is in the file.
            Self::Varnish => {
                let line =
                    text.lines().find_map(|line| line.strip_prefix("#   varnishd ")).unwrap();
                let line = line
                    .replace("/etc/varnish/varnish.vcl", file.to_str().unwrap())
                    .replace("127.0.0.1:8000", &front.to_string());
                let mut command = Command::new(program("varnishd"));
                command
                    .args(line.split(' '))
                    .args(["-F", "-j", "none", "-n"])
                    .arg(folder.join("work"));
                command
            }
            // It is a site, and Debian's file loads the modules.
            Self::Apache => {
                let folder = folder.display();
                let mut main = format!(
                    "ServerRoot {folder}\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\n\
                     ErrorLog {folder}/error.log\nServerName test\n"
                );
                let modules =
                    text.lines().find_map(|line| line.strip_prefix("#   a2enmod ")).unwrap();
                let modules = modules.split(" &&").next().unwrap().split(' ');
                let always = ["mpm_event", "authz_core", "socache_shmcb"];
                for module in always.into_iter().chain(modules) {
                    let file = format!("/usr/lib/apache2/modules/mod_{module}.so");
                    main += &format!("LoadModule {module}_module {file}\n");
                }
                main += &format!("Include {}\n", file.display());
                let main_file = file.with_file_name("main.conf");
                fs::write(&main_file, main).unwrap();
                let mut command = Command::new(program("apache2"));
                command.args(["-DFOREGROUND", "-f"]).arg(main_file);
                command
            }
            Self::Caddy => {
                let mut command = Command::new(program("caddy"));
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
                for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
                    command.env(name, folder);
                }
                command
            }
        };
        let log = fs::File::create(folder.join("out.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command
    }
}

/// Returns the path of a program that may be in a folder for administrators.
fn program(name: &str) -> PathBuf {
    let path = Path::new("/usr/sbin").join(name);
    if path.exists() { path } else { name.into() }
}

/// How a proxy differs from its file.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// Texts that are replaced. Each must be in the file.
    pub(crate) changes: Vec<(String, String)>,
    /// The idle timeouts, in seconds.
    pub(crate) idle_timeout: Option<u32>,
}

/// A running proxy, with a folder of its own. Ended when it is dropped.
pub(crate) struct Proxy {
    child: Child,
    folder: PathBuf,
    plain: SocketAddr,
    tls: SocketAddr,
    certificate: Certificate,
}

impl Proxy {
    /// Starts a proxy in front of one server, or of two in the case of haproxy, and waits until a request
    /// passes.
    pub(crate) async fn start(kind: Kind, servers: &[SocketAddr], options: &Options) -> Self {
        for _ in 0..3 {
            let mut proxy = Self::launch(kind, servers, options);
            if proxy.has_started().await {
                return proxy;
            }
            let log = fs::read_to_string(proxy.folder.join("out.log")).unwrap_or_default();
            println!("{kind:?} has not started, perhaps since another program has its port: {log}");
        }
        panic!("{kind:?} does not start");
    }

    fn launch(kind: Kind, servers: &[SocketAddr], options: &Options) -> Self {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-sse-deploy-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // A process that had the same number may have been killed before it could remove its files.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let certificate = Certificate::new(&folder);
        let [plain, tls] = free_addresses();

        let mut text = kind.text();
        let mut replace = |from: &str, to: &str| {
            assert!(text.contains(from), "{from:?} is not in the file of {kind:?}");
            text = text.replace(from, to);
        };
        for (from, to) in &options.changes {
            replace(from, to);
        }
        if let Some(seconds) = options.idle_timeout {
            for (from, name) in kind.idle_timeouts() {
                replace(from, &format!("{name}{seconds}"));
            }
        }
        for (from, to) in kind.changes(folder.to_str().unwrap()) {
            replace(from, &to);
        }
        // The file of Varnish has the address in its command line, and no TLS.
        if kind != Kind::Varnish {
            replace(":8000", &format!(":{}", plain.port()));
            replace(":8443", &format!(":{}", tls.port()));
            replace("/etc/ssl/example", folder.to_str().unwrap());
        }
        if kind == Kind::Haproxy {
            match servers.get(1) {
                Some(second) => replace("127.0.0.1:8081", &second.to_string()),
                None => replace("server node2 127.0.0.1:8081", ""),
            }
        }
        replace("127.0.0.1:8080", &servers[0].to_string());
        let mut command = kind.command(&text, &folder, plain);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?} does not start: {error}. `ci/test` installs what is missing")
        });
        Self { child, folder, plain, tls, certificate }
    }

    /// Waits until a request passes. Returns false if the proxy has ended.
    async fn has_started(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(opened) =
                self.front("a proxy that starts", Protocol::Http1).try_open("/ready", &[]).await
            {
                if opened.response.status() == StatusCode::OK {
                    return true;
                }
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// Returns the address for clients: HTTP/1.1, or HTTP/2 over TLS.
    pub(crate) fn front(&self, name: &'static str, protocol: Protocol) -> Front {
        match protocol {
            Protocol::Http1 => Front::plain(name, self.plain),
            Protocol::Http2 => Front::tls(name, self.tls, &self.certificate),
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.plain
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.plain)
    }

    /// Sends a signal to the process that was started.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // They have processes of their own, which end with this signal.
        if matches!(self.child.try_wait(), Ok(None)) {
            let id = self.child.id().to_string();
            let _ = Command::new("kill").args(["-TERM", &id]).status();
            for _ in 0..200 {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns free addresses. Another program may take one before the proxy does. Then the proxy does not
/// start.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
