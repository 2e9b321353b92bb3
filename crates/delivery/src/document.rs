//! Results as Markdown: exports, and drafts with front matter. Pure.

use crate::{Content, Draft, Order};
use orcha_base::Timestamp;
use std::fmt::Write;

/// Words one file out of everything.
pub(crate) fn export(content: &Content) -> String {
    let mut text = format!("# {}\n", one_line(&content.title));
    let mut section = |name: &str, body: &str| {
        if !body.trim().is_empty() {
            text.push_str(&format!("\n## {name}\n\n{}\n", body.trim()));
        }
    };
    section("Summary", &content.summary);
    section("Vision", content.vision.as_deref().unwrap_or_default());
    section("Result", &content.body);
    for it in &content.documents {
        let name = format!("`{}`", one_line(&it.path).replace('`', "'"));
        if it.path.ends_with(".md") {
            section(&name, &it.text);
        } else {
            let fence = fence(&it.text);
            section(&name, &format!("{fence}\n{}\n{fence}", it.text.trim_end()));
        }
    }
    text
}

/// Words a draft: front matter, then the text.
pub(crate) fn draft(order: &Order, draft: &Draft, kind: &str) -> String {
    let content = &order.content;
    let mut text = "---\n".to_owned();
    let mut line = |key: &str, value: String| text.push_str(&format!("{key}: {value}\n"));
    line("title", quoted(&content.title));
    line("type", kind.to_owned());
    line("draft", "true".to_owned());
    line("date", quoted(&date(order.at)));
    if !draft.tags.is_empty() {
        line("tags", format!("[{}]", draft.tags.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(", ")));
    }
    if !content.summary.trim().is_empty() {
        line("description", quoted(&content.summary));
    }
    line("workflow", quoted(&order.workflow));
    if let Some(commit) = &content.commit {
        line("commit", quoted(commit.as_str()));
    }
    text.push_str("---\n\n");
    text.push_str(content.body.trim());
    text.push('\n');
    text
}

/// Quotes a value so that neither YAML nor a line break can make more of it: JSON is YAML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in one_line(text).chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            // YAML takes these for line breaks.
            '\u{85}' | '\u{2028}' | '\u{2029}' => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns a fence that the text does not hold.
fn fence(text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    fence
}

fn date(at: Timestamp) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    write!(text, "{at}").unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Delivery, Document};

    fn order(title: &str, body: &str) -> Order {
        let content = Content { title: title.into(), body: body.into(), summary: "Short".into(), ..Content::default() };
        let action = Delivery::BlogDraft(Draft::default());
        let tenant = orcha_base::TenantId::default();
        Order { key: "k".into(), workflow: "w".into(), tenant, action, content, at: Timestamp::from_secs(0) }
    }

    #[test]
    fn a_draft_has_front_matter_that_a_title_cannot_leave() {
        let tags = Draft { slug: None, tags: vec!["a\"b".into()] };
        let text = draft(&order("Hi \"you\"\n---\ndraft: false", "Body\n\n"), &tags, "post");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], ["---", "title: \"Hi \\\"you\\\" --- draft: false\"", "type: post", "draft: true"]);
        assert!(lines[4].starts_with("date: \"1970-01-01T00:00:00"), "{text}");
        assert_eq!(lines[5..], ["tags: [\"a\\\"b\"]", "description: \"Short\"", "workflow: \"w\"", "---", "", "Body"]);
    }

    #[test]
    fn an_export_holds_everything_and_no_code_ends_its_fence() {
        let mut content = order("T", "Body").content;
        content.vision = Some("Far".into());
        content.documents.push(Document { path: "a.md".into(), text: "Prose".into() });
        content.documents.push(Document { path: "b.rs".into(), text: "```\nx\n```\n".into() });
        let text = export(&content);
        assert_eq!(
            text,
            "# T\n\n## Summary\n\nShort\n\n## Vision\n\nFar\n\n## Result\n\nBody\n\n## `a.md`\n\nProse\n\n## `b.rs`\n\n````\n```\nx\n```\n````\n"
        );
    }
}
