//! The files of the page, which are part of the program.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use crds::contract::sha256;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};

/// A file of the page.
pub(super) struct File {
    pub(super) path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
    etag: LazyLock<String>,
}

macro_rules! file {
    ($path:literal, $content_type:literal, $name:literal) => {
        File {
            path: $path,
            content_type: $content_type,
            content: include_bytes!(concat!("page/", $name)),
            etag: LazyLock::new(|| etag(include_bytes!(concat!("page/", $name)))),
        }
    };
}

/// All of them.
pub(super) static FILES: [File; 9] = [
    file!("/", "text/html; charset=utf-8", "index.html"),
    file!("/style.css", "text/css; charset=utf-8", "style.css"),
    file!("/icon.svg", "image/svg+xml", "icon.svg"),
    file!("/main.js", "text/javascript; charset=utf-8", "main.js"),
    file!("/api.js", "text/javascript; charset=utf-8", "api.js"),
    file!("/calls.js", "text/javascript; charset=utf-8", "calls.js"),
    file!("/chart.js", "text/javascript; charset=utf-8", "chart.js"),
    file!("/form.js", "text/javascript; charset=utf-8", "form.js"),
    file!("/why.js", "text/javascript; charset=utf-8", "why.js"),
];

fn etag(content: &[u8]) -> String {
    format!("\"{}\"", &sha256(content)[..32])
}

impl File {
    /// The file, or that the browser has it already. Another version of the program has other
    /// files under the same names, so browsers ask each time.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
        let kept = [(ETAG, self.etag.as_str()), (CACHE_CONTROL, "no-cache")];
        let known = headers.get(IF_NONE_MATCH).map(http::HeaderValue::as_bytes);
        if known == Some(self.etag.as_bytes()) {
            return (StatusCode::NOT_MODIFIED, kept).into_response();
        }
        (kept, [(CONTENT_TYPE, self.content_type)], self.content).into_response()
    }
}
