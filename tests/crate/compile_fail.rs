//! Programs that must not compile, and the errors that the compiler reports for them.

use std::{fs, path::Path, process::Command};

/// Checks a program that uses this crate. Returns the output of the compiler, or `None` if the
/// program compiles.
fn check(name: &str, program: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail").join(name);
    fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\ntower-sse = {{ path = {root:?}, default-features = false, features = [\"hub\"] }}\nfutures-core = \"*\"\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/main.rs"), program).unwrap();
    // The same versions, which are downloaded already.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet"])
        .env("CARGO_TARGET_DIR", folder.parent().unwrap().join("target"))
        .env_remove("RUSTFLAGS")
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

fn with(expression: &str) -> String {
    format!(
        "use tower_sse::*;\n\
         fn main() {{ let text = std::env::args().next().unwrap(); let _ = {expression}; }}\n"
    )
}

#[test]
fn text_known_only_at_run_time_is_refused_and_the_error_names_the_conversion() {
    // A program that compiles, so that the errors below have the intended cause.
    let fine = "Event::new(&text).with_type(EventType::try_from(&text).unwrap())";
    assert_eq!(check("fine", &with(fine)), None);

    for (name, expression, way_out) in [
        ("string_as_type", "Event::new(1).with_type(text)", "EventType::try_from(text)?"),
        ("string_as_id", "Event::new(1).with_id(text)", "EventId::try_from(text)?"),
        ("string_as_field", "Event::new(1).with_field(text, 1)", "FieldName::try_from(text)?"),
        ("ref_string_as_type", "Event::new(1).with_type(&text)", "EventType::try_from(text)?"),
        ("float_as_id", "Event::new(1).with_id(1.5)", "EventId::from_display(value)?"),
    ] {
        let said =
            check(name, &with(expression)).unwrap_or_else(|| panic!("{expression} compiles"));
        assert!(said.contains("E0277"), "{said}");
        assert!(said.contains(way_out), "{said}");
        // A hint to borrow would lead to an error that hides the cause.
        assert!(!said.contains("is implemented for `&"), "{said}");
    }
    // Borrowed text is not a literal.
    let said = check("str_as_type", &with("Event::new(1).with_type(text.as_str())")).unwrap();
    assert!(said.contains("does not live long enough") || said.contains("borrowed"), "{said}");
}

#[test]
fn only_a_hub_takes_an_accept_with_topics() {
    let fine = "Hub::new().handler(|connect| async move { connect.accept().topics([\"a\"]) })";
    assert_eq!(check("with_topics", &with(fine)), None);
    let handler = "event_channel_handler::<_, _, ()>(|_, _| async { Ok(()) })";
    for (name, expression) in [
        ("no_topics", "Hub::new().handler(|connect| async move { Ok(connect.accept()) })".into()),
        (
            "topics_of_no_hub",
            format!(
                "{handler}.on_connect(|it: Connect| async move {{ it.accept().topics([\"a\"]) }})"
            ),
        ),
    ] {
        let said =
            check(name, &with(&expression)).unwrap_or_else(|| panic!("{expression} compiles"));
        assert!(said.contains("E0271") || said.contains("E0308"), "{said}");
        assert!(said.contains("Accept<Selection>"), "{said}");
    }
}

#[test]
fn a_setting_of_handlers_exists_only_where_there_is_a_handler() {
    let fine = "HandlerOptions::new().buffer(Buffer::default()).send_timeout(Default::default()).spawn_handler()";
    assert_eq!(check("settings_of_a_handler", &with(fine)), None);
    let settings = [
        ("buffer", "buffer(Buffer::default())"),
        ("spawn_handler", "spawn_handler()"),
        ("send_timeout", "send_timeout(std::time::Duration::from_secs(1))"),
    ];
    let values = [
        ("hub", "Hub::new().handler(|connect| async move { connect.accept().topics([\"a\"]) })"),
        ("body", "EventBody::from(event_channel(Buffer::default()).1)"),
        ("options", "BodyOptions::new()"),
    ];
    for (of, value) in values {
        // A setting of bodies, so that the errors below have the intended cause.
        let fine = format!("{value}.without_greeting()");
        assert_eq!(check(&format!("{of}_greeting"), &with(&fine)), None);
        for (name, setting) in settings {
            let program = with(&format!("{value}.{setting}"));
            let said = check(&format!("{of}_{name}"), &program)
                .unwrap_or_else(|| panic!("{value}.{setting} compiles"));
            assert!(said.contains("E0599") && said.contains(name), "{said}");
        }
    }
}

#[test]
fn an_error_names_the_service_that_an_event_source_needs() {
    let said = check("no_service", &with("EventSource::get::<_, Vec<u8>, _>(7_u32, \"/\")"));
    let said = said.unwrap();
    assert!(said.contains("an `EventSource` cannot send requests with `u32`"), "{said}");
    assert!(said.contains("tower_service::Service"), "{said}");
}

#[test]
fn text_is_no_event_and_a_stream_of_text_is_no_stream_of_events() {
    let said = check(
        "send_text",
        "async fn f(events: tower_sse::EventSender) { let _ = events.send(\"x\").await; }\nfn main() { let _ = f; }",
    );
    assert!(said.unwrap().contains("`Event::new(text)`"));
    let said = check(
        "stream_of_text",
        "struct Texts;\n\
         impl futures_core::Stream for Texts { type Item = String; fn poll_next(self: std::pin::Pin<&mut Self>, \
         _: &mut std::task::Context<'_>) -> std::task::Poll<Option<String>> { std::task::Poll::Ready(None) } }\n\
         fn main() { let _ = tower_sse::EventBody::from_stream(Texts); }",
    )
    .unwrap();
    assert!(said.contains("`.map(Event::new)`"), "{said}");
}

#[test]
fn a_subscription_is_no_stream_of_events() {
    let program = |expression: &str| {
        format!(
            "fn f(s: tower_sse::hub::Subscription) {{ let _ = {expression}; }}\nfn main() {{ let _ = f; }}"
        )
    };
    // It has a body of its own, which keeps gaps and IDs.
    assert_eq!(check("subscription_body", &program("s.into_body()")), None);
    let said = check("subscription_stream", &program("tower_sse::EventBody::from_stream(s)"));
    let said = said.unwrap();
    assert!(said.contains("is not implemented for `Subscription`"), "{said}");
}

/// The errors of the compiler, as an application sees them: what is wrong, the label at the place, and what to do.
/// `TOWER_SSE_BLESS=1` writes them anew.
#[test]
fn the_errors_of_the_compiler_read_well() {
    let handler = "let _ = event_channel_handler::<_, _, ()>(|_, events| async move";
    let programs = [
        ("text as a type", with("Event::new(1).with_type(text)")),
        ("borrowed text as a type", with("Event::new(1).with_type(&text)")),
        ("text as an ID", with("Event::new(1).with_id(text)")),
        ("a float as an ID", with("Event::new(1).with_id(1.5)")),
        ("text as the name of a field", with("Event::new(1).with_field(text, 1)")),
        ("text as an event", with(&format!("{{ {handler} {{ events.send(\"x\").await?; Ok(()) }}); }}"))),
        ("an event that may have failed", with(&format!("{{ {handler} {{ events.send(\"x\".parse::<u8>()).await?; Ok(()) }}); }}"))),
        ("no service", with("EventSource::get::<_, Vec<u8>, _>(7_u32, \"/\")")),
        ("a hub without topics", with("Hub::new().handler(|connect| async move { Ok(connect.accept()) })")),
        ("a subscription as a stream", "fn f(s: tower_sse::hub::Subscription) { let _ = tower_sse::EventBody::from_stream(s); }\nfn main() { let _ = f; }".to_owned()),
    ];
    let mut all = String::new();
    for (number, (name, program)) in programs.iter().enumerate() {
        let said = check(&format!("reads_well_{number}"), program);
        let said = said.unwrap_or_else(|| panic!("{name}: {program} compiles"));
        let gist = said.lines().map(str::trim).filter_map(|line| {
            let label = line.starts_with('|').then(|| line.rsplit_once("^ ")).flatten();
            let is_note = line.starts_with("= note: ") && !line.contains("originates in");
            match label {
                Some((_, label)) => Some(format!("  at: {label}")),
                None if line.starts_with("error[") => Some(line.to_owned()),
                None if is_note => Some(format!("  {}", line.trim_start_matches("= "))),
                None => None,
            }
        });
        // Of the labels, the first one of an error is the place. An error may be there for each use of a bound.
        let mut errors: Vec<Vec<String>> = Vec::new();
        for line in gist {
            match errors.last_mut() {
                Some(error) if !line.starts_with("error[") => {
                    let is_place = line.starts_with("  at: ");
                    if !is_place || !error.iter().any(|it| it.starts_with("  at: ")) {
                        error.push(line);
                    }
                }
                _ => errors.push(vec![line]),
            }
        }
        errors.dedup();
        let gist = errors.concat().join("\n");
        all.push_str(&format!("# {name}\n{gist}\n\n"));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crate/compile_errors.txt");
    if std::env::var_os("TOWER_SSE_BLESS").is_some() {
        fs::write(&file, &all).unwrap();
    }
    assert_eq!(all, fs::read_to_string(&file).unwrap());
}
