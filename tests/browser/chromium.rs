//! A headless Chromium that a test controls.

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
    id: String,
    // Dropped in this order: the browser writes to its profile until it has ended.
    _driver: Process,
    _profile: Profile,
}

/// Starts the driver, and returns its port. The driver picks a free port of IPv4 and ends if the
/// same port of IPv6 is in use. It is started again then.
async fn start_driver() -> (Process, u16) {
    let started = "ChromeDriver was started successfully on port ";
    for _ in 0..5 {
        let mut driver = Process::start(Command::new("chromedriver").arg("--port=0"));
        while let Some(line) = driver.line_or_end().await {
            if let Some(port) = line.strip_prefix(started) {
                return (driver, port.trim_end_matches('.').parse().unwrap());
            }
        }
    }
    panic!("chromedriver ended five times before it printed its port");
}

impl Browser {
    pub(crate) async fn start() -> Self {
        assert!(
            Command::new("chromedriver").arg("--version").output().is_ok(),
            "chromedriver is missing; ./ci/test installs it with the browser (Debian: chromium, chromium-driver)"
        );
        let (driver, port) = start_driver().await;
        let driver_addr = SocketAddr::from(([127, 0, 0, 1], port));
        let profile = Profile::new();
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
        let Value::Object(capabilities) = options else { unreachable!("it is written as one") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://{driver_addr}"))
            .await
            .unwrap();
        let id = client.capabilities().unwrap()["goog:processID"].to_string();
        let session = client.session_id().await.unwrap().unwrap();
        Self { client, driver_addr, session, id, _driver: driver, _profile: profile }
    }

    pub(crate) async fn goto(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// Evaluates an expression in the page.
    pub(crate) async fn eval(&self, expression: &str) -> Value {
        self.client.execute(&format!("return {expression};"), Vec::new()).await.unwrap()
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
    fn end_session(&self) -> io::Result<usize> {
        let mut driver = TcpStream::connect(self.driver_addr)?;
        driver.set_read_timeout(Some(PATIENCE))?;
        let Self { session, .. } = self;
        write!(driver, "DELETE /session/{session} HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        // It answers when the browser has ended.
        driver.read(&mut [0; 512])
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, expression: &str) {
        self.wait_for(expression, true.into()).await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A driver that is killed leaves its browser behind, so it is asked to end it first.
        if self.end_session().is_err() {
            let _ = Command::new("kill").args(["-KILL", &self.id]).status();
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
