//! A source over reqwest, with the adapter of the docs.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use reqwest::{Body, Client, ClientBuilder, Error, cookie::Jar, redirect::Policy};
use tokio::time::timeout;
use tower::service_fn;
use tower_sse::{EventSource, Reconnection};

use crate::support::socket::{Act, server, status, stream};

const LIMIT: Duration = Duration::from_secs(20);

/// The adapter that the docs of the module `client` show.
fn over_reqwest(client: ClientBuilder, url: &str) -> EventSource {
    // The application chooses the cryptography provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client: Client = client.redirect(Policy::none()).build().unwrap();
    let service = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let response = client.execute(request.try_into()?).await;
            Ok::<_, Error>(Response::from(response.map_err(Error::without_url)?))
        }
    });
    EventSource::get(service, url)
}

#[tokio::test]
async fn a_source_over_reqwest_resumes_and_names_the_cause_of_a_failure() {
    let acts =
        [Act::Writes(stream("id: 1\nretry: 1\ndata: a\n\n")), Act::Holds(stream("data: b\n\n"))];
    let (url, seen) = server(acts).await;
    let mut source = over_reqwest(Client::builder(), &url);
    for data in ["a", "b"] {
        let event = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.data(), data);
    }
    assert!(seen.heads()[1].contains("last-event-id: 1\r\n"));

    let url = "http://no-such-host.invalid/?token=s3cret";
    let mut source = over_reqwest(Client::builder(), url).reconnection(Reconnection::never());
    let error = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_unknown_host(), "{error:#}");
    assert!(!format!("{error:#} {error:?}").contains("s3cret"), "{error:#} {error:?}");
}

/// As some login pages do: the cookie is set by a redirect, which leads back to the same URL.
#[tokio::test]
async fn a_cookie_store_of_reqwest_is_used_between_redirects_and_attempts() {
    let to_itself = "302 Found\r\nlocation: /events\r\nset-cookie: session=7";
    let acts = [
        Act::Writes(status(to_itself)),
        Act::Writes(stream("retry: 1\ndata: a\n\n")),
        Act::Holds(stream("data: b\n\n")),
    ];
    let (url, seen) = server(acts).await;
    let jar = Arc::new(Jar::default());
    let mut source = over_reqwest(Client::builder().cookie_provider(jar), &url);
    for data in ["a", "b"] {
        let event = timeout(LIMIT, source.next_event()).await.unwrap().unwrap().unwrap();
        assert_eq!(event.data(), data);
    }
    let sent: Vec<_> =
        seen.heads().iter().map(|head| head.contains("cookie: session=7\r\n")).collect();
    assert_eq!(sent, [false, true, true]);
}
