//! Redirects, as fetch follows them.

use http::{HeaderMap, HeaderValue, Request};
use tower_sse::{EventSource, client::ReconnectTo};

use crate::support::mock::{Answer, Mock, reported};

/// Returns the requests that a redirect leads to: method, URI, and length of the body.
async fn led(status: u16, method: &str, location: &'static str) -> Vec<(String, String, usize)> {
    let headers: &'static [_] = Box::leak(Box::new([("location", location)]));
    let mock = Mock::new([Answer::Status(status, headers), Answer::Stays("data: x\n\n")]);
    let request = Request::builder().method(method).uri("http://server/a/events?x=1");
    let request = request.header("content-type", "text/plain").body("body").unwrap();
    let reported = reported(EventSource::request(mock.clone(), request)).await;
    assert_eq!(reported, ["opened 1", "event x"], "{status} {method} {location}");
    let asked = mock.asked();
    let parts = |asked: &crate::support::mock::Asked| {
        assert_eq!(asked.header("content-type").is_some(), !asked.body.is_empty());
        assert_eq!(asked.header("accept"), Some("text/event-stream"));
        (asked.method.to_string(), asked.uri.clone(), asked.body.len())
    };
    asked.iter().map(parts).collect()
}

#[tokio::test(start_paused = true)]
async fn method_and_body_are_kept_or_dropped_as_fetch_does() {
    for (status, method, expected, body) in [
        (301, "GET", "GET", 4),
        (301, "POST", "GET", 0),
        (301, "REPORT", "REPORT", 4),
        (302, "POST", "GET", 0),
        (302, "PUT", "PUT", 4),
        (303, "GET", "GET", 4),
        (303, "POST", "GET", 0),
        (303, "REPORT", "GET", 0),
        (307, "POST", "POST", 4),
        (308, "POST", "POST", 4),
        (308, "REPORT", "REPORT", 4),
    ] {
        let led = led(status, method, "/elsewhere").await;
        let expected = (expected.to_owned(), "http://server/elsewhere".to_owned(), body);
        assert_eq!(led[1], expected, "{status} {method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_location_may_be_relative() {
    for (location, expected) in [
        ("other", "http://server/a/other"),
        ("../other?y", "http://server/other?y"),
        ("?y=2", "http://server/a/events?y=2"),
        ("//second/x", "http://second/x"),
        ("https://second:8443/x#part", "https://second:8443/x"),
        ("http:/x", "http://server/x"),
        ("http:///second/x", "http://second/x"),
        ("https:/second/x", "https://second/x"),
        ("/a\tb c/ä", "http://server/ab%20c/%C3%A4"),
    ] {
        assert_eq!(led(307, "GET", location).await[1].1, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_stay_within_their_origin() {
    for (location, kept) in [
        ("/other", true),
        ("http://SERVER:80/other", true),
        ("https://server/other", false),
        ("http://server:8080/other", false),
        ("http://second/other", false),
    ] {
        let headers: &'static [_] = Box::leak(Box::new([("location", location)]));
        let mock = Mock::new([
            Answer::Status(302, headers),
            Answer::Status(302, &[("location", "http://server/back")]),
            Answer::Stays(""),
        ]);
        let request = Request::get("http://server/events")
            .header("authorization", "secret")
            .header("cookie", "secret")
            .header("x-other", "1")
            .body("")
            .unwrap();
        reported(EventSource::request(mock.clone(), request)).await;
        let asked = mock.asked();
        assert_eq!(asked.len(), 3);
        assert!(asked[0].header("authorization").is_some());
        for later in &asked[1..] {
            // Once removed, the headers are not restored on the way back.
            for name in ["authorization", "cookie"] {
                assert_eq!(later.header(name).is_some(), kept, "{location} {name}");
            }
            assert_eq!(later.header("x-other"), Some("1"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_redirects_are_followed_and_no_more() {
    let there = || Answer::Status(307, &[("location", "/again")]);
    let mock = Mock::new((0..20).map(|_| there()).chain([Answer::Stays("")]));
    assert_eq!(reported(mock.source()).await, ["opened 1"]);
    let mock = Mock::new((0..21).map(|_| there()).chain([Answer::Stays("")]));
    assert_eq!(reported(mock.source()).await, ["fatal: more than 20 redirects in a row"]);
    assert_eq!(mock.asked().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_location_is_fatal_and_the_error_says_why() {
    for (headers, error) in [
        (&[][..], "a redirect (301 Moved Permanently) without a Location"),
        (&[("location", "")], "a redirect (301 Moved Permanently) without a Location"),
        (
            &[("location", "ftp://server/")],
            "a redirect to \"ftp://server/\", which is not an http or https URL",
        ),
        (
            &[("location", "/a"), ("location", "/b")],
            "a redirect (301 Moved Permanently) with several different Locations",
        ),
    ] {
        let mock = Mock::new([Answer::Status(301, headers), Answer::Stays("")]);
        let mut source = mock.source();
        let met = source.next_event().await.unwrap().unwrap_err();
        assert!(met.is_fatal() && met.is_redirect());
        assert_eq!(met.to_string(), error);
        assert!(source.next_event().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_location_twice_counts_as_one() {
    let twice = &[("location", "/there"), ("location", "/there")];
    let mock = Mock::new([Answer::Status(301, twice), Answer::Stays("")]);
    assert_eq!(reported(mock.source()).await, ["opened 1"]);
    assert_eq!(mock.asked()[1].uri, "http://server/there");
}

#[tokio::test(start_paused = true)]
async fn the_next_attempt_starts_at_the_chosen_target() {
    let script = || {
        Mock::new([
            Answer::Status(301, &[("location", "/moved")]),
            Answer::Status(307, &[("location", "http://second/today")]),
            Answer::Ends("data: x\n\n"),
            Answer::Stays(""),
        ])
    };
    for (choice, expected) in [
        (ReconnectTo::Original, "http://server/events"),
        (ReconnectTo::PermanentTarget, "http://server/moved"),
        (ReconnectTo::LastTarget, "http://second/today"),
    ] {
        let mock = script();
        reported(mock.source().reconnect_to(choice)).await;
        assert_eq!(mock.asked()[3].uri, expected, "{choice:?}");
    }
    // A permanent redirect after a temporary one counts as temporary.
    let mock = Mock::new([
        Answer::Status(302, &[("location", "/today")]),
        Answer::Status(308, &[("location", "/moved")]),
        Answer::Ends("data: x\n\n"),
        Answer::Stays(""),
    ]);
    reported(mock.source().reconnect_to(ReconnectTo::PermanentTarget)).await;
    assert_eq!(mock.asked()[3].uri, "http://server/events");
}

#[tokio::test(start_paused = true)]
async fn a_header_provider_is_called_once_per_attempt_and_its_secrets_stay_within_the_origin() {
    let mock = Mock::new([
        Answer::Status(302, &[("location", "/here")]),
        Answer::Status(302, &[("location", "http://second/there")]),
        Answer::Stays(""),
    ]);
    let source = mock.source().headers(|_| async {
        Ok(HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            HeaderValue::from_static("secret"),
        )]))
    });
    reported(source).await;
    let sent: Vec<_> =
        mock.asked().iter().map(|asked| asked.header("authorization").is_some()).collect();
    assert_eq!(sent, [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn headers_of_a_provider_apply_to_one_attempt_only() {
    for choice in [ReconnectTo::Original, ReconnectTo::PermanentTarget, ReconnectTo::LastTarget] {
        let mock = Mock::new([
            Answer::Status(308, &[("location", "/moved")]),
            Answer::Ends("data: x\n\n"),
            Answer::Stays(""),
        ]);
        let request = Request::get("http://server/events").header("x-token", "own").body("");
        let source = EventSource::request(mock.clone(), request.unwrap());
        let source = source.reconnect_to(choice).headers(|attempt| async move {
            let mut headers = HeaderMap::new();
            if attempt.number == 1 {
                headers.insert("authorization", HeaderValue::from_static("once"));
                headers.insert("x-token", HeaderValue::from_static("once"));
            }
            Ok(headers)
        });
        reported(source).await;
        let sent: Vec<_> = mock.asked();
        let sent: Vec<_> = sent
            .iter()
            .map(|asked| (asked.header("authorization"), asked.header("x-token")))
            .collect();
        let once = (Some("once"), Some("once"));
        assert_eq!(sent, [once, once, (None, Some("own"))], "{choice:?}");
    }
}
