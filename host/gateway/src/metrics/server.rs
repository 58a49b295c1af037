//! The loopback port: one page, a bounded number of connections, each for a bounded time.
//!
//! Every local user can connect. Whoever comes is served, and where there are too many, whoever came first goes: a
//! scrape takes milliseconds, so it is those who hold connections open that lose them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::limits::METRICS_CONNECTIONS;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::render;
use crate::core::Core;

/// A connection is closed after this, whatever it is doing: a scrape takes milliseconds.
const CONNECTION: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// To be called inside the runtime. The future serves until it is dropped, which ends every connection with it.
pub(crate) fn listen(address: SocketAddr, core: Arc<Core>) -> io::Result<(SocketAddr, impl Future<Output = ()>)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    Ok((listener.local_addr()?, accept(listener, core)))
}

async fn accept(listener: TcpListener, core: Arc<Core>) {
    let mut connections = JoinSet::new();
    let mut by_age = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                by_age.retain(|connection: &AbortHandle| !connection.is_finished());
                if by_age.len() >= METRICS_CONNECTIONS
                    && let Some(oldest) = by_age.pop_front()
                {
                    oldest.abort();
                }
                by_age.push_back(connections.spawn(serve(stream, core.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, "A connection for metrics was not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, core: Arc<Core>) {
    let service = service_fn(|request| {
        let core = core.clone();
        async move { Ok::<_, Infallible>(answer(&request, &core).await) }
    });
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // Whoever hangs up early, or asks for too long, is not missed.
    let _ = timeout(CONNECTION, connection).await;
}

async fn answer(request: &Request<Incoming>, core: &Core) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            *response.body_mut() = Full::new(Bytes::from(render(core).await));
        }
        (_, "/metrics") => {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
        }
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}
