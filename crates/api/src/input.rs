//! What comes in: JSON bodies, query strings and ids, each refused with the field and the rule when it is wrong.

use crate::problem::ApiError;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Uri, header};
use orcha_wire::{Code, IdRef};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A JSON body.
pub(crate) struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        let body = body(request, state).await?;
        if !json {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "the request needs a JSON body and the header `content-type: application/json`",
            ));
        }
        read(&body).map(Self)
    }
}

/// A JSON body that may be left out.
pub(crate) struct OptionalJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let json = is_json(request.headers());
        let body = body(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if !json {
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                "a body needs the header `content-type: application/json`",
            ));
        }
        read(&body).map(Self)
    }
}

/// No body, or an empty JSON object: the verbs that take nothing.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Tells whether a request says that its body is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Reads a body of any kind, within its time and its length.
pub(crate) async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(BODY_TIME, Bytes::from_request(request, state)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(BytesRejection::FailedToBufferBody(fault))) if fault.status() == http::StatusCode::PAYLOAD_TOO_LARGE => {
            Err(ApiError::new(Code::TooLarge, "the body is larger than the daemon takes"))
        }
        Ok(Err(_)) => Err(ApiError::new(Code::BadRequest, "the body broke off")),
        Err(_) => Err(ApiError::new(Code::BadRequest, format!("the body did not arrive within {BODY_TIME:?}"))),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Serde reads a list as an object, too: its values in the order of the fields.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            Ok(_) => ApiError::new(Code::Invalid, "the body must be an object: `{…}`"),
            Err(fault) => ApiError::new(Code::BadRequest, format!("the body is not JSON: {fault}")),
        });
    }
    serde_json::from_slice(body).map_err(|fault| {
        let detail = within(&fault.to_string());
        if !fault.is_data() {
            return ApiError::new(Code::BadRequest, format!("the body is not JSON: {detail}"));
        }
        let refused = ApiError::new(Code::Invalid, detail);
        match wrong_field::<T>(body) {
            Some(field) => refused.at(field),
            None => refused,
        }
    })
}

/// Leaves out most of a value that is quoted at length: the rule stands behind it.
fn within(text: &str) -> String {
    const HEAD: usize = 60;
    const LONGEST: usize = 160;
    let head = |most: usize| text.chars().take(most).collect::<String>();
    match text.rfind(", expected") {
        Some(rule) if rule > LONGEST => format!("{}…{}", head(HEAD), &text[rule..]),
        Some(_) => text.to_owned(),
        None if text.len() > 2 * LONGEST => format!("{}…", head(LONGEST)),
        None => text.to_owned(),
    }
}

/// Finds the field of an object that cannot be read; none if a field is missing.
///
/// The place of a fault tells the field, except at the very end, where a missing field is noticed too. So the object is
/// read once more with a nameless field at its end: what is missing is noticed there, what is wrong before.
fn wrong_field<T: DeserializeOwned>(body: &[u8]) -> Option<String> {
    let mut longer = body.trim_ascii_end().strip_suffix(b"}")?.to_vec();
    longer.extend(b",\"\":0}");
    let fault = serde_json::from_slice::<T>(&longer).err().filter(serde_json::Error::is_data)?;
    field_at(&longer, fault.line(), fault.column()).filter(|it| !it.is_empty())
}

/// Finds the field of the outermost object that a place in a JSON text belongs to; none behind its end.
fn field_at(body: &[u8], line: usize, column: usize) -> Option<String> {
    let start: usize = body.split(|byte| *byte == b'\n').take(line.checked_sub(1)?).map(|it| it.len() + 1).sum();
    let place = start + column;
    let (mut depth, mut key, mut field, mut at) = (0_u32, true, None, 0);
    while at < body.len().min(place) {
        match body[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return None;
                }
            }
            b':' if depth == 1 => key = false,
            b',' if depth == 1 => key = true,
            b'"' => {
                let from = at;
                at += 1;
                while *body.get(at)? != b'"' {
                    at += if body[at] == b'\\' { 2 } else { 1 };
                }
                if depth == 1 && key {
                    field = serde_json::from_slice(&body[from..=at]).ok();
                }
            }
            _ => {}
        }
        at += 1;
    }
    field
}

/// A query string.
pub(crate) struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(query) => Ok(Self(query.0)),
            Err(refused) => {
                let refused = ApiError::new(Code::Invalid, refused.body_text());
                Err(match wrong_parameter::<T>(parts.uri.query().unwrap_or_default()) {
                    Some(name) => refused.at(name),
                    None => refused,
                })
            }
        }
    }
}

/// Finds the parameter that cannot be read even alone: any of our queries may be left out.
fn wrong_parameter<T: DeserializeOwned>(query: &str) -> Option<String> {
    let wrong = |pair: &&str| {
        let alone = format!("/?{pair}").parse();
        alone.is_ok_and(|it: Uri| axum::extract::Query::<T>::try_from_uri(&it).is_err())
    };
    query.split('&').find(wrong).map(name_of)
}

/// Returns the name of a parameter, not more of it than a person wants to read.
fn name_of(pair: &str) -> String {
    pair.split('=').next().unwrap_or_default().chars().take(80).collect()
}

/// Refuses a query where none is taken: what is asked for there would silently not be there.
pub(crate) async fn no_query(request: Request, next: Next) -> Result<Response, ApiError> {
    match request.uri().query() {
        None | Some("") => Ok(next.run(request).await),
        Some(query) => Err(ApiError::invalid(
            &name_of(query.split('&').next().unwrap_or_default()),
            "is no parameter of this address, which takes none",
        )),
    }
}

/// The id in the path, full or short.
pub(crate) struct Id(pub IdRef);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(ApiError::new(Code::NotFound, "the path holds no id"));
        };
        text.parse()
            .map(Self)
            .map_err(|wrong: orcha_wire::InvalidIdRef| ApiError::new(Code::NotFound, wrong.to_string()))
    }
}

/// A name in a path, of something that has no id.
pub(crate) struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // Nothing of ours has a longer one.
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(name)) if name.len() <= 100 => Ok(Self(name)),
            Ok(_) | Err(_) => Err(ApiError::new(Code::NotFound, "the path holds no name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Body {
        title: String,
        priority: Option<i32>,
        sub: Option<Vec<i32>>,
    }

    #[test]
    fn a_refusal_does_not_repeat_a_whole_document_and_still_says_the_rule() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Method {
            Merge,
        }
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only its reading is tested")]
        struct Wish {
            method: Method,
        }
        let body = format!(r#"{{"method":"{}"}}"#, "x".repeat(100_000));
        let said = format!("{:?}", read::<Wish>(body.as_bytes()).unwrap_err());
        assert!(said.len() < 1000 && said.contains("expected `merge`"), "{} bytes: {said}", said.len());
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (body, field) in [
            (r#"{"title": 5}"#, Some("title")),
            (r#"{"title": "x", "priority": "high"}"#, Some("priority")),
            (r#"{"title": "a \" , { b", "nonsense": 1, "priority": 2}"#, Some("nonsense")),
            ("{\n  \"title\": \"x\",\n  \"sub\": [1, \"x\"]\n}", Some("sub")),
            (r#"{"priority": 2}"#, None),
            (r#"[1]"#, None),
            // Serde would read this.
            (r#" ["title", 5, null]"#, None),
            ("0", None),
            ("null", None),
        ] {
            let refused = read::<Body>(body.as_bytes()).unwrap_err().problem().clone();
            assert_eq!((refused.field.as_deref(), refused.status), (field, 422), "{body}");
        }
        assert_eq!(read::<Body>(b"{").unwrap_err().problem().status, 400);
    }
}
