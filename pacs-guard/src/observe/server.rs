//! The metrics server: one page for Prometheus, read from the kernel at each scrape.

use std::{io, net::SocketAddr, str::FromStr, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONNECTION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};

use super::{Format, Reading, Scrape, gate::Gate};
use crate::{
    control::{Control, Request},
    datapath::Pins,
};

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 8;
/// How long one may last, under what Prometheus waits for an answer.
const VISIT: Duration = Duration::from_secs(5);
/// How long the daemon's loop may take to say what only it knows; a large reload takes less.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// Nowhere.
    Off,
    /// At this address and port.
    At(SocketAddr),
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| "write ADDRESS:PORT, such as 127.0.0.1:9104, or off".to_owned())
    }
}

/// Opens the server's listener.
pub async fn bind(address: SocketAddr) -> io::Result<Gate> {
    TcpListener::bind(address).await.map(|listener| Gate::new(listener, CONNECTIONS, VISIT))
}

/// Answers until the listener fails.
pub async fn serve(gate: Gate, pins: Pins, control: Control) -> io::Result<()> {
    let routes = Router::new()
        .route("/", get(async || "pacs-guard: metrics are at /metrics\n"))
        .route("/metrics", get(metrics))
        .with_state((pins, control));
    axum::serve(gate, routes).await
}

async fn metrics(State((pins, control)): State<(Pins, Control)>, headers: HeaderMap) -> Response {
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accepts);
    let scrape = match Reading::take(&pins).await {
        Ok(reading) => Scrape::new(reading, ask(&control, Request::Status).await),
        Err(why) => return (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response(),
    };
    // A connection that is kept would be cut in the middle of a later scrape.
    ([(CONTENT_TYPE, format.content_type()), (CONNECTION, "close")], scrape.text(format)).into_response()
}

/// What only the daemon's loop knows; `None` where it hangs.
pub(crate) async fn ask<T>(
    control: &Control,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let asked = async {
        control.send(request(reply)).await.ok()?;
        answer.await.ok()
    };
    timeout(PATIENCE, asked).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::mpsc,
    };

    use super::*;

    #[tokio::test]
    async fn a_loop_that_hangs_is_seen_from_outside() {
        let folder = tempfile::tempdir().unwrap();
        let gate = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = axum::serve::Listener::local_addr(&gate).unwrap();
        // Nobody takes a request from it.
        let (control, _requests) = mpsc::channel(16);
        tokio::spawn(serve(gate, Pins::here(folder.path()).unwrap(), control));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: pacs\r\n\r\n").await.unwrap();
        let mut page = String::new();
        client.read_to_string(&mut page).await.unwrap();
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("\npacs_guard_daemon_up 0\n"), "{page}");
    }
}
