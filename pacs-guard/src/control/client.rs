//! The command line's end of the control socket.

use std::{io, path::Path, pin::Pin, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONTENT_TYPE, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines},
    net::UnixStream,
};

use super::{AcceptPeer, Change, ChangeReport, DaemonStatus, EventRecord, LearnOrder, Learning, Readiness};
use crate::{echo::Accepted, seen::SeenRecord};

/// Why the daemon did not answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no daemon runs here: {path}: {why}")]
    NotRunning {
        /// The socket.
        path: String,
        /// What the system said.
        why: io::Error,
    },
    /// Somebody listens, and nothing comes.
    #[error("the daemon does not answer: nothing came for {} s; `pacs-guard status` shows what is in force", .0.as_secs())]
    Silent(Duration),
    /// The caller may not.
    #[error("the daemon refuses: {0}")]
    Refused(String),
    /// The connection broke.
    #[error("the daemon's answer broke off: {0}")]
    Broken(#[from] hyper::Error),
    /// The answer is not what this version expects.
    #[error("the daemon's answer is not understood ({0}): is it of another version?")]
    Answer(#[from] serde_json::Error),
    /// The stream of events broke.
    #[error("the stream of events broke off: {0}")]
    Stream(#[from] io::Error),
}

/// How long a daemon may take to say what it knows.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a change may take, with those that wait before it: a million sources take about 5 s.
const CHANGE: Duration = Duration::from_secs(120);

/// A daemon that hangs is no reason to wait for ever.
async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(patience, answer).await.unwrap_or(Err(ClientError::Silent(patience)))
}

/// A connection to the daemon for one question.
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the daemon's socket.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|why| ClientError::NotRunning { path: path.display().to_string(), why })?;
        Ok(Self { stream })
    }

    /// What only the daemon knows.
    pub async fn status(self) -> Result<DaemonStatus, ClientError> {
        within(PATIENCE, self.json(Method::GET, "/v1/status", Vec::new())).await
    }

    /// Asks for a change and waits for what came of it.
    pub async fn change(self, change: &Change) -> Result<ChangeReport, ClientError> {
        let body = serde_json::to_vec(change)?;
        within(CHANGE, self.json(Method::POST, "/v1/change", body)).await
    }

    /// The sources lately seen, the ones that were let in first.
    pub async fn seen(self) -> Result<Vec<SeenRecord>, ClientError> {
        self.json(Method::GET, "/v1/seen", Vec::new()).await
    }

    /// Has AE titles noted for so many seconds; 0 ends it.
    pub async fn learn(self, seconds: u64) -> Result<Learning, ClientError> {
        let body = serde_json::to_vec(&LearnOrder { seconds })?;
        self.json(Method::POST, "/v1/learn", body).await
    }

    /// Accepts a peer as it is now.
    pub async fn accept_peer(self, name: &str) -> Result<Accepted, ClientError> {
        let body = serde_json::to_vec(&AcceptPeer { peer: name.to_owned() })?;
        self.json(Method::POST, "/v1/peer/accept", body).await
    }

    /// How long the policy in force would have dropped nothing.
    pub async fn readiness(self) -> Result<Readiness, ClientError> {
        self.json(Method::GET, "/v1/ready", Vec::new()).await
    }

    /// The kept events, and then, unless only they are wanted, the ones to come.
    pub async fn events(self, recent: bool) -> Result<Events, ClientError> {
        let path = if recent { "/v1/events?recent=true" } else { "/v1/events" };
        let body = within(PATIENCE, self.send(Method::GET, path, Vec::new())).await?.into_data_stream();
        let bytes = futures_util::TryStreamExt::map_err(body, io::Error::other);
        let reader: Pin<Box<dyn AsyncBufRead + Send>> =
            Box::pin(BufReader::new(tokio_util::io::StreamReader::new(bytes)));
        Ok(Events { lines: reader.lines() })
    }

    async fn json<T: DeserializeOwned>(
        self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        let body = self.send(method, path, body).await?.collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }

    async fn send(self, method: Method, path: &str, body: Vec<u8>) -> Result<Incoming, ClientError> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::new(Full::new(Bytes::from(body)));
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap_or_default();
        let response = sender.send_request(request).await?;
        if response.status() == StatusCode::OK {
            return Ok(response.into_body());
        }
        let status = response.status();
        let words = response.into_body().collect().await?.to_bytes();
        Err(ClientError::Refused(format!("{} {}", status.as_u16(), String::from_utf8_lossy(&words))))
    }
}

/// A stream of events.
pub struct Events {
    lines: Lines<Pin<Box<dyn AsyncBufRead + Send>>>,
}

/// An item of the stream.
pub enum Streamed {
    /// An event.
    Event(Box<EventRecord>),
    /// So many events came faster than this reader took them.
    Missed(u64),
}

impl Events {
    /// The next one; `None` where the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Streamed>, ClientError> {
        let Some(line) = self.lines.next_line().await? else { return Ok(None) };
        let value: serde_json::Value = serde_json::from_str(&line)?;
        Ok(Some(match value.get("missed").and_then(serde_json::Value::as_u64) {
            Some(missed) => Streamed::Missed(missed),
            None => Streamed::Event(Box::new(serde_json::from_value(value)?)),
        }))
    }
}
