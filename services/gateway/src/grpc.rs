//! gRPC, passed on as it is: frames and trailers in both ways, to one tasks pod a call.

use std::future::poll_fn;

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, Version, header::HOST, request::Parts};
use taskyard_core::{
    Error, ErrorCode, Result,
    identity::{Access, Scope},
};
use taskyard_proto::{
    access::{access, is_sign_in, stays_open},
    status::to_status,
};
use taskyard_runtime::http_error::Problem;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tower::Service;

use crate::{
    app::App,
    edge::{client_address, identify},
    limiter::{Class, Standing},
};

pub(crate) async fn serve(app: &App, request: Request) -> Response {
    if request.version() != Version::HTTP_2 {
        let error = Error::new(ErrorCode::Unsupported, "gRPC needs HTTP/2; connect with prior knowledge (h2c)");
        return Problem::new(error).with_status(StatusCode::HTTP_VERSION_NOT_SUPPORTED).into_response();
    }
    let (head, body) = request.into_parts();
    let standing = match admit(app, &head).await {
        Ok(standing) => standing,
        Err(error) => return to_status(error).into_http(),
    };
    let mut response = pass_on(app, head, body).await.unwrap_or_else(|status| status.into_http());
    if let Some(standing) = standing {
        standing.tell(response.headers_mut());
    }
    response
}

/// Counts the call. Its rights are the pod's business, and so is a method that there is not.
async fn admit(app: &App, head: &Parts) -> Result<Option<Standing>> {
    let (path, limiter) = (head.uri.path(), app.limiter());
    let standing = match access(path) {
        None => Ok(None),
        Some(Access::Open) => match client_address(&head.extensions, &head.headers, &limiter.rates().trusted_proxies) {
            Some(address) if is_sign_in(path) => limiter.admit_stranger(address).await,
            _ => Ok(None),
        },
        Some(needed) => {
            let identity = identify(app, &head.extensions, &head.headers).await?;
            let class = match needed {
                _ if is_sign_in(path) => Class::SignIn,
                Access::Scope(Scope::TasksRead) | Access::Known => Class::Read,
                _ => Class::Write,
            };
            limiter.admit(class, &identity.caller).await
        }
    };
    standing.map_err(|standing| standing.error())
}

async fn pass_on(app: &App, mut head: Parts, body: Body) -> std::result::Result<Response, Status> {
    let deadline = deadline(&head.headers).map_or_else(|| app.deadline(), |own| own.min(app.deadline()));
    // Streams are spread evenly, and not sent to a pod that is about to stop.
    let is_stream = stays_open(head.uri.path());
    let pod = if is_stream { app.pods().pick_for_stream(&[], deadline).await } else { app.pods().pick(deadline).await };
    let mut pod = pod.map_err(to_status)?;

    // Scheme and authority are the pod's; the channel sets them.
    let path = head.uri.path_and_query().cloned();
    head.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    head.headers.remove(HOST);
    let request = http::Request::from_parts(head, tonic::body::Body::new(body));
    poll_fn(|context| pod.poll_ready(context)).await?;
    let answer = pod.call(request);
    if is_stream {
        return Ok(answer.await?.map(Body::new));
    }
    // A client that sends its request byte by byte holds nothing for longer than any other.
    let answered = timeout_at(app.deadline(), answer).await;
    Ok(answered.map_err(|_| to_status(Error::new(ErrorCode::DeadlineExceeded, "it took too long")))??.map(Body::new))
}

/// When the client gives up, if it says so: at most eight digits and a unit.
fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    let nanos = match unit {
        "H" => 3_600_000_000_000,
        "M" => 60_000_000_000,
        "S" => 1_000_000_000,
        "m" => 1_000_000,
        "u" => 1_000,
        "n" => 1,
        _ => return None,
    };
    Instant::now().checked_add(std::time::Duration::from_nanos(number.saturating_mul(nanos)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn deadlines_are_read() {
        let left = |text: &str| {
            let headers =
                [(http::HeaderName::from_static("grpc-timeout"), text.parse().unwrap())].into_iter().collect();
            deadline(&headers).map(|deadline| deadline - Instant::now())
        };
        assert!(left("5S").is_some_and(|left| left > Duration::from_secs(4) && left <= Duration::from_secs(5)));
        assert!(left("99999999H").is_some());
        assert!(left("1m").is_some_and(|left| left <= Duration::from_millis(1)));
        for bad in ["", "S", "5", "5x", "-5S", "123456789S", "5 S"] {
            assert_eq!(left(bad), None, "{bad}");
        }
    }
}
