//! The server of the page: three paths, read-only, few connections, and only for who asks for a loopback name.

use std::{convert::Infallible, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
        uri::Authority,
    },
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Response, Sse, sse::Event},
    routing::get,
};
use futures_util::stream;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use super::{
    lookout::Lookout,
    page::{PAGE, POLICY},
};
use crate::{control::Control, datapath::Pins, observe::Gate};

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16;
/// How long one may last, whoever is at the other end.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long a stream lasts. It ends in order before its connection is cut, and the browser comes again.
const STREAM: Duration = Duration::from_secs(8);
/// The time between two events of a stream.
const PACE: Duration = Duration::from_secs(1);

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    // A connection that is kept would hold a place.
    (CONNECTION, "close"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Serves the page from now on. Enforcement never depends on whether somebody can see it.
pub async fn start(address: SocketAddr, pins: &Pins, state_dir: &Path, control: &Control) {
    match TcpListener::bind(address).await {
        Ok(listener) => {
            tracing::info!("status page: http://{address}/");
            let gate = Gate::new(listener, CONNECTIONS, PATIENCE);
            tokio::spawn(serve(gate, Lookout::new(pins.clone(), state_dir.to_owned(), control.clone())));
        }
        Err(why) => {
            tracing::error!("the status page is not served: {address}: {why}; --web takes another address")
        }
    }
}

/// Answers until the listener fails.
async fn serve(gate: Gate, lookout: Lookout) -> io::Result<()> {
    let lookout = Arc::new(lookout);
    let routes = Router::new()
        .route("/", get(async || Html(PAGE.as_str())))
        .route("/state", get(state))
        .route("/stream", get(stream))
        .layer(from_fn(guard))
        .with_state(lookout.clone());
    tokio::select! {
        served = axum::serve(gate, routes) => served,
        () = lookout.watch() => Ok(()),
    }
}

async fn state(State(lookout): State<Arc<Lookout>>) -> Response {
    match lookout.look().await {
        Ok(view) => ([(CONTENT_TYPE, "application/json")], view.to_string()).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response(),
    }
}

async fn stream(State(lookout): State<Arc<Lookout>>) -> impl IntoResponse {
    let events = stream::unfold((lookout, None), |(lookout, began)| async move {
        match began {
            None => {}
            Some(began) if Instant::now().duration_since(began) > STREAM => return None,
            Some(_) => sleep(PACE).await,
        }
        let event = match lookout.look().await {
            Ok(view) => Event::default().data(view),
            Err(why) => Event::default().event("problem").data(why),
        };
        let event = event.retry(Duration::from_millis(250));
        Some((Ok::<_, Infallible>(event), (lookout, Some(began.unwrap_or_else(Instant::now)))))
    });
    Sse::new(events)
}

/// Refuses who asks for another host's name, and puts the headers on every answer.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = if asks_for_loopback(request.headers()) {
        next.run(request).await
    } else {
        let what = "the Host header names no loopback address: ask for 127.0.0.1, [::1] or localhost\n";
        (StatusCode::MISDIRECTED_REQUEST, what).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Whether the one Host header names this host and no name that somebody else's DNS server made up: a page from
/// elsewhere could point its own name here, and read what its own origin says (DNS rebinding).
fn asks_for_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
