//! A chat with any endpoint in OpenAI's format. Ctrl-C stops an answer, and Ctrl-D ends the chat.
//! `OPENAI_API_KEY=… OPENAI_MODEL=… cargo run --example chat --features full -- --url URL`
use std::{env::var, io, io::Write as _, process::ExitCode, time::Duration};

use clap::{Command, arg};
use futures_util::StreamExt as _;
use http::Request;
use serde_json::{Value, json};
use tower_sse::{BoxError, EventSource, EventStreamExt as _, Reconnection};

#[tokio::main]
async fn main() -> io::Result<ExitCode> {
    let url = arg!(--url <URL> "The URL of the chat completions").required(true);
    let once = arg!(--once <TEXT> "Asks once, and exits: with 0, or with 1 after an error");
    let args = Command::new("chat").args([url, once]).get_matches();
    let url = args.get_one("url").map_or("", String::as_str);
    let (once, mut messages) = (args.get_one::<String>("once").cloned(), Vec::new());
    loop {
        let next = if once.is_some() { &once } else { &io::stdin().lines().next().transpose()? };
        let Some(text) = next else { return Ok(ExitCode::SUCCESS) };
        messages.push(json!({"role": "user", "content": text}));
        let answer = tokio::select! {
            answer = ask(url, &mut messages) => answer,
            _ = tokio::signal::ctrl_c() => Err("stopped".into()),
        };
        writeln!(io::stdout())?;
        let is_ok = answer.inspect_err(|error| eprintln!("{error:#}")).is_ok();
        messages.truncate(messages.len() - usize::from(!is_ok));
        if once.is_some() {
            return Ok(ExitCode::from(u8::from(!is_ok)));
        }
    }
}

async fn ask(url: &str, messages: &mut Vec<Value>) -> Result<(), BoxError> {
    let body = json!({"model": var("OPENAI_MODEL").unwrap_or("parrot".into()), "messages": messages,
        "stream": true, "stream_options": {"include_usage": true}});
    let key = format!("Bearer {}", var("OPENAI_API_KEY").unwrap_or_default());
    let request = Request::post(url).header("content-type", "application/json");
    let request = request.header("authorization", key).body(body.to_string())?;
    let source = EventSource::send(request).reconnection(Reconnection::until_event().attempts(4));
    let (mut answer, mut is_complete, limit) = (String::new(), false, Duration::from_secs(300));
    let source = source.header_timeout(limit).idle_timeout(limit).with_unfinished();
    let mut chunks = source.until_data("[DONE]").json::<Value>().fail_on("error");
    while let Some(chunk) = chunks.next().await.transpose()? {
        chunk["error"].is_null().then_some(()).ok_or_else(|| chunk["error"].to_string())?;
        let choice = &chunk["choices"][0];
        let text = choice["delta"]["content"].as_str().unwrap_or_default();
        write!(io::stdout(), "{text}")?;
        io::stdout().flush()?;
        answer += text;
        is_complete |= choice["finish_reason"].is_string();
        if chunk["usage"].is_object() {
            eprintln!("\n{}", chunk["usage"]);
        }
    }
    let message = json!({"role": "assistant", "content": answer});
    let is_complete = is_complete || chunks.get_ref().is_reached();
    is_complete.then(|| messages.push(message)).ok_or("the answer was cut off".into())
}
