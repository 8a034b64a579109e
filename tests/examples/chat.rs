//! The example `chat`, against a server on a real socket that answers well or badly.

use std::{
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    time::timeout,
};
#[cfg(unix)]
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpListener,
    process::ChildStdout,
};

#[cfg(unix)]
use crate::support::{SECOND, socket::read_request};
use crate::support::{
    process::{PATIENCE, executable},
    socket::{Act, chunked, refusal, refused_url, server, status, stream},
};

/// Starts `chat` with these arguments. The process is killed when it is dropped.
fn start(args: &[&str]) -> Child {
    Command::new(executable("chat"))
        .args(args)
        .env("OPENAI_API_KEY", "secret")
        .env("OPENAI_MODEL", "model-1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Gives `chat` its standard input, and waits for its end.
async fn finish(mut chat: Child, input: &str) -> Output {
    let mut stdin = chat.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    timeout(PATIENCE, chat.wait_with_output()).await.expect("its end").unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// An answer of the server and the result of `chat --once`.
struct Row {
    name: &'static str,
    acts: Vec<Act>,
    stdout: &'static str,
    code: i32,
    /// The texts that standard error contains.
    errors: &'static [&'static str],
    requests: usize,
}

/// Runs `chat --once` for each row, one after the other, and asserts all results.
async fn check(rows: impl IntoIterator<Item = Row>) {
    let mut wrong = Vec::new();
    for Row { name, acts, stdout, code, errors, requests } in rows {
        let (url, seen) = server(acts).await;
        let output = finish(start(&["--once", "hi", "--url", &url]), "").await;
        let stderr = text(&output.stderr);
        let is_right = text(&output.stdout) == stdout
            && output.status.code() == Some(code)
            && errors.iter().all(|error| stderr.contains(error))
            && seen.requests() == requests;
        if !is_right {
            wrong.push(format!("{name}: {output:?}, {} requests", seen.requests()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns the event with one token.
fn token(text: &str) -> String {
    let chunk =
        json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
    format!("data: {chunk}\n\n")
}

const FINISHED: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"total_tokens\":12}}\n\n";

const DONE: &str = "data: [DONE]\n\n";

/// Returns the events of a good answer.
fn answer() -> String {
    [&token("Hel"), &token("lo "), FINISHED, USAGE, DONE].concat()
}

fn good() -> Act {
    Act::Writes(stream(&answer()))
}

/// Returns an act with the token `Hel`, and these events after it.
fn after_token(events: &str) -> Act {
    Act::Writes(stream(&(token("Hel") + events)))
}

/// Returns an act that refuses with a JSON body.
fn refuses(line: &str, body: &str) -> Act {
    Act::Writes(refusal(&format!("{line}\r\ncontent-type: application/json"), body))
}

/// Returns the role and the content of each message of a request.
fn messages(body: &str) -> Vec<(String, String)> {
    let body: Value = serde_json::from_str(body).unwrap();
    let field = |message: &Value, name| message[name].as_str().unwrap().to_owned();
    let message = |message| (field(message, "role"), field(message, "content"));
    body["messages"].as_array().unwrap().iter().map(message).collect()
}

fn message(role: &str, content: &str) -> (String, String) {
    (role.to_owned(), content.to_owned())
}

#[tokio::test]
async fn chat_prints_the_answer_to_a_post_and_its_usage() {
    let (url, seen) = server([good()]).await;
    let output = finish(start(&["--once", "say \"hi\"", "--url", &url]), "").await;
    assert_eq!(text(&output.stdout), "Hello \n", "{output:?}");
    assert_eq!(text(&output.stderr).trim(), r#"{"total_tokens":12}"#);
    assert_eq!(output.status.code(), Some(0));

    assert_eq!(seen.methods(), ["POST"]);
    let head = &seen.heads()[0];
    for header in ["content-type: application/json", "authorization: Bearer secret"] {
        assert!(head.lines().any(|line| line == header), "{head}");
    }
    let body: Value = serde_json::from_str(&seen.bodies()[0]).unwrap();
    let expected = json!({
        "model": "model-1",
        "messages": [{"role": "user", "content": "say \"hi\""}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn chat_reads_each_form_of_a_complete_answer() {
    let row = |name, act| Row {
        name,
        acts: vec![act],
        stdout: "Hel\n",
        code: 0,
        errors: &[],
        requests: 1,
    };
    let hello = |name, act| Row { stdout: "Hello \n", ..row(name, act) };
    let [finished, done] = [FINISHED.trim_end(), DONE.trim_end()];
    let last = FINISHED.replace("{}", r#"{"content":"lo "}"#);
    check([
        hello("a chunked body", chunked(&answer(), Duration::ZERO)),
        hello("CRLF", Act::Writes(stream(&answer().replace('\n', "\r\n")))),
        hello("byte by byte", Act::Drips(stream(&answer()), Duration::from_millis(1))),
        hello("[DONE] on an open connection", Act::Holds(stream(&answer()))),
        row("no finish_reason", after_token(DONE)),
        row("no [DONE]", after_token(FINISHED)),
        row("no [DONE], no blank line", after_token(&format!("{finished}\n"))),
        row("no [DONE], no line end", after_token(finished)),
        hello("no [DONE], no blank line after a token", after_token(last.trim_end())),
        row("no line end after [DONE]", after_token(&format!("{FINISHED}{done}"))),
        row("no finish_reason, no line end after [DONE]", after_token(done)),
        row("no space before [DONE]", after_token("data:[DONE]\n\n")),
        row("spaces around [DONE]", after_token("data:  [DONE] \n\n")),
        Row { stdout: "\n", ..row("no token", Act::Writes(stream(DONE))) },
        row(
            "events after [DONE]",
            after_token(&format!("{DONE}{}data: no JSON\n\n", token("more"))),
        ),
        hello(
            "comments and empty events",
            Act::Writes(stream(&format!(
                ": OPENROUTER PROCESSING\n\n{}data:\n\n: OPENROUTER PROCESSING\n\n\
                 data: \n\nid: 7\ndata:\n\nid: 8\n\n{}{FINISHED}data\n\n{DONE}",
                token("Hel"),
                token("lo "),
            ))),
        ),
    ])
    .await;
}

#[tokio::test]
async fn chat_asks_again_if_nothing_of_the_answer_was_read() {
    let row = |name, act| Row {
        name,
        acts: vec![act, good()],
        stdout: "Hello \n",
        code: 0,
        errors: &[r#"{"total_tokens":12}"#],
        requests: 2,
    };
    check([
        row("503", Act::Writes(status("503 Service Unavailable"))),
        row("a reset before the first byte", Act::Resets(String::new())),
        row("a reset after a comment", Act::Resets(stream(": OPENROUTER PROCESSING\n\n"))),
        row("an end after a comment", Act::Writes(stream(": OPENROUTER PROCESSING\n\n"))),
    ])
    .await;
}

#[tokio::test]
async fn chat_waits_as_long_as_a_rate_limit_says() {
    let limit = refuses(
        "429 Too Many Requests\r\nretry-after: 1",
        r#"{"error":{"message":"Rate limit reached"}}"#,
    );
    // The build of the example does not count.
    executable("chat");
    let started = Instant::now();
    check([Row {
        name: "429",
        acts: vec![limit, good()],
        stdout: "Hello \n",
        code: 0,
        errors: &[],
        requests: 2,
    }])
    .await;
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn chat_reports_a_refusal_in_the_words_of_the_server() {
    let row = |name, act, errors| Row {
        name,
        acts: vec![act, good()],
        stdout: "\n",
        code: 1,
        errors,
        requests: 1,
    };
    let too_large = r#"{"error":{"message":"max_tokens is too large: 999999"}}"#;
    let quota = r#"{"error":{"message":"You exceeded your current quota",
        "type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let no_quota = "429 Too Many Requests\r\nx-should-retry: false\r\nretry-after: 3600";
    let redirect = Act::Writes(status("302 Found\r\nlocation: /login"));
    let login = "200 OK\r\ncontent-type: text/html";
    check([
        row(
            "400",
            refuses("400 Bad Request", too_large),
            &["400", "max_tokens is too large: 999999"],
        ),
        row(
            "no quota",
            refuses(no_quota, quota),
            &["429", "You exceeded your current quota", "insufficient_quota"],
        ),
        row(
            "200 with an error",
            refuses("200 OK", r#"{"error":{"message":"model not loaded"}}"#),
            &["application/json", "model not loaded"],
        ),
        Row {
            acts: vec![redirect, Act::Writes(refusal(login, "<title>Sign in</title>"))],
            requests: 2,
            ..row("a login page", good(), &["/login", "text/html"])
        },
    ])
    .await;
}

#[tokio::test]
async fn chat_gives_up_after_four_attempts() {
    let overloaded = refuses(
        "529 Overloaded\r\nretry-after-ms: 10",
        r#"{"error":{"type":"overloaded_error","message":"Overloaded, try again"}}"#,
    );
    check([Row {
        name: "529",
        acts: vec![overloaded],
        stdout: "\n",
        code: 1,
        errors: &["529", "Overloaded, try again"],
        requests: 4,
    }])
    .await;
}

#[tokio::test]
async fn chat_reports_why_there_is_no_connection() {
    let output = finish(start(&["--once", "hi", "--url", &refused_url().await]), "").await;
    assert_eq!(text(&output.stdout), "\n");
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("refused") && stderr.contains("4 attempts"), "{stderr}");
}

#[tokio::test]
async fn chat_never_asks_again_after_the_first_token() {
    let row = |name, act, errors| Row {
        name,
        acts: vec![act, good()],
        stdout: "Hel\n",
        code: 1,
        errors,
        requests: 1,
    };
    check([
        row("a reset", Act::Resets(stream(&token("Hel"))), &["reset"]),
        row("an end", after_token(""), &["cut off"]),
        row("an end in an event", after_token("data: {\"choices\":[{\"del"), &["[{\"del: EOF"]),
        row(
            "an event with the type error",
            after_token(&format!("event: error\ndata: {{\"message\":\"overloaded\"}}\n\n{DONE}")),
            &["overloaded"],
        ),
        row(
            "an error as data",
            after_token(&format!("data: {{\"error\":{{\"message\":\"boom\"}}}}\n\n{DONE}")),
            &["boom"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn chat_sends_the_history_with_each_line_of_its_input() {
    let second = Act::Writes(stream(&[&token("Bye"), FINISHED, DONE].concat()));
    let (url, seen) = server([good(), second]).await;
    let output = finish(start(&["--url", &url]), "one\ntwo\n").await;
    assert_eq!(text(&output.stdout), "Hello \nBye\n", "{output:?}");
    assert_eq!(text(&output.stderr).trim(), r#"{"total_tokens":12}"#);
    assert_eq!(output.status.code(), Some(0));

    let history: Vec<_> = seen.bodies().iter().map(|body| messages(body)).collect();
    let one = message("user", "one");
    let expected =
        [vec![one.clone()], vec![one, message("assistant", "Hello "), message("user", "two")]];
    assert_eq!(history, expected);
}

#[tokio::test]
async fn chat_goes_on_after_an_error() {
    let (url, seen) = server([refuses("400 Bad Request", "no such model"), good()]).await;
    let output = finish(start(&["--url", &url]), "one\ntwo\n").await;
    assert_eq!(text(&output.stdout), "\nHello \n", "{output:?}");
    assert!(text(&output.stderr).contains("no such model"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(messages(&seen.bodies()[1]).last().unwrap(), &message("user", "two"));
}

/// Interrupts a process, as Ctrl-C does.
#[cfg(unix)]
fn interrupt(chat: &Child) {
    let id = chat.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
}

/// Waits until this text is on standard output.
#[cfg(unix)]
async fn wait_for(stdout: &mut BufReader<ChildStdout>, expected: &str) {
    let mut read = vec![0; expected.len()];
    timeout(PATIENCE, stdout.read_exact(&mut read)).await.expect("more output").unwrap();
    assert_eq!(text(&read), expected);
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_ends_chat_that_asks_once() {
    let (url, seen) = server([Act::Holds(stream(&token("Hel")))]).await;
    let mut chat = start(&["--once", "hi", "--url", &url]);
    let mut stdout = BufReader::new(chat.stdout.take().unwrap());
    // The token is there while the answer is open.
    wait_for(&mut stdout, "Hel").await;
    interrupt(&chat);
    let output = finish(chat, "").await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(text(&output.stderr), "stopped\n");
    wait_for(&mut stdout, "\n").await;
    assert_eq!(seen.requests(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_stops_an_answer_on_the_server_and_the_chat_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut chat = start(&["--url", &url]);
    let mut stdin = chat.stdin.take().unwrap();
    let mut stdout = BufReader::new(chat.stdout.take().unwrap());
    let mut stderr = BufReader::new(chat.stderr.take().unwrap());

    stdin.write_all(b"one\n").await.unwrap();
    let (mut socket, _) = timeout(PATIENCE, listener.accept()).await.expect("a request").unwrap();
    read_request(&mut socket).await.unwrap();
    socket.write_all(stream(&token("Hel")).as_bytes()).await.unwrap();
    wait_for(&mut stdout, "Hel").await;
    let closed = async { socket.read(&mut [0]).await.unwrap_or(0) };
    tokio::pin!(closed);
    assert!(timeout(SECOND / 4, &mut closed).await.is_err(), "closed before the interrupt");
    interrupt(&chat);
    assert_eq!(timeout(PATIENCE, closed).await.expect("a closed connection"), 0);
    let mut line = String::new();
    timeout(PATIENCE, stderr.read_line(&mut line)).await.expect("a message").unwrap();
    assert_eq!(line, "stopped\n");
    wait_for(&mut stdout, "\n").await;

    // The process still runs, and asks the next question.
    stdin.write_all(b"two\n").await.unwrap();
    let (mut socket, _) = timeout(PATIENCE, listener.accept()).await.expect("a request").unwrap();
    let (_, body) = read_request(&mut socket).await.unwrap();
    assert_eq!(messages(&body).last().unwrap(), &message("user", "two"));
    socket.write_all(stream(&answer()).as_bytes()).await.unwrap();
    wait_for(&mut stdout, "Hello \n").await;
    drop(stdin);
    let ended = timeout(PATIENCE, chat.wait()).await.expect("its end").unwrap();
    assert_eq!(ended.code(), Some(0));
}
