//! The example `postgres`, over a real server.

use tokio::{process::Command, time::timeout};

use crate::{
    postgres_server::Postgres,
    support::process::{PATIENCE, executable},
};

#[tokio::test]
async fn postgres_publishes_on_one_node_and_reads_on_another() {
    let server = Postgres::start().await;
    // The log is there the second time.
    for _ in 0..2 {
        let run = Command::new(executable("postgres")).arg(server.url()).output();
        let output = timeout(PATIENCE, run).await.unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let read = text.lines().filter_map(|line| line.strip_prefix("read"));
        let words: Vec<_> = read.filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(words, ["paid", "packed", "sent", "delivered"]);
    }
}
