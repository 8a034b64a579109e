//! actix-web-lab's event streams, on one worker of actix-web. The text is shared by all streams.

use std::convert::Infallible;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, Responder as _, web};
use actix_web_lab::sse::{Data, Event, Sse};
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tower_sse_bench::{Mode, Workload};

use super::{Result, listen};

pub(super) fn run(workload: Workload) -> Result<()> {
    actix_web::rt::System::new().block_on(serve(workload))
}

async fn serve(workload: Workload) -> Result<()> {
    let listener = listen(&workload)?;
    let (publisher, _) = broadcast::channel::<Event>(4096);
    if workload.mode == Mode::Fanout {
        let (workload, publisher) = (workload.clone(), publisher.clone());
        actix_web::rt::spawn(async move {
            let publish = |burst: &[String]| {
                for data in burst {
                    let _ = publisher.send(Event::Data(Data::new(data.as_str())));
                }
            };
            workload.publish(publish).await;
        });
    }
    let app = move || {
        let (workload, publisher) = (workload.clone(), publisher.clone());
        let streams = move |request: HttpRequest| {
            let response = stream_of(&workload, &publisher, &request);
            async move { response }
        };
        App::new().route("/", web::get().to(streams))
    };
    HttpServer::new(app).workers(1).listen(listener)?.run().await?;
    Ok(())
}

fn stream_of(
    workload: &Workload,
    publisher: &broadcast::Sender<Event>,
    request: &HttpRequest,
) -> HttpResponse {
    let data = workload.data();
    match workload.mode {
        Mode::Fanout => {
            let all = BroadcastStream::new(publisher.subscribe());
            let events = tokio_stream::StreamExt::filter_map(all, |event| event.ok().map(Ok));
            respond(events, workload, request)
        }
        Mode::Flood => {
            let events = stream::repeat_with(move || Ok(Event::Data(Data::new(data.as_str()))));
            respond(events, workload, request)
        }
        Mode::Idle => {
            let first = async move { Ok(Event::Data(Data::new(data))) };
            respond(stream::once(first).chain(stream::pending()), workload, request)
        }
    }
}

fn respond(
    events: impl Stream<Item = Result<Event, Infallible>> + 'static,
    workload: &Workload,
    request: &HttpRequest,
) -> HttpResponse {
    let sse = Sse::from_stream(events).with_keep_alive(workload.keep_alive());
    sse.respond_to(request).map_into_boxed_body()
}
