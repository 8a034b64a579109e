//! Topics that end: their readers get everything, and their streams end.

use std::time::Duration;

use tower_sse::{
    EndReason, Event, Hub,
    hub::{GapReason, History, Publication, Resumption},
};

use super::{
    call, gap_reason, get, patterns, publish, publish_numbers, ready, ready_bytes, resume,
    subscribe, topics,
};

#[tokio::test]
async fn readers_get_everything_and_then_their_streams_end() {
    for last in [Some(Event::new("last")), None] {
        let hub = Hub::new();
        let reason = std::sync::Arc::new(std::sync::Mutex::new(None));
        let reported = reason.clone();
        let mut waiting = subscribe(&hub, topics(&["job"]));
        assert_eq!(ready(&mut waiting), [""; 0]);
        let mut body = subscribe(&hub, topics(&["job"]))
            .into_body()
            .without_greeting()
            .on_disconnect(move |end| *reported.lock().unwrap() = Some(end.reason()));
        let mut pattern = subscribe(&hub, patterns(&["job"]));
        let mut two = subscribe(&hub, topics(&["job", "other"]));
        publish(&hub, "job", "output");
        let finished = hub.finish("job", last.clone()).await.unwrap();
        let mut expected = vec!["output"];
        expected.extend(last.as_ref().map(|_| "last"));
        // A pattern never ends, and a reader of two topics ends with the second.
        assert_eq!(ready(&mut pattern), expected);
        assert_eq!(ready(&mut two), expected);
        hub.finish("other", None).await.unwrap();
        assert_eq!(ready(&mut two), ["end"]);
        let text = ready_bytes(&mut body);
        assert!(text.ends_with("end") && text.contains("data: output"), "{text}");
        assert_eq!(text.contains("data: last"), last.is_some());
        drop(body);
        assert_eq!(*reason.lock().unwrap(), Some(EndReason::Finished));
        // A reader that comes later gets what it asks for, and ends.
        let mut late = subscribe(&hub, topics(&["job"]).from_start());
        assert_eq!(*late.resumption(), Resumption::New);
        expected.push("end");
        assert_eq!(ready(&mut waiting), expected);
        assert_eq!(ready(&mut late), expected);
        assert_eq!(ready(&mut subscribe(&hub, topics(&["job"]))), ["end"]);
        assert_eq!(ready(&mut resume(&hub, topics(&["job"]), &finished.id)), ["end"]);
        let newest = if last.is_some() { "last" } else { "output" };
        assert_eq!(ready(&mut subscribe(&hub, topics(&["job"]).last(1))), [newest, "end"]);
    }
}

#[tokio::test]
async fn publishing_on_a_topic_that_has_ended_is_an_error_and_publishes_nothing() {
    let hub = Hub::new();
    hub.finish("job", None).await.unwrap();
    for error in [
        hub.publish("job", "x").await.unwrap_err(),
        hub.publish_keyed("job", "k", "x").await.unwrap_err(),
        hub.retract("job", "k", "x").await.unwrap_err(),
        hub.try_publish(Publication::new("job", "x")).unwrap_err(),
        hub.finish("job", Some(Event::new("x"))).await.unwrap_err(),
    ] {
        assert!(error.is_finished());
        assert_eq!(error.to_string(), "the topic \"job\" has ended");
    }
    let all = ["a", "job", "b"].map(|topic| Publication::new(topic, "x"));
    let error = hub.publish_all(all).await.unwrap_err();
    assert_eq!((error.index(), error.is_finished()), (1, true));
    assert_eq!(error.to_string(), "publication 1: the topic \"job\" has ended");
    assert_eq!(error.into_publications().len(), 3);
    assert_eq!(hub.stats().published, 1);
}

#[tokio::test]
async fn a_browser_that_has_everything_is_told_to_stay_away() {
    let hub = Hub::new();
    let first = publish(&hub, "job", "1");
    let last = hub.finish("job", Some(Event::new("2"))).await.unwrap().id;
    publish(&hub, "open", "x");
    let handler = hub.handler(|connect| async move {
        let names = connect.uri().path()[1..].to_owned();
        connect.accept().topics(names.split('+'))
    });
    let status = async |path: &str, id: &str| {
        let response = call(&handler, get(&format!("/{path}?last_event_id={id}"))).await;
        response.status().as_u16()
    };
    assert_eq!(status("job", last.as_str()).await, 204);
    assert_eq!(status("job", &hub.position().as_str().replace('*', "%2A")).await, 204);
    assert_eq!(status("job", first.as_str()).await, 200);
    // This client must get the gap event, and the other topic goes on.
    assert_eq!(status("job", "nonsense").await, 200);
    assert_eq!(status("job+open", last.as_str()).await, 200);
    assert_eq!(hub.stats().readers, 0);
    let mut body = call(&handler, get(&format!("/job?last_event_id={first}"))).await.into_body();
    let text = ready_bytes(&mut body);
    assert!(text.contains(&format!("id: {last}\ndata: 2\n\nend")), "{text}");
    // A pattern never ends.
    let handler =
        hub.handler(|connect| async move { Ok(connect.accept().subscribe(patterns(&["job"]))) });
    let request = get(&format!("/?last_event_id={last}"));
    assert_eq!(call(&handler, request).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_forgotten_some_time_after_its_end_and_its_name_is_free() {
    let minute = Duration::from_secs(60);
    let hub = Hub::builder().finished_ttl(minute).build();
    let ids = publish_numbers(&hub, "job", 0..3);
    publish_numbers(&hub, "going on", 0..3);
    hub.finish("job", None).await.unwrap();
    tokio::time::advance(minute - Duration::from_millis(1)).await;
    assert!(hub.publish("job", "x").await.unwrap_err().is_finished());
    assert_eq!(ready(&mut resume(&hub, topics(&["job"]), &ids[0])), ["1", "2", "end"]);
    tokio::time::advance(Duration::from_millis(1)).await;
    // Nothing but this publish tells the hub that the time is over.
    publish(&hub, "job", "another");
    assert_eq!(ready(&mut subscribe(&hub, topics(&["job"]).from_start())), ["another"]);
    assert_eq!(gap_reason(&resume(&hub, topics(&["job"]), &ids[0])), Some(GapReason::Trimmed));
    assert_eq!((hub.stats().topics, hub.stats().events), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_a_reader_names_stays_ended_until_the_reader_leaves() {
    let minute = Duration::from_secs(60);
    let hub = Hub::builder().finished_ttl(minute).build();
    publish_numbers(&hub, "job", 0..3);
    hub.finish("job", None).await.unwrap();
    let mut reader = subscribe(&hub, topics(&["job"]));
    tokio::time::advance(2 * minute).await;
    assert_eq!((hub.stats().topics, hub.stats().events), (1, 0));
    assert!(hub.publish("job", "x").await.unwrap_err().is_finished());
    assert_eq!(ready(&mut reader), ["end"]);
    drop(reader);
    assert_eq!(hub.stats().topics, 0);
    publish(&hub, "job", "x");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_topic_keeps_its_events_for_the_idle_time() {
    let minute = Duration::from_secs(60);
    let hub = Hub::builder().history(History::events(9)).idle_ttl(minute).build();
    publish_numbers(&hub, "quiet", 0..3);
    for n in 0..4 {
        publish(&hub, "busy", Event::new(n));
        tokio::time::advance(minute / 2).await;
    }
    let mut busy = subscribe(&hub, topics(&["busy"]).from_start());
    assert_eq!(ready(&mut busy), ["0", "1", "2", "3"]);
    assert_eq!((hub.stats().topics, hub.stats().events), (1, 4));
}
