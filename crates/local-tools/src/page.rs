//! Pages of the web for a model.

use crate::error::Fault;
use crate::text::{binary, cut};
use crate::tools::Limits;
use orcha_outbound::{Outbound, Request};

/// A page as text.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) text: String,
    pub(crate) failed: bool,
    pub(crate) truncated: bool,
}

pub(crate) async fn fetch(web: &Outbound, url: &str, limits: &Limits) -> Result<Page, Fault> {
    let bounds = orcha_outbound::Limits { time: limits.fetch_time, bytes: limits.output, ..Default::default() };
    let answer = web.send(&Request::get(url), bounds).await?;
    let kind = answer.content_type.as_deref().unwrap_or("no content type");
    let head = format!("[{} from {}, {kind}]\n", answer.status, answer.url);
    let failed = !(200..300).contains(&answer.status);
    if binary(&answer.body) {
        let text = format!("{head}[{} bytes that are no text]", answer.body.len());
        return Ok(Page { text, failed, truncated: answer.truncated });
    }
    let body = String::from_utf8_lossy(&answer.body);
    let mut text = head + cut(&body, limits.output);
    if answer.truncated {
        text.push_str("\n[there is more]");
    }
    Ok(Page { text, failed, truncated: answer.truncated })
}
