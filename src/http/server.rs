//! Accepting connections with bounds that axum's own server lacks: a header timeout, a cap on connections, a hard end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Wait after a failed accept (out of file descriptors, mostly), so that it does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Who is at the other end of the connection: in the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connections_max: usize,
    pub header_timeout: Duration,
}

/// Request line and headers, bytes. Beyond: 431 by the HTTP library, and the connection ends.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Serves until `stop`, then lets requests under way finish until the deadline that it gives.
///
/// Returns whether every one did.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: impl Future<Output = Instant>) -> bool {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout).keep_alive(true);
    http.max_buf_size(HEAD_BYTES_MAX);
    let room = Arc::new(Semaphore::new(bounds.connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    let deadline = loop {
        let (stream, peer, permit) = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            deadline = &mut stop => break deadline,
            // Reaps ended connections, so that the set does not grow.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let service = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            service.call(request)
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        connections.spawn(async move {
            // A client that breaks off is no event of ours.
            let _ = connection.await;
            drop(permit);
        });
    };
    drop(listener);
    drop(router);
    let ended = tokio::time::timeout_at(deadline, graceful.shutdown()).await.is_ok();
    // Dropping the set cuts off what is left.
    connections.shutdown().await;
    ended
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    let permit = room.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are one small write: waiting to fill a packet would only delay them.
                let _ = stream.set_nodelay(true);
                return (stream, peer, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}
