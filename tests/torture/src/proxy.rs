//! What stands between a host and the server, to be cut and to be stopped.

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A way to the server on a port of its own.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
}

struct State {
    /// Ends the connections there are.
    cut: Mutex<CancellationToken>,
    /// While it is false nothing passes, in silence.
    flows: watch::Sender<bool>,
}

impl Proxy {
    /// Starts one.
    pub async fn start(server: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a proxy")?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State { cut: Mutex::default(), flows: watch::Sender::new(true) });
        let accepting = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, accepting.clone()));
            }
        });
        Ok(Self { port, state })
    }

    /// Ends all connections, as a firewall that resets them would.
    pub fn cut(&self) {
        let mut cut = self.state.cut.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cut.cancel();
        *cut = CancellationToken::new();
    }

    /// Lets bytes pass, or holds them.
    pub fn flow(&self, flows: bool) {
        self.state.flows.send_replace(flows);
    }
}

async fn carry(client: TcpStream, server: u16, state: Arc<State>) {
    let cut = state.cut.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let flows = state.flows.subscribe();
    tokio::select! {
        () = cut.cancelled() => {}
        () = pump(from_client, to_server, flows.clone()) => {}
        () = pump(from_server, to_client, flows) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flows: watch::Receiver<bool>) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        if flows.wait_for(|flows| *flows).await.is_err() || to.write_all(&bytes[..n]).await.is_err()
        {
            return;
        }
    }
}
