//! Authenticates a client before its stream begins, and keeps the session until the stream has
//! ended.
//!
//! ```text
//! cargo run --example auth
//! curl -i http://127.0.0.1:8080/events
//! curl -N http://127.0.0.1:8080/events -H 'authorization: Bearer token-of-ann'
//! ```
//!
//! A browser's `EventSource` cannot set a header. For pages, the same hook can check a cookie,
//! which the browser sends by itself (to another origin with `new EventSource(url,
//! {withCredentials: true})`). Or it can check a token in the query; URLs may appear in logs, so
//! the token should be valid for one stream and a few seconds only. After a 401 a browser does not
//! reconnect by itself.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use clap::Parser;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use tokio::{net::TcpListener, time::sleep};
use tower_sse::{BoxError, Connect, Event, Farewell, Refusal, Shutdown, event_channel_handler};

/// A stream for clients with a token: token-of-ann or token-of-bob.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
}

/// The session of a client, which lasts as long as its stream.
#[derive(Clone)]
struct Session {
    user: String,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    // On Ctrl-C each stream sends a reconnection time, and ends.
    let shutdown =
        Shutdown::new(Farewell::new().retry(Duration::from_secs(1)..Duration::from_secs(5)));
    let handler = event_channel_handler(|request, events| async move {
        let session = request.extensions().get::<Session>().ok_or("set in on_connect")?;
        events.send(Event::new(format!("hello {}", session.user)).with_type("hello")).await?;
        for n in 0.. {
            sleep(Duration::from_secs(1)).await;
            events.send(Event::new(n)).await?;
        }
        Ok(())
    })
    .on_connect(|connect: Connect| async move {
        let Some(session) = session_of(connect.headers()).await else {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED)
                .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
                .body("who are you?\n"));
        };
        println!("{}: connected", session.user);
        Ok(connect.accept().extension(session))
    })
    .shutdown(&shutdown)
    .on_disconnect(|end| {
        if let Some(session) = end.extensions().get::<Session>() {
            println!("{}: {} after {} events", session.user, end.reason(), end.events());
        }
    });

    let listener = TcpListener::bind(args.addr).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = Router::new().route_service("/events", handler);
    let listener = listener.tap_io(|tcp| _ = tcp.set_nodelay(true));
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown.start_when(tokio::signal::ctrl_c()))
        .await?;
    Ok(())
}

/// Stands for a database query, or for the check of a signature.
async fn session_of(headers: &HeaderMap) -> Option<Session> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let user = match token {
        _ if !scheme.eq_ignore_ascii_case("bearer") => return None,
        "token-of-ann" => "ann",
        "token-of-bob" => "bob",
        _ => return None,
    };
    Some(Session { user: user.into() })
}
