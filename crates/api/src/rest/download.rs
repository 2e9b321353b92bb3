//! What a workflow was delivered as, handed out piece by piece: only what its delivery has led to, to whoever may see it.
//!
//! No path comes from outside. A reader that takes nothing is cut off by the server (see `serve`).

use super::workflows::load;
use crate::auth::Asker;
use crate::input::Id;
use crate::problem::{ApiError, chain};
use crate::shared::Api;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, header};
use orcha_model::delivery::{Delivered, Link, LinkKind};
use orcha_wire::Code;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, Take};
use tokio::sync::OwnedSemaphorePermit;
use tracing::warn;

/// How much is read at once.
const PIECE: usize = 64 << 10;

pub(crate) async fn delivery(State(api): State<Api>, asker: Asker, Id(id): Id) -> Result<Response, ApiError> {
    let (_, workflow) = load(&api, &asker, &id).await?;
    let none = || ApiError::new(Code::NotFound, "this workflow was delivered as no file, or not yet");
    let link = match &workflow.left.delivered {
        Some(Delivered::Made { links, .. }) => links.iter().find(|it| it.kind == LinkKind::File).ok_or_else(none)?,
        Some(Delivered::PullRequest { .. } | Delivered::Commit { .. } | Delivered::Answer) | None => return Err(none()),
    };
    let full = |_| ApiError::new(Code::Unavailable, "too many streams are open; close one and try again");
    let place = Arc::clone(&api.streams).try_acquire_owned().map_err(full)?;
    let opened = api.orch.open_delivered(workflow.id, link).await.map_err(|fault| {
        warn!(workflow.id = %workflow.id, error = %chain(&fault), "what was delivered could not be opened");
        ApiError::new(Code::Internal, "the file could not be opened; the daemon's log says why")
    })?;
    let gone = || ApiError::new(Code::NotFound, "the file that was delivered is not there any more, or was changed");
    let file = tokio::fs::File::from_std(opened.ok_or_else(gone)?);
    let bytes = link.bytes.unwrap_or(0);
    let download = Download { file: file.take(bytes), _place: place };
    let body = futures::stream::unfold(Some(download), |download| async {
        let mut download = download?;
        match download.piece().await {
            Ok(piece) if piece.is_empty() => None,
            Ok(piece) => Some((Ok(piece), Some(download))),
            // The connection breaks, so that nobody takes a part for the whole.
            Err(fault) => Some((Err(fault), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in describe(link) {
        // Each is made of plain letters; what is none is left out.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// A file on its way out, for as long as it has one of the places for readers.
struct Download {
    file: Take<tokio::fs::File>,
    _place: OwnedSemaphorePermit,
}

impl Download {
    async fn piece(&mut self) -> std::io::Result<Bytes> {
        let mut piece = vec![0; PIECE];
        let n = self.file.read(&mut piece).await?;
        piece.truncate(n);
        Ok(piece.into())
    }
}

/// Says what a file is: its kind, its name, and what it is known by.
fn describe(link: &Link) -> Vec<(header::HeaderName, String)> {
    let name = link.target.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    let kind = match name.rsplit_once('.').map(|it| it.1) {
        Some("zip") => "application/zip",
        Some("md") => "text/markdown; charset=utf-8",
        _ => "application/octet-stream",
    };
    let mut all = vec![
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    all.extend(link.sha256.as_ref().map(|it| (header::ETAG, format!("\"{it}\""))));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_say_more_than_a_name() {
        let link = |target: &str| Link {
            kind: LinkKind::File,
            target: target.into(),
            bytes: Some(1),
            sha256: Some("ab".into()),
        };
        let said = describe(&link("/data/deliveries/w/round-0/my-post.md"));
        let said: Vec<&str> = said.iter().map(|it| it.1.as_str()).collect();
        assert_eq!(said, ["text/markdown; charset=utf-8", "attachment; filename=\"my-post.md\"", "\"ab\""]);
        let odd = describe(&link("a\"; filename=\"b.zip\r\nx: y"));
        assert_eq!(odd[1].1, "attachment; filename=\"a___filename__b.zip__x__y\"");
    }
}
