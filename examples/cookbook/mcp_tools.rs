//! A tool server of the Model Context Protocol, without its transport. It has one tool, which asks the model.

use std::future::ready;

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde_json::{Value, json};

use crate::model::Model;

/// Returns the response to a request, or `None` if it calls a tool.
pub(crate) fn answer(request: &Value) -> Option<Value> {
    let known = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
    let wanted = &request["params"]["protocolVersion"];
    let version = known.into_iter().find(|version| wanted == version).unwrap_or("2025-11-25");
    let result = match request["method"].as_str().unwrap_or_default() {
        "tools/call" => return None,
        "initialize" => json!({"protocolVersion": version, "capabilities": {"tools": {}},
            "serverInfo": {"name": "cookbook", "version": "1"}}),
        "ping" => json!({}),
        "tools/list" => json!({"tools": [{"name": "ask", "description": "Asks the model.",
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}]}),
        _ => {
            let error = json!({"code": -32601, "message": "the method is unknown"});
            return Some(json!({"jsonrpc": "2.0", "id": request["id"], "error": error}));
        }
    };
    Some(json!({"jsonrpc": "2.0", "id": request["id"], "result": result}))
}

/// Calls the tool. Returns its messages: its progress, if the client has asked for that, and its result.
pub(crate) fn call(model: &Model, request: &Value) -> BoxStream<'static, Value> {
    let params = &request["params"];
    let (id, token) = (request["id"].clone(), params["_meta"]["progressToken"].clone());
    let result = move |text: &str, is_error: bool| {
        let content = json!([{"type": "text", "text": text}]);
        json!({"jsonrpc": "2.0", "id": id, "result": {"content": content, "isError": is_error}})
    };
    let words = model.answer(params["arguments"]["text"].as_str().unwrap_or_default());
    let (mut text, mut count, mut has_failed) = (String::new(), 0, false);
    let messages = words.map(Some).chain(stream::iter([None])).filter_map(move |word| {
        ready(match word {
            Some(Ok(word)) => {
                text += &word;
                count += 1;
                let params = json!({"progressToken": token, "progress": count, "message": word});
                let method = "notifications/progress";
                (!token.is_null())
                    .then(|| json!({"jsonrpc": "2.0", "method": method, "params": params}))
            }
            Some(Err(why)) => {
                has_failed = true;
                Some(result(why, true))
            }
            None => (!has_failed).then(|| result(&text, false)),
        })
    });
    messages.boxed()
}
