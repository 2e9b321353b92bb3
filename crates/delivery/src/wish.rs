//! What a user wishes to become of the result. Read strictly, when it is wished for.

use crate::SecretRef;
use orcha_base::BranchName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A wish that is not one: where, and which rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Invalid {
    /// The field, as in `delivery.config.url`.
    pub field: String,
    /// The rule.
    pub rule: String,
}

impl Invalid {
    pub(crate) fn new(field: &str, rule: impl Into<String>) -> Self {
        Self { field: field.to_owned(), rule: rule.into() }
    }
}

/// What should become of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", content = "config")]
pub enum Delivery {
    /// A pull request; made with a code host, not here.
    #[serde(rename = "github-pr")]
    PullRequest(PullRequest),
    /// Commits on a branch; made with a code host, not here.
    #[serde(rename = "repo-commit-only")]
    DirectCommit(DirectCommit),
    /// A ZIP archive of everything.
    #[serde(rename = "artifact-bundle")]
    ArtifactBundle(ArtifactBundle),
    /// One Markdown file.
    #[serde(rename = "markdown-export")]
    MarkdownExport(MarkdownExport),
    /// A post that somebody still has to publish.
    #[serde(rename = "blog-draft")]
    BlogDraft(Draft),
    /// A page of documentation that somebody still has to publish.
    #[serde(rename = "doc-draft")]
    DocDraft(Draft),
    /// A signed call to somebody's server.
    #[serde(rename = "webhook-dispatch")]
    Webhook(Webhook),
    /// Nothing leaves: the result is read from the workflow.
    #[serde(rename = "api-response")]
    ApiResponse(Nothing),
}

/// How a pull request is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PullRequest {
    /// Its title; the finalizer's without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its text; the finalizer's without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The branch that it goes into; the project's own without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<BranchName>,
    /// The branch that it comes from; made up without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_branch: Option<BranchName>,
    /// Whether it is opened as a draft.
    pub draft: bool,
    /// Whether it is merged once its checks are green.
    pub merge: bool,
}

/// How commits come to a branch. Never by force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DirectCommit {
    /// The branch; the one that the work is based on without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchName>,
}

/// What an archive is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArtifactBundle {
    /// Its name without `.zip`; made of the title without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a Markdown file is called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MarkdownExport {
    /// Its name without `.md`; made of the title without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How a draft is marked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Draft {
    /// The last part of its address; made of the title without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// What it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// Who is called, and by what secret they know that it is us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where.
    pub url: String,
    /// Where the secret lies.
    pub secret: SecretRef,
}

/// No settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Delivery {
    /// The names of all actions.
    pub const ACTIONS: [&'static str; 8] = [
        "github-pr",
        "repo-commit-only",
        "artifact-bundle",
        "markdown-export",
        "blog-draft",
        "doc-draft",
        "webhook-dispatch",
        "api-response",
    ];

    /// Reads `{"action": …, "config": {…}}`, or names the field and the rule.
    pub fn read(value: &Value) -> Result<Self, Invalid> {
        let Some(object) = value.as_object() else { return Err(Invalid::new("delivery", "expected an object")) };
        if let Some(odd) = object.keys().find(|key| !["action", "config"].contains(&key.as_str())) {
            return Err(Invalid::new(&format!("delivery.{odd}"), "unknown; expected `action` and `config`"));
        }
        let Some(action) = object.get("action").and_then(Value::as_str) else {
            return Err(Invalid::new("delivery.action", format!("expected one of {}", Self::ACTIONS.join(", "))));
        };
        let config = match object.get("config") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(config)) => config.clone(),
            Some(_) => return Err(Invalid::new("delivery.config", "expected an object")),
        };
        for named in ["token", "password", "api_key"] {
            if config.contains_key(named) {
                let rule = "secrets are not given here; they belong to the daemon's settings";
                return Err(Invalid::new(&format!("delivery.config.{named}"), rule));
            }
        }
        let delivery = match action {
            "github-pr" | "pull-request" => Self::PullRequest(settings(config)?),
            "repo-commit-only" | "direct-commit" => Self::DirectCommit(settings(config)?),
            "artifact-bundle" => Self::ArtifactBundle(settings(config)?),
            "markdown-export" => Self::MarkdownExport(settings(config)?),
            "blog-draft" => Self::BlogDraft(settings(config)?),
            "doc-draft" => Self::DocDraft(settings(config)?),
            "webhook-dispatch" | "webhook" => Self::Webhook(settings(config)?),
            "api-response" => Self::ApiResponse(settings(config)?),
            _ => {
                return Err(Invalid::new("delivery.action", format!("expected one of {}", Self::ACTIONS.join(", "))));
            }
        };
        delivery.plausible()?;
        Ok(delivery)
    }

    /// Returns the name of the action.
    pub fn action(&self) -> &'static str {
        match self {
            Self::PullRequest(_) => "github-pr",
            Self::DirectCommit(_) => "repo-commit-only",
            Self::ArtifactBundle(_) => "artifact-bundle",
            Self::MarkdownExport(_) => "markdown-export",
            Self::BlogDraft(_) => "blog-draft",
            Self::DocDraft(_) => "doc-draft",
            Self::Webhook(_) => "webhook-dispatch",
            Self::ApiResponse(_) => "api-response",
        }
    }

    /// Tells whether it takes a repository and a code host, so that it is not made here.
    pub fn needs_repository(&self) -> bool {
        matches!(self, Self::PullRequest(_) | Self::DirectCommit(_))
    }

    fn plausible(&self) -> Result<(), Invalid> {
        let name = |field: &str, name: &Option<String>| match name {
            Some(name) if slug(name) != *name || name.is_empty() => Err(Invalid::new(
                &format!("delivery.config.{field}"),
                "expected small letters, digits and `-`, at most 60",
            )),
            Some(_) | None => Ok(()),
        };
        match self {
            Self::PullRequest(it) => {
                if it
                    .title
                    .as_ref()
                    .is_some_and(|it| it.trim().is_empty() || it.chars().count() > 250 || it.contains('\n'))
                {
                    return Err(Invalid::new("delivery.config.title", "expected 1 to 250 characters on one line"));
                }
                if it.body.as_ref().is_some_and(|it| it.len() > 60_000) {
                    return Err(Invalid::new("delivery.config.body", "expected at most 60000 bytes"));
                }
                if it.draft && it.merge {
                    return Err(Invalid::new("delivery.config.merge", "a draft is not merged by itself"));
                }
                if it.head_branch.is_some() && it.head_branch == it.base_branch {
                    return Err(Invalid::new("delivery.config.head_branch", "it must differ from `base_branch`"));
                }
                Ok(())
            }
            Self::ArtifactBundle(it) => name("name", &it.name),
            Self::MarkdownExport(it) => name("name", &it.name),
            Self::BlogDraft(it) | Self::DocDraft(it) => {
                let tag =
                    |it: &String| it.trim().is_empty() || it.chars().count() > 40 || it.chars().any(char::is_control);
                if it.tags.len() > 20 || it.tags.iter().any(tag) {
                    return Err(Invalid::new("delivery.config.tags", "expected at most 20 of 1 to 40 characters"));
                }
                name("slug", &it.slug)
            }
            Self::Webhook(it) => it.secret.plausible(),
            Self::DirectCommit(_) | Self::ApiResponse(_) => Ok(()),
        }
    }
}

