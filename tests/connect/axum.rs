//! The feature `axum`: bodies, refusals and the last event ID in handlers of axum.

use axum::{Router, body::Body, extract::Path, routing::get};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_sse::{Event, EventBody, LastEventId, Refusal, event_channel_handler};

async fn room(Path(room): Path<String>, last: Option<LastEventId>) -> Result<EventBody, Refusal> {
    if room == "private" {
        return Err(Refusal::new(StatusCode::FORBIDDEN).body("go away"));
    }
    Ok(EventBody::new(move |events| async move {
        let last = last.map_or("none".into(), |last| last.to_string());
        events.send(Event::new(format!("{room} after {last}"))).await?;
        Ok(())
    })
    .without_greeting())
}

async fn ask(app: &Router, request: Request<Body>) -> (u16, String, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type");
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn handlers_of_axum_return_bodies_and_refusals() {
    let app = Router::new().route("/rooms/{room}", get(room));
    let with_id = |path: &str, id: &str| {
        Request::get(path).header("last-event-id", id).body(Body::empty()).unwrap()
    };
    let plain = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let stream = |text: &str| (200, "text/event-stream".to_owned(), format!("data: {text}\n\n"));
    assert_eq!(ask(&app, plain("/rooms/7")).await, stream("7 after none"));
    assert_eq!(ask(&app, with_id("/rooms/7", "5")).await, stream("7 after 5"));
    assert_eq!(ask(&app, plain("/rooms/7?lastEventId=6")).await, stream("7 after 6"));
    let (status, _, text) = ask(&app, plain("/rooms/private")).await;
    assert_eq!((status, text.as_str()), (403, "go away"));
    let (status, _, text) = ask(&app, plain("/rooms/7?last_event_id=%FF")).await;
    assert_eq!((status, text.contains("not UTF-8")), (400, true), "{text}");
}

#[tokio::test]
async fn extractors_work_in_on_connect_and_a_head_has_no_length() {
    let handler = event_channel_handler(|request, events| async move {
        let room = request.extensions().get::<String>().ok_or("no room")?.clone();
        events.send(Event::new(room)).await?;
        Ok(())
    })
    .on_connect(|mut connect| async move {
        let Path(room) = connect.extract::<Path<String>>().await?;
        Ok(connect.accept().extension(room))
    })
    .without_greeting();
    let app: Router = Router::new().route("/rooms/{room}", axum::routing::get_service(handler));
    let request = Request::get("/rooms/7").body(Body::empty()).unwrap();
    assert_eq!(ask(&app, request).await.2, "data: 7\n\n");
    // A rejection keeps its status and its text.
    let request = Request::get("/rooms/%FF").body(Body::empty()).unwrap();
    let (status, kind, text) = ask(&app, request).await;
    assert_eq!((status, kind.as_str()), (400, "text/plain; charset=utf-8"));
    assert!(text.contains("UTF-8"), "{text}");
    let head = Request::head("/rooms/7").body(Body::empty()).unwrap();
    let response = app.oneshot(head).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("content-length"), "{:?}", response.headers());
}

#[tokio::test]
async fn the_error_of_an_unexpected_response_is_an_error_for_every_body() {
    async fn read(app: Router) -> Result<(), tower_sse::BoxError> {
        let response = app.oneshot(Request::get("/").body(Body::empty())?).await?;
        let _events = tower_sse::EventStream::from_response(response)?;
        Ok(())
    }
    let error = read(Router::new()).await.unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
}
