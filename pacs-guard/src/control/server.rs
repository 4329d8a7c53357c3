//! The daemon's end of the control socket.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt, chown},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{self, DefaultBodyLimit, FromRequest, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, broadcast, mpsc, oneshot},
    time::timeout,
};

use super::{AcceptPeer, Change, ChangeReport, DaemonStatus, EventRecord, LearnOrder, Learning, Readiness};
use crate::{echo::Accepted, seen::SeenRecord, state::StateError, web::Reach};

/// A question to the daemon; the answer goes back on the channel.
pub enum Request {
    /// What only the daemon knows.
    Status(oneshot::Sender<DaemonStatus>),
    /// Who may reach what by the policy in force.
    Reach(oneshot::Sender<Reach>),
    /// Change what is in force.
    Change(Change, oneshot::Sender<ChangeReport>),
    /// The sources lately seen; in words, why they can't be read.
    Seen(oneshot::Sender<Result<Vec<SeenRecord>, String>>),
    /// Note AE titles for so many seconds, 0 for no longer; in words, why not.
    Learn(u64, oneshot::Sender<Result<Learning, String>>),
    /// Accept a peer as it is now.
    AcceptPeer(String, oneshot::Sender<Result<Accepted, StateError>>),
    /// How long the policy in force would have dropped nothing; in words, why that is not known.
    Ready(oneshot::Sender<Result<Readiness, String>>),
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

impl Caller {
    fn of(stream: &UnixStream) -> Self {
        Self { uid: stream.peer_cred().ok().map(|peer| peer.uid()) }
    }

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

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers for ever. Whatever a caller does costs a bounded part of memory, of descriptors and of time.
pub async fn serve(listener: UnixListener, control: Control) {
    const MAX_BODY: usize = 8192;
    const MAX_HEADERS: usize = 32;
    const MAX_HEAD: usize = 16 << 10;
    /// For root and for everybody else: who may only look must not keep out who may change.
    const CONNECTIONS: usize = 128;
    /// So many more hear that all seats are taken.
    const TURNED_AWAY: usize = 32;
    let routes = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/change", post(change))
        .route("/v1/seen", get(seen))
        .route("/v1/learn", post(learn))
        .route("/v1/peer/accept", post(accept_peer))
        .route("/v1/ready", get(ready))
        .route("/v1/events", get(events))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(control);
    let full = Router::new()
        .fallback(async || (StatusCode::SERVICE_UNAVAILABLE, "too many connections: try again later"));
    let seats = [CONNECTIONS, CONNECTIONS, TURNED_AWAY].map(|count| Arc::new(Semaphore::new(count)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(why) => {
                tracing::error!("the control socket can't take a connection: {why}");
                // No descriptor is left, say: one may come free.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let caller = Caller::of(&stream);
        let [root, others, door] = &seats;
        let seat = if caller.may_change() { root } else { others };
        let (seat, routes) = match seat.clone().try_acquire_owned() {
            Ok(seat) => (seat, routes.clone().layer(Extension(caller))),
            // Where nobody is left to say even that, the connection just ends.
            Err(_) => match door.clone().try_acquire_owned() {
                Ok(seat) => (seat, full.clone()),
                Err(_) => continue,
            },
        };
        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
        tokio::spawn(async move {
            // A caller that breaks off, or never says anything, needs no answer.
            connection.await.ok();
            drop(seat);
        });
    }
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

/// What a caller who may change things wants, if it says so in time.
async fn order<T: DeserializeOwned>(
    caller: Caller,
    request: extract::Request,
    refusal: &'static str,
) -> Result<T, Response> {
    if !caller.may_change() {
        return Err((StatusCode::FORBIDDEN, refusal).into_response());
    }
    match timeout(PATIENCE, Json::from_request(request, &())).await {
        Ok(Ok(Json(order))) => Ok(order),
        Ok(Err(rejection)) => Err(rejection.into_response()),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the request did not come to its end").into_response()),
    }
}

async fn change(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    request: extract::Request,
) -> Result<Response, Response> {
    let change = order(caller, request, "only root may change what is in force").await?;
    Ok(ask(&control, |reply| Request::Change(change, reply)).await.map(Json).into_response())
}

async fn seen(State(control): State<Control>) -> Response {
    answer(ask(&control, Request::Seen).await)
}

async fn ready(State(control): State<Control>) -> Response {
    answer(ask(&control, Request::Ready).await)
}

/// An answer, or why there is none.
fn answer<T: Serialize>(asked: Result<Result<T, String>, StatusCode>) -> Response {
    match asked {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(why)) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
        Err(status) => status.into_response(),
    }
}

async fn learn(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    request: extract::Request,
) -> Result<Response, Response> {
    let LearnOrder { seconds } = order(caller, request, "only root may have AE titles noted").await?;
    Ok(answer(ask(&control, |reply| Request::Learn(seconds, reply)).await))
}

async fn accept_peer(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    request: extract::Request,
) -> Result<Response, Response> {
    let AcceptPeer { peer } = order(caller, request, "only root may accept a peer").await?;
    Ok(match ask(&control, |reply| Request::AcceptPeer(peer, reply)).await {
        Ok(Ok(accepted)) => Json(accepted).into_response(),
        Ok(Err(why)) => (StatusCode::INTERNAL_SERVER_ERROR, why.to_string()).into_response(),
        Err(status) => status.into_response(),
    })
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
