//! Listening, and ending without cutting anybody off.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::config::HttpConfig;
use super::router::router;
use super::stalls::Stalls;
use super::state::Api;
use super::{health, metrics, tenants};
use crate::runner::{Fleet, Host, Hosts};
use crate::tenancy::{Directory, Tenants};

/// How long requests in hand may take when the host stops.
const FAREWELL: Duration = Duration::from_secs(10);
/// After an error of `accept` that is not the client's, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// The API of a host, bound to its address.
pub struct Server {
    listener: TcpListener,
    api: Api,
    stop: CancellationToken,
}

impl Server {
    /// Checks the settings and binds `listen`. `topics` are the labels of aggregates' events in the
    /// outbox. The API reads the log as far as `host` follows it: [`Host::run`] has to run, too.
    ///
    /// # Errors
    /// Settings that would let everybody in, or nobody; an address that is taken.
    pub async fn bind(
        host: Arc<Host>,
        config: &HttpConfig,
        topics: BTreeMap<String, String>,
        listen: SocketAddr,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        config.check(listen)?;
        let api = Api::new(host, config, topics, stop.clone())?;
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen} (http.listen)"))?;
        let address = listener.local_addr()?;
        tracing::info!(tokens = config.tokens.len(), "the HTTP API listens on http://{address}");
        Ok(Self { listener, api, stop })
    }

    /// Serves the tenants of a directory from their own databases: whoever is not in it is served from
    /// the host's. Those databases are to be run, too (see [`crate::runner::Fleet`]), or their logs
    /// are read no further than they were when they were opened.
    #[must_use]
    pub fn with_tenants(self, tenants: Tenants<Hosts>) -> Self {
        self.api.with_tenants(tenants);
        self
    }

    /// The same for the tenants that a fleet runs, and shows how they stand.
    #[must_use]
    pub fn with_fleet(self, fleet: &Fleet) -> Self {
        self.api.apart.set_states(fleet.states());
        self.with_tenants(fleet.hosts().clone())
    }

    /// Refuses the tenants of this directory, which have databases of their own that this API does not
    /// serve. Where nothing is said it is the table in the host's database.
    #[must_use]
    pub fn without_tenants(self, directory: Directory) -> Self {
        self.api.apart.set_directory(directory);
        self
    }

    /// Where it listens; the port is the real one where 0 was given.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `stop` is cancelled, and then what is in hand.
    pub async fn run(self) {
        let Self { listener, api, stop } = self;
        let limits = api.limits.clone();
        let connections = Arc::new(Semaphore::new(limits.connections));
        metrics::start();
        if !api.serves_tenants() {
            tenants::start(&api).await;
            api.tasks.spawn(tenants::follow(api.clone()));
        }
        api.tasks.spawn(health::watch(api.clone()));
        let router = router(api.clone());
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.receive);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.stalled)
            .keep_alive_timeout(limits.stalled);
        let graceful = GracefulShutdown::new();
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = connections.clone().acquire_owned() => permit,
            };
            let stream = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                        continue;
                    }
                },
            };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
            let service = TowerToHyperService::new(router.clone());
            let io = TokioIo::new(Stalls::new(stream, limits.stalled));
            let connection = builder.serve_connection(io, service).into_owned();
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                let _permit = permit;
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
        drop(listener);
        api.tasks.close();
        let ended = async {
            api.tasks.wait().await;
            graceful.shutdown().await;
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!(after = ?FAREWELL, "requests that were still being answered are cut");
        }
    }
}
