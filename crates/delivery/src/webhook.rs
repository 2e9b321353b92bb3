//! A signed call to somebody's server.
//!
//! The signature is over time, id and body, so that neither can be changed nor replayed unnoticed. The id is
//! made of the key alone: whoever is called twice, after a crash of ours, can tell.

use crate::error::passes;
use crate::{DeliveryError, Order};
use hmac::{Hmac, KeyInit, Mac};
use orcha_base::{Backoff, Redacted, Retry};
use orcha_outbound::{Limits, Outbound, Request};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The header with the id of the delivery; the same in each attempt.
pub const DELIVERY_HEADER: &str = "x-orcha-delivery";
/// The header with the seconds since 1970 at which it was signed.
pub const TIMESTAMP_HEADER: &str = "x-orcha-timestamp";
/// The header with `sha256=` and the signature.
pub const SIGNATURE_HEADER: &str = "x-orcha-signature";

/// A body that is larger belongs into an archive.
const MOST: usize = 4 << 20;

/// How patiently it is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) attempts: u32,
    pub(crate) backoff: Backoff,
    /// What a server may ask us to wait at most.
    pub(crate) longest: Duration,
}

/// Signs `<seconds>.<id>.<body>` and returns `sha256=` and 64 hexadecimal digits.
pub fn signature(secret: &[u8], seconds: i64, id: &str, body: &[u8]) -> String {
    // As the standard has it: a key longer than a block is hashed, a shorter one filled up.
    let mut block = [0; 64];
    if secret.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        block[..secret.len()].copy_from_slice(secret);
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(format!("{seconds}.{id}.").as_bytes());
    mac.update(body);
    format!("sha256={}", data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()))
}

/// Returns the id of a delivery.
pub(crate) fn id(order: &Order) -> String {
    let digest = Sha256::digest(format!("{}/{}", order.workflow, order.key).as_bytes());
    data_encoding::HEXLOWER.encode(&digest[..16])
}

/// Words what is sent.
pub(crate) fn body(order: &Order) -> Result<Vec<u8>, DeliveryError> {
    let content = &order.content;
    let body = json!({
        "delivery_id": id(order),
        "workflow_id": order.workflow,
        "status": "completed",
        "title": content.title,
        "summary": content.summary,
        "body": content.body,
        "commit": content.commit,
        "artifacts": content.documents,
        "ordered_at": order.at.to_string(),
    });
    let body = body.to_string().into_bytes();
    if body.len() > MOST {
        return Err(DeliveryError::TooLarge { what: "the body of the webhook", most: MOST as u64 });
    }
    Ok(body)
}

/// Calls until the other side has taken it, says no for good, or patience ends.
pub(crate) async fn call(
    outbound: &Outbound,
    url: &str,
    secret: &Redacted<Vec<u8>>,
    order: &Order,
    patience: Patience,
    now: &(dyn Fn() -> i64 + Send + Sync),
) -> Result<u16, DeliveryError> {
    let (id, body) = (id(order), body(order)?);
    let limits = Limits { time: Duration::from_secs(20), bytes: 4096, redirects: 0 };
    let mut attempts = 0;
    loop {
        attempts += 1;
        let seconds = now();
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", id.clone()),
            (DELIVERY_HEADER, id.clone()),
            (TIMESTAMP_HEADER, seconds.to_string()),
            (SIGNATURE_HEADER, signature(secret.expose(), seconds, &id, &body)),
        ];
        let request = Request {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: body.clone(),
        };
        let (error, asked) = match outbound.send(&request, limits).await {
            Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer.status),
            Ok(answer) if passes(answer.status) => {
                let asked = answer.retry_after.map(Duration::from_secs);
                (DeliveryError::Refused { status: answer.status, attempts }, asked)
            }
            Ok(answer) => return Err(DeliveryError::Refused { status: answer.status, attempts }),
            Err(source) if source.retry() == Retry::Later => (DeliveryError::Unreached { attempts, source }, None),
            Err(source) => return Err(DeliveryError::Unreached { attempts, source }),
        };
        if attempts >= patience.attempts {
            return Err(error);
        }
        let delay = asked.unwrap_or_else(|| patience.backoff.delay(attempts)).min(patience.longest);
        tracing::info!(delivery = %id, attempts, "the webhook did not take it ({error}); trying again in {delay:?}");
        tokio::time::sleep(delay).await;
    }
}

#[cfg(test)]
mod tests {
    use super::signature;

    #[test]
    fn a_signature_is_what_other_programs_compute() {
        // printf '7.id.body' | openssl dgst -sha256 -hmac KEY
        let short = signature(b"0123456789abcdef", 7, "id", b"body");
        let long = signature(&[b'k'; 100], 7, "id", b"body");
        assert_eq!(short, "sha256=4d92182b97a9dba051e4ea401e24df84274e4d4a25f9f0163e4827b54ebb309e");
        assert_eq!(long, "sha256=945787f28060f9d2c6f4333743b34085960d2bb532fdea34d1b33d010c7ecb26");
    }
}
