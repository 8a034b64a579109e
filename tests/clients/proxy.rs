//! A proxy that cuts connections.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::AbortHandle,
    time::sleep,
};

/// Passes connections on to a server. It ends when it is dropped.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    cuts: broadcast::Sender<()>,
    is_down: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (cuts, is_down) = (broadcast::Sender::new(1), Arc::new(AtomicBool::new(false)));
        let refused = Arc::new(AtomicUsize::new(0));
        let (sender, down, count) = (cuts.clone(), is_down.clone(), refused.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut cut = sender.subscribe();
                if down.load(Ordering::SeqCst) {
                    count.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await?;
                    client.set_nodelay(true)?;
                    server.set_nodelay(true)?;
                    tokio::select! {
                        copied = copy_bidirectional(&mut client, &mut server) => drop(copied?),
                        _ = cut.recv() => {}
                    }
                    Ok::<_, io::Error>(())
                });
            }
        });
        Self { addr, cuts, is_down, refused, task: task.abort_handle() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Cuts all connections, in the middle of their streams.
    pub(crate) fn cut(&self) {
        // Without a connection there is no receiver.
        let _ = self.cuts.send(());
    }

    /// Cuts all connections, and refuses new ones.
    pub(crate) fn go_down(&self) {
        self.is_down.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Asserts that the client does not reconnect after the end of its stream.
    pub(crate) async fn assert_left_alone(&self) {
        self.go_down();
        let before = self.refused.load(Ordering::SeqCst);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(self.refused.load(Ordering::SeqCst), before, "the client has reconnected");
    }

    pub(crate) fn come_up(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
