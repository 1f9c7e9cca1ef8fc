//! The errors as a page: where the `type` of a problem document leads.

use taskyard_core::ErrorCode;
use taskyard_runtime::http_error;

use super::html::{self, escaped};

pub(super) fn page() -> String {
    let mut body = "<h1>Errors</h1>\n<p>Programs go by the code; the text of an error is for people and may \
                    change.</p>\n<table>\n"
        .to_owned();
    for code in ErrorCode::ALL {
        let again = if code.retryable() { "The same request may succeed later." } else { "" };
        body.push_str(&format!(
            "<tr id=\"{0}\"><td><code>{0}</code></td><td>{1}</td><td>{2}. {again}</td></tr>\n",
            code.as_str(),
            http_error::status(code).as_u16(),
            escaped(http_error::title(code)),
        ));
    }
    body.push_str("</table>\n<p><a href=\"/docs\">The API</a></p>\n");
    html::page("Errors", &body)
}
