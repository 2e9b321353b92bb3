//! The two pages that are shown to a browser that is not let in. They hold nothing of what is stored.

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use orcha_wire::Problem;

/// Tells how to log in.
pub(crate) fn log_in() -> Response {
    let text = "Run <code>orcha login</code> in a terminal on this machine and open the link that it prints. \
                The link works once, within a minute.";
    let mut response = page(StatusCode::UNAUTHORIZED, "Not logged in", text);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"orcha\""));
    response
}

/// Tells why a request was refused before anybody asked who it is from. The problem's text is one of ours.
pub(crate) fn refused(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::FORBIDDEN);
    let text = "This page does not open from another site or under another name. \
                Type its address into the browser, or use the link that <code>orcha login</code> prints.";
    page(status, &problem.title, text)
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>orcha: {title}</title></head>\
         <body><h1>{title}</h1><p>{text}</p></body></html>\n"
    );
    (status, Html(html)).into_response()
}
