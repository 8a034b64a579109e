//! An event source over reqwest, wrapped as a tower service in six lines.
//!
//! ```text
//! cargo run --example reqwest -- http://127.0.0.1:8080/events
//! ```

use http::{Request, Response};
use reqwest::{Body, Client};
use tower::service_fn;
use tower_sse::{BoxError, EventSource};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = std::env::args().nth(1).ok_or("give the URL of an event stream")?;
    // The application chooses the cryptography provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The event source follows redirects itself: it treats method, body and secrets correctly.
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let service = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let response = client.execute(request.try_into()?).await?;
            Ok::<_, reqwest::Error>(Response::from(response))
        }
    });
    let mut source = EventSource::get(service, url);
    while let Some(event) = source.next_event().await {
        println!("{}", event?.data());
    }
    Ok(())
}
