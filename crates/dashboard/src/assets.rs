//! What pages load: one script, one style sheet, one picture, all of them in the program itself.
//!
//! Their addresses carry the hash of what they hold, so that a browser keeps them for ever and never shows old ones.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Something that a page loads.
#[derive(Debug)]
pub(crate) struct Asset {
    name: &'static str,
    ending: &'static str,
    media_type: &'static str,
    text: &'static str,
    hash: u64,
}

pub(crate) const SCRIPT: Asset =
    Asset::new("live", "js", "text/javascript; charset=utf-8", include_str!("../assets/live.js"));
pub(crate) const STYLE: Asset =
    Asset::new("page", "css", "text/css; charset=utf-8", include_str!("../assets/page.css"));
pub(crate) const ICON: Asset = Asset::new("icon", "svg", "image/svg+xml", include_str!("../assets/icon.svg"));

pub(crate) const ALL: [&Asset; 3] = [&SCRIPT, &STYLE, &ICON];

impl Asset {
    const fn new(name: &'static str, ending: &'static str, media_type: &'static str, text: &'static str) -> Self {
        Self { name, ending, media_type, text, hash: fnv1a(text.as_bytes()) }
    }

    fn file(&self) -> String {
        format!("{}-{:016x}.{}", self.name, self.hash, self.ending)
    }

    /// Returns its address.
    pub(crate) fn address(&self) -> String {
        format!("/assets/{}", self.file())
    }
}

/// Answers with what a page loads; what an older program had is gone.
pub(crate) async fn serve(Path(file): Path<String>) -> Response {
    match ALL.iter().find(|it| it.file() == file) {
        Some(asset) => {
            let headers = [
                (header::CONTENT_TYPE, asset.media_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, asset.text).into_response()
        }
        None => (StatusCode::NOT_FOUND, "there is no such file").into_response(),
    }
}

/// Names content: it tells versions apart and protects nothing.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_published_examples() {
        assert_eq!((fnv1a(b""), fnv1a(b"a")), (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c));
    }
}
