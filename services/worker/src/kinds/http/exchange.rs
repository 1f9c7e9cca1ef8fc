//! One request and the redirects that it is sent on by.
//!
//! The redirects are followed here: each place is checked before it is connected to, and headers that were left out
//! for a strange origin stay out for the rest of the way (reqwest 0.13 puts them back at the second redirect).

use bytes::Bytes;
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{self, HeaderMap, HeaderName, LOCATION},
};

use super::reach::{Reach, Refused};

const REDIRECTS_MAX: usize = 5;

/// What is sent to another origin than the first one. Anything else could be a secret that is meant for the first.
const SENT_TO_STRANGERS: [HeaderName; 7] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("taskyard-task-id"),
    HeaderName::from_static("taskyard-run"),
    HeaderName::from_static("taskyard-attempt"),
];

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// It will not be otherwise next time.
    Lasting(String),
    /// The next time it may work.
    Passing(String),
}

/// Sends a request, and on where the answers say.
pub(super) async fn send(client: &Client, reach: &Reach, mut request: Request) -> Result<Response, Fault> {
    for _ in 0..=REDIRECTS_MAX {
        reach.check_url(&request.url).map_err(|refused| Fault::Lasting(refused.to_string()))?;
        let mut builder = client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let response = builder.send().await.map_err(fault_of)?;
        let Some(next) = next_url(&response, &request.url)? else { return Ok(response) };
        follow(&mut request, response.status(), next);
    }
    Err(Fault::Lasting(format!("more than {REDIRECTS_MAX} redirects, the last one to {}", request.url)))
}

/// Where the answer sends us; none if it is the answer.
fn next_url(response: &Response, from: &Url) -> Result<Option<Url>, Fault> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect) else { return Ok(None) };
    let next = location.to_str().ok().and_then(|location| from.join(location).ok());
    next.map(Some).ok_or_else(|| Fault::Lasting(format!("{from} redirects to `{location:?}`, which is not a URL")))
}

/// The request as it goes to the next place, as browsers do it.
fn follow(request: &mut Request, status: StatusCode, next: Url) {
    let becomes_get = match status {
        StatusCode::SEE_OTHER => request.method != Method::HEAD,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => request.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        request.method = Method::GET;
        request.body = None;
        request.headers.remove(header::CONTENT_TYPE);
    }
    if next.origin() != request.url.origin() {
        let headers = std::mem::take(&mut request.headers);
        request.headers = SENT_TO_STRANGERS
            .into_iter()
            .filter_map(|name| headers.get(&name).cloned().map(|value| (name, value)))
            .collect();
    }
    request.url = next;
    request.url.set_fragment(None);
}

/// What a failure to send says.
pub(super) fn fault_of(error: reqwest::Error) -> Fault {
    let mut text = error.to_string();
    let lasting = error.is_builder();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return Fault::Lasting(refused.to_string());
        }
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    if lasting { Fault::Lasting(text) } else { Fault::Passing(text) }
}
