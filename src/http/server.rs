//! Accepting connections with bounds that axum's own server lacks: TLS, a timeout for the head, a cap on connections under which
//! the idle make room for others, a hard end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::patience::Patient;
use super::seats::{Seat, Seats};
use crate::metrics::Metrics;

/// Wait after a failed accept (out of file descriptors, mostly), so that it does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// How long a connection that must make room may take to say good-bye.
const CLOSE_GRACE: Duration = Duration::from_millis(100);
/// Request line and headers, bytes. Beyond: 431 by the HTTP library, and the connection ends.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Who is at the other end of the connection: in the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What stands between the network and the routes.
pub struct Edge {
    pub connections_max: usize,
    /// For the handshake and the first head, and for every later head from the answer before.
    pub header_timeout: Duration,
    /// For a client that takes nothing of an answer.
    pub stall_timeout: Duration,
    pub tls: Option<TlsAcceptor>,
    pub metrics: Arc<Metrics>,
}

/// What every connection is served with.
struct Talk {
    http: http1::Builder,
    router: Router,
    edge: Edge,
}

/// Serves until `stop`, then lets requests under way finish until the deadline that it gives.
///
/// Returns whether every one did.
pub async fn serve(listener: TcpListener, router: Router, edge: Edge, stop: impl Future<Output = Instant>) -> bool {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).keep_alive(true).max_buf_size(HEAD_BYTES_MAX);
    let seats = Seats::new(edge.connections_max, edge.metrics.clone());
    let talk = Arc::new(Talk { http, router, edge });
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    let deadline = loop {
        let (stream, peer, seat) = tokio::select! {
            accepted = accept(&listener, &seats) => accepted,
            deadline = &mut stop => break deadline,
        };
        let (talk, stopped) = (talk.clone(), stopped.clone());
        connections.spawn(async move { talk.connection(stream, peer, seat, stopped).await });
        // Reaps ended connections, so that the set does not grow.
        while connections.try_join_next().is_some() {}
    };
    drop((listener, talk, stopping));
    let ended = timeout_at(deadline, async { while connections.join_next().await.is_some() {} }).await.is_ok();
    // Cuts off what is left.
    connections.shutdown().await;
    ended
}

async fn accept(listener: &TcpListener, seats: &Seats) -> (TcpStream, Peer, Arc<Seat>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are one small write: waiting to fill a packet would only delay them.
                let _ = stream.set_nodelay(true);
                return (stream, Peer(peer), seats.take().await);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                seats.make_room();
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

impl Talk {
    async fn connection(&self, stream: TcpStream, peer: Peer, seat: Arc<Seat>, mut stopped: watch::Receiver<()>) {
        let deadline = Instant::now() + self.edge.header_timeout;
        let Some(tls) = &self.edge.tls else { return self.requests(stream, peer, deadline, seat, stopped).await };
        let shaken = tokio::select! {
            shaken = timeout_at(deadline, tls.accept(stream)) => shaken,
            () = seat.is_needed() => return,
            _ = stopped.changed() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.requests(stream, peer, deadline, seat, stopped).await,
            Ok(Err(_)) | Err(_) => self.edge.metrics.http_connection_closed("handshake"),
        }
    }

    /// Answers requests until either side is done, the seat is needed, or the service stops.
    async fn requests<S>(&self, stream: S, peer: Peer, deadline: Instant, seat: Arc<Seat>, mut stopped: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let router = TowerToHyperService::new(self.router.clone());
        let taken = seat.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let under_way = taken.begin();
            let answer = router.call(request);
            async move {
                // The body holds it: an answer is under way until its last byte, a stream of events for as long as it lasts.
                let keep = move |error| {
                    let _ = &under_way;
                    error
                };
                answer.await.map(|response| response.map(|body| body.map_err(keep)))
            }
        });
        // What a slow handshake took is missing from each head of this connection, not only from the first.
        let mut http = self.http.clone();
        http.header_read_timeout(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
        let stream = Patient::new(stream, self.edge.stall_timeout, self.edge.metrics.clone());
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        // A client that breaks off is no event of ours.
        let is_stop = tokio::select! {
            _ = connection.as_mut() => return,
            () = seat.is_needed() => false,
            _ = stopped.changed() => true,
        };
        connection.as_mut().graceful_shutdown();
        if is_stop {
            let _ = connection.await;
            return;
        }
        while timeout(CLOSE_GRACE, connection.as_mut()).await.is_err() && seat.is_busy() {}
    }
}
