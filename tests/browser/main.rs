//! Real browsers, headless Chromium, Firefox and WebKit, against streams of this crate: it reads them, reconnects when
//! it was told to, and resumes after the last event.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

/// Runs a test in each engine.
macro_rules! in_each_engine {
    ($test:ident) => {
        mod $test {
            use crate::engine::Engine;

            #[tokio::test]
            async fn chromium() {
                super::$test(Engine::Chromium).await;
            }

            #[tokio::test]
            async fn firefox() {
                super::$test(Engine::Firefox).await;
            }

            #[tokio::test]
            async fn webkit() {
                super::$test(Engine::WebKit).await;
            }
        }
    };
}

#[cfg(feature = "hub")]
mod dashboard;
mod demo_page;
mod engine;
#[cfg(feature = "hub")]
mod hub;
mod reconnects;
mod refusals;
#[cfg(feature = "hub")]
mod runs;
mod server;
#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "its `main` is the example's")]
#[path = "../../examples/demo.rs"]
mod demo;
