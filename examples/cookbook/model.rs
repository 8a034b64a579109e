//! A stand-in for a model, which repeats the prompt word by word.
//!
//! A prompt with `fail` in it fails half way, one with `think` pauses before the first word, and one with `long`
//! has ten thousand words more.

use std::{future::ready, time::Duration};

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use serde::Deserialize;
use tokio::time::sleep;

/// The fields that requests to OpenAI's and Anthropic's APIs share.
#[derive(Deserialize)]
pub(crate) struct Question {
    pub(crate) model: String,
    messages: Vec<Message>,
    #[serde(default)]
    pub(crate) stream: bool,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

impl Question {
    /// Returns the text of the last message.
    pub(crate) fn prompt(&self) -> &str {
        self.messages.last().map_or("", |last| &last.content)
    }
}

/// The words of an answer, or the reason why there are no more.
pub(crate) type Words = BoxStream<'static, Result<String, &'static str>>;

#[derive(Clone)]
pub(crate) struct Model {
    every: Duration,
}

impl Model {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every }
    }

    /// Returns the words of the answer. The model stops when they are dropped.
    pub(crate) fn answer(&self, prompt: &str) -> Words {
        let mut answer = format!("You said: {prompt}");
        if prompt.contains("long") {
            (0..10_000).for_each(|n| answer += &format!(" {n}"));
        }
        let words = answer.split_inclusive(' ').map(|word| Ok(word.to_owned()));
        let mut words: Vec<_> = words.map(Some).collect();
        if prompt.contains("fail") {
            words.truncate(words.len().div_ceil(2));
            words.push(Some(Err("the model has failed")));
        }
        // The end takes as long as a word.
        words.push(None);
        let thinks = Duration::from_secs(u64::from(prompt.contains("think")));
        let every = self.every;
        let words = stream::iter(words).enumerate().then(move |(n, word)| async move {
            sleep(if n == 0 { every + thinks } else { every }).await;
            word
        });
        words.filter_map(ready).boxed()
    }
}
