//! One daemon, asked over its socket.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use arcus_api::v1::{ApiError, Status};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::daemons::Daemon;

/// No answer takes longer, unless the daemon is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// A century: what has no end of its own needs one that never comes.
const FOR_EVER: Duration = Duration::from_hours(100 * 365 * 24);

/// Asks one daemon.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    daemon: Daemon,
}

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "nobody listens on {0}: its daemon has ended; start it again, for example with `systemctl \
         start`, and see `journalctl` for why it ended"
    )]
    Gone(String),
    #[error("{0} may be used by the daemon's own user and root only; try `sudo arcus ..`")]
    NotAllowed(String),
    #[error("`{name}` did not answer within {seconds} s")]
    Silent { name: String, seconds: u64 },
    #[error(
        "`{name}` is an {daemon}, which does not know this; ask another daemon with --node NAME"
    )]
    WrongDaemon { name: String, daemon: String },
    #[error("{message}")]
    Refused { status: StatusCode, message: String },
    #[error("asking `{name}`")]
    Http { name: String, source: reqwest::Error },
}

impl Client {
    pub(crate) fn new(daemon: Daemon) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .unix_socket(daemon.socket.as_path())
            .no_proxy()
            .timeout(PATIENCE)
            .build();
        match http {
            Ok(http) => Ok(Self { http, daemon }),
            Err(source) => Err(ClientError::Http { name: daemon.name, source }),
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, None::<&()>, None::<&()>).await
    }

    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Some(query), None::<&()>).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        self.ask(Method::PUT, path, None::<&()>, Some(body)).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::POST, path, None::<&()>, None::<&()>).await
    }

    pub(crate) async fn post_with<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        self.ask(Method::POST, path, None::<&()>, Some(body)).await
    }

    /// An answer that goes on for as long as the daemon, or its asker, likes.
    pub(crate) async fn stream(
        &self,
        path: &str,
        query: &(impl Serialize + Sync),
    ) -> Result<Stream, ClientError> {
        let request = self.request(Method::GET, path).query(query).timeout(FOR_EVER);
        let response = self.accepted(request).await?;
        Ok(Stream { response })
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, path, None::<&()>, None::<&()>).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: Option<&(impl Serialize + Sync)>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ClientError> {
        let response = self.send(method, path, query, body).await?;
        response.json().await.map_err(|error| self.failed(error))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: Option<&(impl Serialize + Sync)>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Response, ClientError> {
        let mut request = self.request(method, path);
        if let Some(query) = query {
            request = request.query(query);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.accepted(request).await
    }

    /// The host is never looked up: the connection is the socket.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://localhost{path}"))
    }

    async fn accepted(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.failed(error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refused(response).await)
        }
    }

    async fn refused(&self, response: Response) -> ClientError {
        let (status, path) = (response.status(), response.url().path().to_owned());
        let message = match response.json::<ApiError>().await {
            Ok(refusal) => refusal.error,
            Err(_) => format!("`{}` answered {status}", self.daemon.name),
        };
        // A daemon of the other kind has no such path at all.
        if status == StatusCode::NOT_FOUND
            && message == format!("there is no `{path}` here")
            && let Ok(response) = self.http.get("http://localhost/v1/status").send().await
            && let Ok(Status { name, daemon, .. }) = response.json().await
        {
            return ClientError::WrongDaemon { name, daemon };
        }
        ClientError::Refused { status, message }
    }

    fn failed(&self, error: reqwest::Error) -> ClientError {
        let socket = || self.daemon.socket.display().to_string();
        if error.is_timeout() {
            return ClientError::Silent {
                name: self.daemon.name.clone(),
                seconds: PATIENCE.as_secs(),
            };
        }
        match io_kind(&error) {
            Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
                ClientError::Gone(socket())
            }
            Some(io::ErrorKind::PermissionDenied) => ClientError::NotAllowed(socket()),
            _ => ClientError::Http { name: self.daemon.name.clone(), source: error },
        }
    }
}

/// Octets of an answer, as they come.
#[derive(Debug)]
pub(crate) struct Stream {
    response: Response,
}

impl Stream {
    /// `None` at the end.
    pub(crate) async fn next(&mut self) -> reqwest::Result<Option<impl AsRef<[u8]> + use<>>> {
        self.response.chunk().await
    }
}

/// The system's own reason, somewhere down the chain.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}