fn settings<T: DeserializeOwned>(config: Map<String, Value>) -> Result<T, Invalid> {
    serde_json::from_value(Value::Object(config)).map_err(|error| Invalid::new("delivery.config", error.to_string()))
}

/// Makes a name for files and addresses out of a title.
pub(crate) fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= 60 {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(value: Value) -> String {
        Delivery::read(&value).unwrap_err().field
    }

    #[test]
    fn every_action_is_read_and_written_in_the_same_shape() {
        for action in Delivery::ACTIONS {
            let config = match action {
                "webhook-dispatch" => json!({"url": "https://x.example/h", "secret": {"env": "HOOK_SECRET"}}),
                _ => json!({}),
            };
            let read = Delivery::read(&json!({"action": action, "config": config})).unwrap();
            assert_eq!(read.action(), action);
            assert_eq!(Delivery::read(&serde_json::to_value(&read).unwrap()), Ok(read));
        }
        assert_eq!(Delivery::read(&json!({"action": "pull-request"})).unwrap().action(), "github-pr");
    }

    #[test]
    fn what_is_wrong_is_named_with_field_and_rule() {
        assert_eq!(field(json!("x")), "delivery");
        assert_eq!(field(json!({})), "delivery.action");
        assert_eq!(field(json!({"action": "fax"})), "delivery.action");
        assert_eq!(field(json!({"action": "blog-draft", "to": 1})), "delivery.to");
        assert_eq!(field(json!({"action": "blog-draft", "config": []})), "delivery.config");
        assert_eq!(field(json!({"action": "github-pr", "config": {"token": "canary"}})), "delivery.config.token");
        assert_eq!(field(json!({"action": "blog-draft", "config": {"slug": "../x"}})), "delivery.config.slug");
        assert_eq!(field(json!({"action": "artifact-bundle", "config": {"name": ""}})), "delivery.config.name");
        assert_eq!(field(json!({"action": "github-pr", "config": {"title": " "}})), "delivery.config.title");
        let same = json!({"action": "github-pr", "config": {"head_branch": "x", "base_branch": "x"}});
        assert_eq!(field(same), "delivery.config.head_branch");
        let both = json!({"action": "github-pr", "config": {"draft": true, "merge": true}});
        assert_eq!(field(both), "delivery.config.merge");
        let error = Delivery::read(&json!({"action": "github-pr", "config": {"branch": "x"}})).unwrap_err();
        assert!(error.rule.contains("unknown field `branch`"), "{error}");
        let plain = json!({"action": "webhook", "config": {"url": "https://x.example", "secret": "canary"}});
        let error = Delivery::read(&plain).unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
    }

    #[test]
    fn a_title_becomes_a_name() {
        assert_eq!(slug("Hello, World! Ünd mehr"), "hello-world-nd-mehr");
        assert_eq!(slug("!!!"), "");
        assert!(slug(&"ab ".repeat(50)).len() <= 60);
    }
}
