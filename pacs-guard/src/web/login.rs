//! Who comes in: a machine shows the token with each request, a browser once, in a form.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension, Form,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, CONTENT_SECURITY_POLICY, COOKIE, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE},
    },
    middleware::Next,
    response::{Html, IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::{
    lock::{Lock, Refused},
    page,
};

/// Its prefix binds it to this very host, over TLS (RFC 6265bis, section 4.1.3.2).
const SESSION: &str = "__Host-pacs-guard";
/// A browser says from where a request comes (W3C Fetch Metadata, section 2.3).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where a request comes from.
#[derive(Clone, Copy)]
pub(super) struct Source(pub(super) IpAddr);

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Shown {
    token: String,
}

/// Lets in who shows the token, or has shown it.
pub(super) async fn ask(
    State(lock): State<Arc<Lock>>,
    Extension(Source(source)): Extension<Source>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let form = request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD);
    match bearer(headers).map(|token| lock.look_at(token, source)) {
        Some(Ok(())) => next.run(request).await,
        Some(Err(why)) => refuse(why, |text| text.into_response()),
        None if sessions(headers).any(|session| lock.knows(session)) => next.run(request).await,
        None if form => (StatusCode::UNAUTHORIZED, challenge(), show_form("")).into_response(),
        None => (StatusCode::UNAUTHORIZED, challenge(), "show the token: Authorization: Bearer TOKEN\n")
            .into_response(),
    }
}

/// Takes the form.
pub(super) async fn log_in(
    State(lock): State<Arc<Lock>>,
    Extension(Source(source)): Extension<Source>,
    headers: HeaderMap,
    Form(Shown { token }): Form<Shown>,
) -> Response {
    // Another site's form could spend this source's tries.
    if headers.get(SEC_FETCH_SITE).is_some_and(|site| site != "same-origin") {
        return (StatusCode::FORBIDDEN, "this form is another site's\n").into_response();
    }
    match lock.log_in(token.trim(), source) {
        Ok(session) => {
            let cookie = format!("{SESSION}={session}; Path=/; Secure; HttpOnly; SameSite=Strict");
            ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Err(why) => refuse(why, show_form),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The numbers of sessions in the Cookie headers.
fn sessions(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let each = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.split_once('='));
    each.filter(|(name, _)| name.trim() == SESSION).map(|(_, session)| session.trim())
}

fn refuse(why: Refused, show: impl Fn(&'static str) -> Response) -> Response {
    match why {
        Refused::Wrong => {
            (StatusCode::UNAUTHORIZED, challenge(), show("This is not the token.\n")).into_response()
        }
        Refused::TooMany(wait) => {
            let seconds = wait.as_millis().div_ceil(1000).to_string();
            let text = "Too many wrong tokens came from your address: wait a minute.\n";
            (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], show(text)).into_response()
        }
        Refused::NoRandom => (StatusCode::INTERNAL_SERVER_ERROR, show("Try again later.\n")).into_response(),
    }
}

fn challenge() -> [(HeaderName, HeaderValue); 1] {
    [(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pacs-guard\""))]
}

fn show_form(message: &str) -> Response {
    ([(CONTENT_SECURITY_POLICY, page::LOGIN_POLICY.as_str())], Html(page::login(message))).into_response()
}
