//! The server of the page: three paths, read-only and few connections; on loopback only for who asks for a loopback
//! name, elsewhere only over TLS and for who comes in.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
        uri::Authority,
    },
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Redirect, Response, Sse, sse::Event},
    routing::get,
    serve::Listener,
};
use futures_util::stream;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::{Instant, sleep, timeout},
};

use super::{
    Place, Served,
    lock::Lock,
    login::{self, Source},
    lookout::Lookout,
    page::{PAGE, POLICY},
};
use crate::{control::Control, datapath::Pins, observe::Gate};

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16;
/// How long one may last, whoever is at the other end.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long one may take to agree on TLS, and then again to say what it wants.
const GREETING: Duration = Duration::from_secs(3);
/// Bytes of a request's head, for which hyper takes 8192 at least, and lines of it; bytes of the form.
const HEAD: (usize, usize) = (16 << 10, 64);
const FORM: usize = 1024;
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
pub async fn start(place: &Place, pins: &Pins, state_dir: &Path, control: &Control) -> Option<Served> {
    let url = place.url();
    let lock = match place.lock.clone().map(Lock::read).transpose() {
        Ok(lock) => lock.map(Arc::new),
        Err(why) => {
            tracing::error!("the status page is not served: {why}; then start pacs-guard again");
            return None;
        }
    };
    match TcpListener::bind(place.address).await {
        Ok(listener) => {
            tracing::info!("status page: {url}");
            let lookout = Arc::new(Lookout::new(pins.clone(), state_dir.to_owned(), control.clone()));
            let routes = routes(lookout.clone(), lock.clone(), place.address.ip().is_loopback());
            tokio::spawn(serve(Gate::new(listener, CONNECTIONS, PATIENCE), lock.clone(), routes));
            tokio::spawn(async move { lookout.watch().await });
            Some(Served { url, lock })
        }
        Err(why) => {
            let address = place.address;
            tracing::error!("the status page is not served: {address}: {why}; --web takes another address");
            None
        }
    }
}

fn routes(lookout: Arc<Lookout>, lock: Option<Arc<Lock>>, loopback: bool) -> Router {
    let mut routes = Router::new()
        .route("/", get(async || Html(PAGE.as_str())))
        .route("/state", get(state))
        .route("/stream", get(stream))
        .with_state(lookout);
    if let Some(lock) = lock {
        // All that is there so far asks, also a path that is not; the form does not.
        routes = routes.layer(from_fn_with_state(lock.clone(), login::ask)).route(
            "/login",
            get(async || Redirect::to("/"))
                .post(login::log_in)
                .layer(DefaultBodyLimit::max(FORM))
                .with_state(lock),
        );
    }
    routes.layer(from_fn_with_state(loopback, guard))
}

/// Answers for ever.
async fn serve(mut gate: Gate, lock: Option<Arc<Lock>>, routes: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(GREETING)
        .max_buf_size(HEAD.0)
        .max_headers(HEAD.1)
        .keep_alive(false);
    loop {
        let (guest, address) = gate.accept().await;
        let (http, tls) = (http.clone(), lock.as_ref().map(|lock| lock.tls()));
        let routes = routes.clone().layer(Extension(Source(address.ip().to_canonical())));
        tokio::spawn(async move {
            match tls {
                None => answer(&http, guest, routes).await,
                Some(tls) => match timeout(GREETING, tls.accept(guest)).await {
                    Ok(Ok(guest)) => answer(&http, guest, routes).await,
                    Ok(Err(why)) => tracing::debug!("status page: no TLS with {address}: {why}"),
                    Err(_) => tracing::debug!("status page: no TLS with {address} in time"),
                },
            }
        });
    }
}

async fn answer(http: &http1::Builder, guest: impl AsyncRead + AsyncWrite + Unpin, routes: Router) {
    // Whoever breaks off, or never says anything, needs no answer.
    http.serve_connection(TokioIo::new(guest), TowerToHyperService::new(routes)).await.ok();
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
async fn guard(State(loopback): State<bool>, request: Request, next: Next) -> Response {
    let mut response = if !loopback || asks_for_loopback(request.headers()) {
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
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
    }
    response
}

/// Whether the one Host header names this host and no name that somebody else's DNS server made up: a page from
/// elsewhere could point its own name here, and read what its own origin says (DNS rebinding). Beyond loopback this host
/// can't know its own names. There such a page reads nothing: the certificate is not for its name, and neither is a
/// session, which a browser keeps for the name that it was given under.
fn asks_for_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
