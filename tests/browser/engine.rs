//! A headless browser that a test controls.

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::support::process::{PATIENCE, Process};

/// A browser with a profile of its own. It ends when this is dropped, also when the test fails.
pub(crate) struct Browser {
    pub(crate) client: Client,
    driver_addr: SocketAddr,
    session: String,
    /// The process, if the driver reports it.
    id: Option<String>,
    // Dropped in this order: the browser writes to its profile until it has ended.
    _driver: Process,
    /// The screen of WebKit.
    _display: Option<Process>,
    _profile: Profile,
}

/// Which browser it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Chromium,
    Firefox,
    WebKit,
}

/// Starts the driver of Chromium or Firefox, and returns its port. It picks a free port of IPv4, and Chromium's ends
/// if the same port of IPv6 is in use. It is started again then.
async fn start_driver(command: impl Fn() -> Command, started: &str) -> (Process, u16) {
    for _ in 0..5 {
        let mut driver = Process::start(&mut command());
        while let Some(line) = driver.line_or_end().await {
            if let Some((_, port)) = line.split_once(started) {
                return (driver, port.trim_end_matches('.').parse().unwrap());
            }
        }
    }
    panic!("{:?} ended five times before it printed its port", command());
}

/// Starts the driver of WebKit, with a display of its own.
async fn start_webkit() -> (Process, Process, u16) {
    let mut display =
        Process::start(Command::new("Xvfb").args(["-displayfd", "1", "-nolisten", "tcp"]));
    let number = display.line().await;
    for _ in 0..5 {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = Process::start(
            Command::new("WebKitWebDriver")
                .arg(format!("--port={port}"))
                .env("DISPLAY", format!(":{number}"))
                .env_remove("WAYLAND_DISPLAY"),
        );
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return (display, driver, port);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("WebKitWebDriver does not listen");
}

/// `ci/geckodriver` installs it.
fn geckodriver() -> Command {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/target/geckodriver/bin/geckodriver");
    let mut command = match fs::exists(installed) {
        Ok(true) => Command::new(installed),
        _ => Command::new("geckodriver"),
    };
    command.args(["--port", "0", "--websocket-port", "0", "--log", "info"]);
    command
}

fn assert_installed(command: &mut Command, package: &str) {
    assert!(
        command.arg("--help").output().is_ok(),
        "{command:?} is missing; ./ci/test installs it ({package})"
    );
}

impl Browser {
    /// Starts Chromium.
    pub(crate) async fn start() -> Self {
        Self::of(Engine::Chromium).await
    }

    pub(crate) async fn of(engine: Engine) -> Self {
        let profile = Profile::new();
        let mut display = None;
        let (driver, port, options) = match engine {
            Engine::Chromium => {
                let command = || Command::new("chromedriver");
                assert_installed(&mut command(), "Debian: chromium, chromium-driver");
                let command = || {
                    let mut command = Command::new("chromedriver");
                    command.arg("--port=0");
                    command
                };
                let (driver, port) = start_driver(command, "started successfully on port ").await;
                let options = json!({"goog:chromeOptions": {"args": [
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-quic",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--disable-component-update",
                    "--disable-sync",
                    "--ignore-certificate-errors",
                    "--hide-scrollbars",
                    "--force-device-scale-factor=1.25",
                    format!("--user-data-dir={}", profile.0.display()),
                ]}});
                (driver, port, options)
            }
            Engine::Firefox => {
                assert_installed(&mut geckodriver(), "Debian: firefox-esr; ci/geckodriver");
                let (driver, port) = start_driver(geckodriver, "Listening on 127.0.0.1:").await;
                (driver, port, json!({"moz:firefoxOptions": {"args": ["-headless"]}}))
            }
            Engine::WebKit => {
                let command = || Command::new("WebKitWebDriver");
                assert_installed(&mut command(), "Debian: webkit2gtk-driver, xvfb");
                let (screen, driver, port) = start_webkit().await;
                display = Some(screen);
                (driver, port, json!({"webkitgtk:browserOptions": {"args": ["--automation"]}}))
            }
        };
        let driver_addr = SocketAddr::from(([127, 0, 0, 1], port));
        let Value::Object(capabilities) = options else { unreachable!("it is written as one") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://{driver_addr}"))
            .await
            .unwrap();
        let known = client.capabilities().unwrap();
        let id = ["goog:processID", "moz:processID"].iter().find_map(|name| known.get(*name));
        let id = id.map(Value::to_string);
        let session = client.session_id().await.unwrap().unwrap();
        let (_driver, _display, _profile) = (driver, display, profile);
        Self { client, driver_addr, session, id, _driver, _display, _profile }
    }

    pub(crate) async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Evaluates an expression in the page.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        // Firefox runs scripts of a driver where the page's `let` and `const` are not visible.
        let script = "return window.eval(arguments[0]);";
        self.client.execute(script, vec![expression.into()]).await.unwrap()
    }

    /// Waits until an expression has a value.
    pub(crate) async fn wait_for(&self, expression: &str, expected: Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.eval(expression).await;
            if value == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{expression} is {value}, not {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the browser without a runtime: after a failed test there may be none.
    fn end_session(&self) -> io::Result<()> {
        let Self { driver_addr, session, .. } = self;
        let mut driver = TcpStream::connect(driver_addr)?;
        driver.set_read_timeout(Some(PATIENCE))?;
        // Firefox's driver answers only to its own name.
        write!(driver, "DELETE /session/{session} HTTP/1.1\r\nhost: {driver_addr}\r\n\r\n")?;
        // It answers when the browser has ended.
        let mut answer = [0; 12];
        driver.read_exact(&mut answer)?;
        match &answer {
            b"HTTP/1.1 200" => Ok(()),
            other => Err(io::Error::other(String::from_utf8_lossy(other).into_owned())),
        }
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        self.wait_for(expression, true.into()).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A driver that is killed leaves its browser behind, so it is asked to end it first.
        if let (Err(_), Some(id)) = (self.end_session(), &self.id) {
            let _ = Command::new("kill").args(["-KILL", id]).status();
        }
    }
}

/// A folder that is removed when this is dropped.
struct Profile(PathBuf);

impl Profile {
    fn new() -> Self {
        let name = format!("tower-sse-browser-{}", uuid::Uuid::new_v4());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // The last processes of the browser may still write to it.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
