use std::io;
use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::Listener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::connection::Bounded;
use super::{ApiError, Listeners};

/// Connections at once, for each listener: one must not starve the other.
const MAX_CONNECTIONS: usize = 64;

/// How long a request that has begun may go on after the daemon was told to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves `router` until `shutdown`, then lets requests that have begun come to their end.
///
/// On TCP nothing can be changed: everybody on the machine can connect there, and so can a web page in a
/// browser on it, if only the name that it asks for is not looked at.
pub async fn serve(
    listeners: Listeners,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    // The file goes when this function is left, before the claim on the name does.
    let Listeners { unix, tcp, file: _file } = listeners;
    let router = router.fallback(unknown).method_not_allowed_fallback(wrong_method);
    let over_tcp = async {
        let Some(tcp) = tcp else { return Ok(()) };
        info!(address = %tcp.local_addr()?, "api on loopback, read-only");
        answer(tcp, router.clone().layer(from_fn(read_only)), shutdown.clone()).await
    };
    let over_unix = answer(unix, router.clone(), shutdown.clone());
    tokio::try_join!(over_unix, over_tcp)?;
    Ok(())
}

async fn answer<L>(listener: L, router: Router, shutdown: CancellationToken) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let listener = Bounded::new(listener, MAX_CONNECTIONS);
    let serving =
        axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let out_of_time = async {
        shutdown.cancelled().await;
        sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => served,
        () = out_of_time => {
            warn!("api requests were cut off");
            Ok(())
        }
    }
}

