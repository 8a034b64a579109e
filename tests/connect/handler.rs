//! `event_channel_handler`: a function as a service.

use http::{Method, Request, Response};
use tower::ServiceExt as _;
use tower_sse::{
    BoxError, Buffer, Connect, Event, EventBody, connect::ResponseHead, event_channel_handler,
};

use crate::support::{
    decode,
    handlers::sends,
    http::{Server, call, get, read_incoming, request},
    read_all, read_text,
};

#[tokio::test(start_paused = true)]
async fn a_function_is_a_service_and_settings_are_methods() {
    fn is_service<S: tower::Service<Request<()>, Response = Response<EventBody>>>(service: S) -> S {
        service
    }
    async fn f(request: Request<()>, events: tower_sse::EventSender) -> Result<(), BoxError> {
        events.send(Event::new(request.uri().path())).await?;
        Ok(())
    }
    let plain = is_service(event_channel_handler(f));
    let with_options =
        is_service(event_channel_handler(f).buffer(Buffer::fixed(1)).without_greeting());
    let body = plain.oneshot(get("/a")).await.unwrap().into_body();
    assert_eq!(read_text(body).await, ": connected\ndata: /a\n\n");
    let body = with_options.oneshot(get("/b")).await.unwrap().into_body();
    assert_eq!(read_text(body).await, "data: /b\n\n");

    // With `on_connect`.
    let app = sends(vec![Event::new("x")])
        .on_connect(|connect: Connect| async move { Ok(connect.accept()) });
    let response = call(&app, get("/")).await;
    assert_eq!(read_text(response.into_body()).await, ": connected\ndata: x\n\n");
}

#[tokio::test(start_paused = true)]
async fn the_function_gets_request_head_and_sender_and_fails_by_returning_an_error() {
    let handler = event_channel_handler(|request: Request<&'static str>, events| async move {
        let head = request.extensions().get::<ResponseHead>().unwrap();
        let seen = format!(
            "{} {} {} {} {}",
            request.method(),
            request.uri(),
            request.headers()["x-who"].to_str()?,
            request.body(),
            head.headers()["content-type"].to_str()?,
        );
        events.send(Event::new(seen)).await?;
        Err("raised".into())
    });
    let request = Request::post("/a?b=1").header("x-who", "me").body("the body").unwrap();
    let mut body = call(&handler, request).await.into_body();
    let (frames, error) = read_all(&mut body).await;
    let sent = "POST /a?b=1 me the body text/event-stream";
    assert_eq!(decode(frames.concat()), [("message".into(), sent.into(), None)]);
    assert_eq!(error.unwrap().get_ref().to_string(), "raised");
}

#[tokio::test(start_paused = true)]
async fn a_handler_serves_the_methods_of_its_setting_and_any_accept() {
    let plain = || sends(vec![Event::new("x")]);
    let all = plain().methods([Method::PUT, Method::GET]);
    for (handler, method, is_served) in [
        (plain(), Method::GET, true),
        (plain(), Method::POST, true),
        (plain(), Method::PUT, false),
        (plain(), Method::OPTIONS, false),
        (all.clone(), Method::PUT, true),
        (all, Method::DELETE, false),
    ] {
        for accept in ["text/html", "text/event-stream", "nonsense"] {
            let request = Request::builder().method(&method).header("accept", accept).body(());
            let response = call(&handler, request.unwrap()).await;
            if is_served {
                assert_eq!(read_text(response.into_body()).await, ": connected\ndata: x\n\n");
            } else {
                assert_eq!(response.status(), 405, "{method}");
                let allowed = &response.headers()["allow"];
                assert!(allowed == "GET, HEAD, POST" || allowed == "PUT, GET", "{allowed:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_sends_events_and_comments() {
    let handler = event_channel_handler(|_, events| async move {
        events.send(Event::comment("a comment")).await?;
        events.send(Event::new("data").with_type("type")).await?;
        Ok(())
    })
    .without_greeting();
    let text = read_text(call(&handler, get("/")).await.into_body()).await;
    assert_eq!(text, ": a comment\n\nevent: type\ndata: data\n\n");
}

#[tokio::test]
async fn independent_clients_read_counted_events_strings_and_lines_over_both_versions() {
    let handler =
        event_channel_handler(|request: Request<hyper::body::Incoming>, events| async move {
            match request.uri().path() {
                "/counted" => {
                    for n in 0..20 {
                        events.send(Event::new(n).with_type("count").with_id(n)).await?;
                        tokio::task::yield_now().await;
                    }
                }
                "/strings" => {
                    for text in ["bare", "strings"] {
                        events.send(Event::new(text)).await?;
                    }
                }
                "/lines" => events.send(Event::new("one\r\ntwo\rthree\n")).await?,
                _ => {}
            }
            Ok(())
        });
    let server = Server::start(handler).await;
    let message = |data: &str| ("message".to_owned(), data.to_owned(), None);
    let counted = (0..20).map(|n: u8| ("count".to_owned(), n.to_string(), Some(n.to_string())));
    for (path, expected) in [
        ("/counted", counted.collect()),
        ("/strings", vec![message("bare"), message("strings")]),
        ("/lines", vec![message("one\ntwo\nthree\n")]),
        ("/completion", vec![]),
    ] {
        let answer = server.http1().await.send_request(request(Method::GET, path)).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let (bytes, error) = read_incoming(answer.into_body()).await;
        assert!(error.is_none(), "{path}: {error:?}");
        assert_eq!(decode(bytes), expected, "{path}");

        let (mut client, _) = server.http2().await;
        let answer = client.send_request(request(Method::GET, path)).await.unwrap();
        let (bytes, error) = read_incoming(answer.into_body()).await;
        assert!(error.is_none(), "{path}: {error:?}");
        assert_eq!(decode(bytes), expected, "{path} over HTTP/2");
    }
}

/// A handler that leaves the body unread loses its last events: the kernel resets the connection. The recipe "Read
/// the body of a request" says so.
#[tokio::test]
async fn a_handler_that_reads_the_body_of_its_request_loses_no_event_of_a_client_that_reads_late() {
    let handler =
        event_channel_handler(|request: Request<hyper::body::Incoming>, events| async move {
            let (body, error) = read_incoming(request.into_body()).await;
            assert!(error.is_none());
            for n in 0..200 {
                events.send(Event::new(format!("{n} of {} bytes", body.len()))).await?;
            }
            Ok(())
        });
    let server = Server::start(handler).await;
    let body = "x".repeat(65_000);
    let request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 65000\r\n\r\n{body}"
    );
    let mut client = server.raw(&request).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    client.read_to_end().await;
    assert!(client.text().contains("data: 199 of 65000 bytes\n\n"), "{}", client.text());
    assert!(client.text().ends_with("0\r\n\r\n"), "{}", client.text());
}
