//! Entity tags of what people edit: two who edit the same thing do not overwrite each other unseen.
//!
//! A tag stands for what can be edited, and for nothing that moves by itself: work that goes on spoils no edit.

use crate::problem::ApiError;
use axum::Json as Answer;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use orcha_model::{Objective, Project, Target};
use orcha_wire::Code;
use serde_json::json;
use sha2::{Digest, Sha256};

/// The tag of something that people edit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tag(String);

impl Tag {
    fn of(editable: &serde_json::Value) -> Self {
        let hash = Sha256::digest(editable.to_string());
        Self(format!("\"{}\"", HEXLOWER.encode(&hash[..12])))
    }

    /// The tag of an objective.
    pub fn objective(it: &Objective) -> Self {
        Self::of(&json!([it.id, it.editable()]))
    }

    /// The tag of a target.
    pub fn target(it: &Target) -> Self {
        Self::of(&json!([it.id, it.editable()]))
    }

    /// The tag of a project.
    pub fn project(it: &Project) -> Self {
        Self::of(&json!([it.id, it.name, it.repo, it.base_branch, it.permissions]))
    }

    /// Tells whether a request says on what its edit was made. Refuses one that was made on something older; that it is
    /// still so when it takes effect is for the commit to say.
    pub fn is_named(&self, headers: &HeaderMap) -> Result<bool, ApiError> {
        let mut named = headers.get_all(header::IF_MATCH).iter().peekable();
        if named.peek().is_none() {
            return Ok(false);
        }
        let tags: Vec<&str> =
            named.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(',')).map(str::trim).collect();
        if tags.contains(&self.0.as_str()) {
            return Ok(true);
        }
        if tags.contains(&"*") {
            return Ok(false);
        }
        let rule = "it was edited since you looked at it; look again and repeat what you still want";
        Err(ApiError::new(Code::Changed, rule).at(header::IF_MATCH.as_str()))
    }

    /// Answers with a document and its tag.
    pub fn with<T>(self, document: T) -> Tagged<T> {
        // Quotes and hexadecimal digits stand in every header.
        ([(header::ETAG, HeaderValue::try_from(self.0).unwrap_or(HeaderValue::from_static("\"\"")))], Answer(document))
    }
}

/// A document with its tag.
pub(crate) type Tagged<T> = ([(HeaderName, HeaderValue); 1], Answer<T>);