async fn unknown(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is no `{}` here", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("`{}` does not take {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

async fn read_only(request: Request, next: Next) -> Result<Response, ApiError> {
    let forbidden = |message: &str| ApiError::new(StatusCode::FORBIDDEN, message);
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(forbidden("only the Unix socket takes changes"));
    }
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(names_loopback) {
        return Err(forbidden("ask for localhost or a loopback address"));
    }
    Ok(next.run(request).await)
}

/// Whether a `Host` header is one that no foreign name server can point here.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::{get, put};
    use serde::Deserialize;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::net::{TcpStream, UnixStream};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::super::{Json, Path, Query};
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limit {
        limit: u8,
    }

    struct Server {
        dir: tempfile::TempDir,
        tcp: SocketAddr,
        shutdown: CancellationToken,
        task: JoinHandle<io::Result<()>>,
    }

    impl Server {
        async fn start() -> Self {
            let router = Router::new()
                .route(
                    "/v1/limit",
                    get(|Query(query): Query<Limit>| async move { Json(query.limit) }),
                )
                .route(
                    "/v1/ports/{id}",
                    put(|Path(id): Path<u8>, Json(n): Json<u8>| async move { Json(id + n) }),
                );
            let dir = tempfile::tempdir().expect("a directory");
            let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
            let listeners = Listeners::bind(&dir.path().join("d.sock"), Some(loopback))
                .await
                .expect("listeners");
            let tcp = listeners.tcp_address().expect("tcp");
            let shutdown = CancellationToken::new();
            let task = tokio::spawn(serve(listeners, router, shutdown.clone()));
            Self { dir, tcp, shutdown, task }
        }

        async fn unix(&self, request: &str) -> String {
            let socket = self.dir.path().join("d.sock");
            let stream = UnixStream::connect(socket).await.expect("it listens");
            exchange(stream, request).await
        }

        async fn tcp(&self, request: &str) -> String {
            exchange(TcpStream::connect(self.tcp).await.expect("it listens"), request).await
        }
    }

    async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
        let mut reply = String::new();
        stream.write_all(request.as_bytes()).await.expect("sent");
        let reading = stream.read_to_string(&mut reply);
        timeout(Duration::from_secs(10), reading).await.expect("in time").expect("a reply");
        reply
    }

    fn request(line: &str, host: &str, body: &str) -> String {
        format!(
            "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[tokio::test]
    async fn every_refusal_has_the_same_shape() {
        let server = Server::start().await;
        // (request, status, part of the error)
        let cases = [
            (request("GET /v1/nothing", "d", ""), "404", "there is no `/v1/nothing` here"),
            (request("DELETE /v1/limit", "d", ""), "405", "does not take DELETE"),
            (request("GET /v1/limit?limit=300", "d", ""), "400", "limit"),
            (request("GET /v1/limit?limt=3", "d", ""), "400", "limt"),
            (request("PUT /v1/ports/x", "d", "1"), "400", "x"),
            (request("PUT /v1/ports/1", "d", "?"), "400", "JSON"),
        ];
        for (request, status, error) in cases {
            let reply = server.unix(&request).await;
            assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{request}\n{reply}");
            let body = reply.split("\r\n\r\n").nth(1).expect("a body");
            let json: serde_json::Value = serde_json::from_str(body).expect(body);
            assert!(json["error"].as_str().expect("text").contains(error), "{body}");
        }
        let reply = server.unix(&request("PUT /v1/ports/1", "d", "2")).await;
        assert!(reply.ends_with("\r\n\r\n3"), "{reply}");
    }

    #[tokio::test]
    async fn nothing_is_changed_over_tcp_nor_shown_to_a_foreign_name() {
        let server = Server::start().await;
        let reply = server.tcp(&request("GET /v1/limit?limit=3", "localhost:80", "")).await;
        assert!(reply.ends_with("\r\n\r\n3"), "{reply}");
        let reply = server.tcp(&request("PUT /v1/ports/1", "localhost", "2")).await;
        assert!(reply.starts_with("HTTP/1.1 403 "), "{reply}");
        let reply = server.tcp(&request("GET /v1/limit?limit=3", "evil.example", "")).await;
        assert!(reply.starts_with("HTTP/1.1 403 "), "{reply}");
    }

    #[tokio::test]
    async fn shutdown_ends_serving_and_removes_the_socket() {
        let server = Server::start().await;
        server.unix(&request("GET /v1/limit?limit=3", "d", "")).await;
        server.shutdown.cancel();
        let ended = timeout(Duration::from_secs(10), server.task).await.expect("in time");
        ended.expect("no panic").expect("no error");
        assert!(!server.dir.path().join("d.sock").exists());
    }

    #[tokio::test]
    async fn a_request_that_never_ends_does_not_hold_the_daemon() {
        let server = Server::start().await;
        let socket = server.dir.path().join("d.sock");
        let mut endless = UnixStream::connect(socket).await.expect("it listens");
        let head = "PUT /v1/ports/1 HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n\
                    Content-Length: 9\r\nExpect: 100-continue\r\n\r\n";
        endless.write_all(head.as_bytes()).await.expect("sent");
        // The handler has begun once it asks for the body, which never comes.
        let mut interim = [0; "HTTP/1.1 100".len()];
        endless.read_exact(&mut interim).await.expect("an interim reply");
        assert_eq!(&interim, b"HTTP/1.1 100");
        server.shutdown.cancel();
        let ended = timeout(Duration::from_secs(30), server.task).await.expect("in time");
        ended.expect("no panic").expect("no error");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_nothing_do_not_keep_others_waiting() {
        let server = Server::start().await;
        let socket = server.dir.path().join("d.sock");
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            let mut stream = UnixStream::connect(&socket).await.expect("it listens");
            stream.write_all(b"GET /v1/li").await.expect("sent");
            silent.push(stream);
        }
        let mut stream = UnixStream::connect(&socket).await.expect("it listens");
        let asked = request("GET /v1/limit?limit=3", "d", "");
        stream.write_all(asked.as_bytes()).await.expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("a reply");
        assert!(reply.ends_with("\r\n\r\n3"), "{reply}");
    }

    #[test]
    fn loopback_names_are_known() {
        for host in ["localhost", "localhost:9000", "127.0.0.1:80", "[::1]:80", "127.8.0.1"] {
            assert!(names_loopback(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "10.0.0.1", "[2001:db8::1]"] {
            assert!(!names_loopback(host), "{host}");
        }
    }
}
