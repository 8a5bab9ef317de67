//! The web application of a workload, and its client.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, TcpStream};

use super::http;

/// How long a backend may take.
const BACKEND_CEILING: Duration = Duration::from_secs(2);

/// Serves `/` with the workload's name, and `/BACKEND/REST` with what its backend answers for `/REST`,
/// as `NAME > ANSWER`: the answer tells the whole way of the request.
#[derive(Debug, Clone, clap::Args)]
pub struct Web {
    /// What the answers are signed with
    #[arg(long)]
    name: String,
    /// Address and port to listen on
    #[arg(long, default_value = "0.0.0.0:80")]
    listen: SocketAddr,
    /// A backend, for example db-1=10.0.100.4:80; may be repeated
    #[arg(long = "backend")]
    backends: Vec<Backend>,
}

/// A name that pages are under, and where they come from.
#[derive(Debug, Clone)]
struct Backend {
    name: String,
    address: SocketAddr,
}

impl FromStr for Backend {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, address) = text.split_once('=').context("write NAME=ADDRESS:PORT")?;
        Ok(Self { name: name.to_owned(), address: address.parse()? })
    }
}

impl Web {
    /// Serves until the process ends.
    pub async fn run(self) -> Result<()> {
        let listener = TcpListener::bind(self.listen).await?;
        let site = Site {
            name: self.name,
            backends: self.backends.into_iter().map(|b| (b.name, b.address)).collect(),
        };
        loop {
            let (stream, _) = listener.accept().await?;
            let site = site.clone();
            tokio::spawn(async move {
                // A client that goes away in the middle is its own affair.
                let _served = site.serve(stream).await;
            });
        }
    }
}

#[derive(Debug, Clone)]
struct Site {
    name: String,
    backends: BTreeMap<String, SocketAddr>,
}

impl Site {
    async fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let path = http::read_request(&mut stream).await?;
        match self.page(&path).await {
            Ok(body) => http::answer(&mut stream, "200 OK", &format!("{body}\n")).await,
            Err(why) => {
                let body = format!("{}: {why:#}\n", self.name);
                http::answer(&mut stream, "502 Bad Gateway", &body).await
            }
        }
    }

    async fn page(&self, path: &str) -> Result<String> {
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            return Ok(self.name.clone());
        }
        let (backend, rest) = path.split_once('/').unwrap_or((path, ""));
        let Some(address) = self.backends.get(backend) else { bail!("no backend `{backend}`") };
        let inner = http::get(*address, &format!("/{rest}"), None, BACKEND_CEILING).await?;
        Ok(format!("{} > {inner}", self.name))
    }
}

/// Prints one line per request: the body, or `! ` and the reason. Fails if any request failed.
#[derive(Debug, Clone, clap::Args)]
pub struct Fetch {
    /// Address and port of the server
    to: SocketAddr,
    /// The page
    #[arg(default_value = "/")]
    path: String,
    /// How many requests
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Address to connect from
    #[arg(long)]
    from: Option<IpAddr>,
    /// Milliseconds that a request may take
    #[arg(long, default_value_t = 3000)]
    timeout: u64,
}

impl Fetch {
    pub async fn run(self) -> Result<()> {
        let mut failed = 0_u32;
        for _ in 0..self.count {
            let ceiling = Duration::from_millis(self.timeout);
            let line = match http::get(self.to, &self.path, self.from, ceiling).await {
                Ok(body) => body,
                Err(why) => {
                    failed += 1;
                    format!("! {why:#}")
                }
            };
            writeln!(std::io::stdout(), "{line}")?;
        }
        if failed > 0 {
            bail!("{failed} of {} requests failed", self.count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn serve(name: &str, backends: &[(&str, SocketAddr)]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let backends = backends.iter().map(|(n, a)| ((*n).to_owned(), *a)).collect();
        let site = Site { name: name.to_owned(), backends };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a client");
                site.serve(stream).await.expect("served");
            }
        });
        address
    }

    #[tokio::test]
    async fn an_answer_names_every_workload_on_the_way() {
        let db = serve("db-1", &[]).await;
        let leonardo = serve("leonardo-2", &[("db-1", db)]).await;
        let nginx = serve("nginx-3", &[("leonardo", leonardo)]).await;
        let body = http::get(nginx, "/leonardo/db-1", None, BACKEND_CEILING).await;
        assert_eq!(body.expect("an answer"), "nginx-3 > leonardo-2 > db-1");
    }

    #[tokio::test]
    async fn a_backend_that_cannot_be_reached_is_an_error_with_a_name() {
        let nobody = "127.0.0.1:1".parse().expect("an address");
        let leonardo = serve("leonardo-2", &[("db-1", nobody)]).await;
        let error = http::get(leonardo, "/db-1", None, BACKEND_CEILING).await;
        let text = format!("{:#}", error.expect_err("nobody listens there"));
        assert!(text.contains("status 502: leonardo-2: 127.0.0.1:1:"), "{text}");
    }
}
