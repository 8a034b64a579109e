//! Clients of Node.js and Python as processes, and what they report.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::support::process::{Example, Process};

/// Returns the folder of the clients. Installs them first.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let installed = Command::new(root.join("ci/clients")).output().unwrap();
        assert!(
            installed.status.success(),
            "ci/clients has failed: {}",
            String::from_utf8_lossy(&installed.stderr)
        );
        root.join("target/clients")
    })
}

/// Starts the example, with settings for tests. The pages of the clients are under `/assets`.
pub(crate) async fn cookbook(args: &[&str]) -> Example {
    let folder = folder().to_str().unwrap();
    let settings = ["--assets", folder, "--every", "20ms", "--retry", "200ms"];
    Example::start("cookbook", &[&settings, args].concat()).await
}

/// A client as a process. It is killed when this is dropped.
pub(crate) struct Script(Process);

impl Script {
    /// Starts a script of `tests/clients`.
    pub(crate) fn start(name: &str, args: &[&str]) -> Self {
        let folder = folder();
        let interpreter = if name.ends_with(".py") { "venv/bin/python" } else { "node" };
        let interpreter = folder.join(interpreter);
        Self(Process::start(Command::new(interpreter).arg(folder.join(name)).args(args)))
    }

    /// Returns the next report of the client, or `None` at its end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = self.0.line_or_end().await?;
        let report = serde_json::from_str(&line);
        Some(report.unwrap_or_else(|error| panic!("{line:?}: {error}")))
    }

    /// Returns all reports until one of this kind, which is the last.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut reports = Vec::new();
        while let Some(report) = self.next().await {
            let found = report.get(kind).is_some();
            reports.push(report);
            if found {
                return reports;
            }
        }
        panic!("the client has ended: {reports:?}");
    }

    /// Returns all reports to the end of the client.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut reports = Vec::new();
        while let Some(report) = self.next().await {
            reports.push(report);
        }
        reports
    }
}

/// Runs a client to its end, and returns its reports.
pub(crate) async fn run(name: &str, args: &[&str]) -> Vec<Value> {
    Script::start(name, args).rest().await
}

/// Asserts that a client of a model API reports the refusal of a wrong key.
pub(crate) async fn assert_wrong_key_is_refused(client: &str, url: &str) {
    let seen = run(client, &[url, "hello", "wrong"]).await;
    let [error] = &seen[..] else { panic!("{client}: {seen:?}") };
    assert_eq!(error["error"]["kind"], "AuthenticationError");
    assert_eq!(error["error"]["status"], 401);
    assert!(error["error"]["message"].as_str().unwrap().contains("the key is wrong"));
}

/// Lets a client of a model API leave after some reports. The caller looks at the end that the example reports.
pub(crate) async fn assert_client_leaves(client: &str, example: &Example, after: &str) {
    let url = format!("http://{}", example.addr);
    let seen = run(client, &[&url, "long", "secret", after]).await;
    assert_eq!(seen.last(), Some(&json!({"end": Value::Null})), "{client}");
}
