//! The daemon's end of the control socket.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt, chown},
    path::Path,
    sync::Arc,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, Query, State, connect_info::Connected},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::IncomingStream,
};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{broadcast, mpsc, oneshot},
};

use super::{Change, ChangeReport, DaemonStatus, EventRecord, SeenRecord};

/// A question to the daemon; the answer goes back on the channel.
pub enum Request {
    /// What only the daemon knows.
    Status(oneshot::Sender<DaemonStatus>),
    /// Change what is in force.
    Change(Change, oneshot::Sender<ChangeReport>),
    /// The sources lately seen; in words, why they can't be read.
    Seen(oneshot::Sender<Result<Vec<SeenRecord>, String>>),
    /// The kept events, and the stream of the ones to come.
    Events(oneshot::Sender<EventFeed>),
}

/// Events from the kept ones on, without a gap.
pub struct EventFeed {
    /// The kept ones, the oldest first.
    pub kept: Vec<Arc<EventRecord>>,
    /// The ones to come.
    pub coming: broadcast::Receiver<Arc<EventRecord>>,
}

/// The way to the daemon.
pub type Control = mpsc::Sender<Request>;

/// Who is at the other end of a connection.
#[derive(Clone, Copy)]
struct Caller {
    uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self { uid: stream.io().peer_cred().ok().map(|peer| peer.uid()) }
    }
}

impl Caller {
    /// Root and the daemon's own user may change what is in force; the group may only look.
    fn may_change(self) -> bool {
        self.uid.is_some_and(|uid| uid == 0 || uid == nix::unistd::geteuid().as_raw())
    }
}

/// Opens the socket, for its owner and the group `pacs-guard`. What a dead daemon left is replaced, and never the
/// socket of a living one.
pub async fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match UnixStream::connect(path).await {
            Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            _ => {
                return Err(io::Error::other(
                    "another pacs-guard has it: stop that one first, or give this one a --run-dir of its own",
                ));
            }
        },
        Ok(_) => return Err(io::Error::other(format!("{} is there and is no socket", path.display()))),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(why),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    if let Ok(Some(group)) = nix::unistd::Group::from_name("pacs-guard") {
        chown(path, None, Some(group.gid.as_raw()))?;
    }
    Ok(listener)
}

/// Answers until the listener fails.
pub async fn serve(listener: UnixListener, control: Control) -> io::Result<()> {
    const MAX_BODY: usize = 8192;
    let routes = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/change", post(change))
        .route("/v1/seen", get(seen))
        .route("/v1/events", get(events))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(control);
    axum::serve(listener, routes.into_make_service_with_connect_info::<Caller>()).await
}

/// Asks the daemon; it answers 503 while it ends.
async fn ask<T>(
    control: &Control,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
) -> Result<T, StatusCode> {
    let (reply, answer) = oneshot::channel();
    control.send(request(reply)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    answer.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn status(State(control): State<Control>) -> Result<Json<DaemonStatus>, StatusCode> {
    ask(&control, Request::Status).await.map(Json)
}

async fn change(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Json(change): Json<Change>,
) -> Response {
    if !caller.may_change() {
        return (StatusCode::FORBIDDEN, "only root may change what is in force").into_response();
    }
    ask(&control, |reply| Request::Change(change, reply)).await.map(Json).into_response()
}

async fn seen(State(control): State<Control>) -> Response {
    match ask(&control, Request::Seen).await {
        Ok(Ok(seen)) => Json(seen).into_response(),
        Ok(Err(why)) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
        Err(status) => status.into_response(),
    }
}

#[derive(Deserialize)]
struct EventsQuery {
    /// Only the kept ones.
    #[serde(default)]
    recent: bool,
}

/// One JSON object a line.
async fn events(
    State(control): State<Control>,
    Query(query): Query<EventsQuery>,
) -> Result<Response, StatusCode> {
    let EventFeed { kept, coming } = ask(&control, Request::Events).await?;
    let kept = stream::iter(kept.into_iter().map(|event| line(&event)));
    if query.recent {
        return Ok(Body::from_stream(kept).into_response());
    }
    let coming = stream::unfold(coming, async |mut coming| match coming.recv().await {
        Ok(event) => Some((line(&event), coming)),
        // Whoever reads too slowly is told how many it missed, and goes on.
        Err(broadcast::error::RecvError::Lagged(missed)) => {
            Some((Ok(format!("{{\"missed\":{missed}}}\n")), coming))
        }
        Err(broadcast::error::RecvError::Closed) => None,
    });
    Ok(Body::from_stream(kept.chain(coming)).into_response())
}

fn line(event: &EventRecord) -> Result<String, serde_json::Error> {
    serde_json::to_string(event).map(|text| text + "\n")
}
