//! What programs post to Slack's incoming webhooks, reduced to a text.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

/// A payload of Slack's incoming webhooks. Names and pictures of senders are ignored: a webhook
/// posts as its bot.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "WebhookPayload"))]
pub(crate) struct Payload {
    /// The text, with Slack's marks: `<address|label>` becomes a link, `<!channel>` is shown as
    /// `@channel`. Where there are `blocks` with a text, it is passed over.
    #[serde(default)]
    text: Option<String>,
    /// Blocks of Slack; what they show is reduced to text.
    #[serde(default)]
    blocks: Option<Vec<Value>>,
    /// Attachments of Slack, likewise.
    #[serde(default)]
    attachments: Option<Vec<Value>>,
}

impl Payload {
    /// The text of the message; blank if there is none.
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        for block in self.blocks.iter().flatten() {
            block_lines(block, &mut lines);
        }
        if lines.is_empty() {
            lines.extend(self.text.as_deref().map(readable));
        }
        for attachment in self.attachments.iter().flatten() {
            attachment_lines(attachment, &mut lines);
        }
        lines.retain(|line| !line.trim().is_empty());
        lines.join("\n")
    }
}

/// A text of a block: a string, or an object with one.
fn text_of(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("text")?.as_str()).map(readable)
}

fn block_lines(block: &Value, lines: &mut Vec<String>) {
    match block["type"].as_str() {
        Some("image") => {
            let words = block["title"].get("text").or_else(|| block.get("alt_text")).and_then(text_of);
            lines.extend(link(block["image_url"].as_str(), words));
        }
        Some("context") => {
            let elements = block["elements"].as_array().into_iter().flatten();
            let words: Vec<String> = elements.filter_map(text_of).collect();
            lines.push(words.join(" "));
        }
        Some("rich_text") => {
            for element in block["elements"].as_array().into_iter().flatten() {
                let mut line = String::new();
                rich(element, 0, &mut line);
                lines.push(line.trim_end_matches('\n').to_owned());
            }
        }
        _ => {
            lines.extend(text_of(&block["text"]));
            lines.extend(block["fields"].as_array().into_iter().flatten().filter_map(text_of));
        }
    }
}

/// The text of an element of rich text, and of those in it, to a limited depth.
fn rich(element: &Value, depth: usize, out: &mut String) {
    match element["type"].as_str() {
        Some("emoji") => {
            let _ = write!(out, ":{}:", element["name"].as_str().unwrap_or_default());
        }
        Some("link") => {
            let words = element["text"].as_str().map(str::to_owned);
            out.extend(link(element["url"].as_str(), words));
        }
        Some("user") => {
            let _ = write!(out, "@{}", element["user_id"].as_str().unwrap_or_default());
        }
        Some("broadcast") => {
            let _ = write!(out, "@{}", element["range"].as_str().unwrap_or_default());
        }
        Some("channel") => {
            let _ = write!(out, "#{}", element["channel_id"].as_str().unwrap_or_default());
        }
        _ => {
            out.push_str(element["text"].as_str().unwrap_or_default());
            if depth < RICH_DEPTH_MAX {
                let is_list = element["type"].as_str() == Some("rich_text_list");
                for inner in element["elements"].as_array().into_iter().flatten() {
                    if is_list {
                        out.push_str("• ");
                    }
                    rich(inner, depth + 1, out);
                    if is_list {
                        out.push('\n');
                    }
                }
            }
        }
    }
}

/// How deep elements of rich text are looked into.
const RICH_DEPTH_MAX: usize = 8;

fn attachment_lines(attachment: &Value, lines: &mut Vec<String>) {
    let before = lines.len();
    lines.extend(text_of(&attachment["pretext"]));
    lines.extend(text_of(&attachment["author_name"]));
    let title = text_of(&attachment["title"]);
    match attachment["title_link"].as_str() {
        Some(address) => lines.extend(link(Some(address), title)),
        None => lines.extend(title),
    }
    lines.extend(text_of(&attachment["text"]));
    for field in attachment["fields"].as_array().into_iter().flatten() {
        let (title, value) = (text_of(&field["title"]), text_of(&field["value"]));
        lines.push(
            [title, value]
                .into_iter()
                .flatten()
                .filter(|words| !words.is_empty())
                .collect::<Vec<_>>()
                .join(": "),
        );
    }
    for block in attachment["blocks"].as_array().into_iter().flatten() {
        block_lines(block, lines);
    }
    if lines[before..].iter().all(|line| line.trim().is_empty()) {
        lines.extend(text_of(&attachment["fallback"]));
    }
}

/// A link with a label.
fn link(address: Option<&str>, label: Option<String>) -> Option<String> {
    match (address.filter(|address| !address.is_empty()), label.filter(|label| !label.is_empty())) {
        (Some(address), Some(label)) if label != address => Some(format!("[{label}]({address})")),
        (Some(address), _) => Some(address.to_owned()),
        (None, label) => label,
    }
}

/// A text with Slack's marks as people read it here.
fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        out.push_str(&unescaped(&rest[..start]));
        let Some(end) = rest[start..].find('>').map(|end| start + end) else {
            rest = &rest[start..];
            break;
        };
        out.push_str(&mark(&rest[start + 1..end]));
        rest = &rest[end + 1..];
    }
    out.push_str(&unescaped(rest));
    out
}

/// What stands between `<` and `>`.
fn mark(inner: &str) -> String {
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) => (target, Some(unescaped(label))),
        None => (inner, None),
    };
    let label = label.filter(|label| !label.is_empty());
    if let Some(name) = target.strip_prefix('@') {
        return format!("@{}", label.as_deref().unwrap_or(name).trim_start_matches('@'));
    }
    if let Some(name) = target.strip_prefix('#') {
        return format!("#{}", label.as_deref().unwrap_or(name).trim_start_matches('#'));
    }
    if let Some(command) = target.strip_prefix('!') {
        return label.unwrap_or_else(|| format!("@{}", command.split('^').next().unwrap_or(command)));
    }
    if target.contains(':') {
        let address = unescaped(target);
        let shown = address.strip_prefix("mailto:").unwrap_or(&address).to_owned();
        return match label {
            Some(label) if label == shown => shown,
            Some(label) => format!("[{label}]({address})"),
            None => shown,
        };
    }
    format!("<{}>", unescaped(inner))
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(payload: Value) -> String {
        serde_json::from_value::<Payload>(payload).unwrap().text()
    }

    #[test]
    fn marks_are_made_readable() {
        for (slack, expected) in [
            ("a &lt;b&gt; &amp;amp; c", "a <b> &amp; c"),
            ("see <https://a.example/?a=1&amp;b=2|the page>", "see [the page](https://a.example/?a=1&b=2)"),
            ("<https://a.example>", "https://a.example"),
            ("<mailto:a@b.example|a@b.example>", "a@b.example"),
            (
                "<!channel> <!here|here> <!subteam^S1|@ops> <!date^1^{date}|yesterday>",
                "@channel here @ops yesterday",
            ),
            ("<@U1> <@U1|bob> <#C1|general>", "@U1 @bob #general"),
            ("1 < 2", "1 < 2"),
            ("<b>", "<b>"),
        ] {
            assert_eq!(readable(slack), expected, "{slack}");
        }
    }

    #[test]
    fn blocks_and_attachments_are_reduced_to_text() {
        assert_eq!(text(json!({"text": "hi", "username": "x", "icon_emoji": ":ghost:"})), "hi");
        assert_eq!(text(json!({"attachments": [{"fallback": "down", "color": "danger"}]})), "down");
        assert_eq!(
            text(json!({"text": "alert", "attachments": [{
                "pretext": "CPU", "title": "host 7", "title_link": "https://a.example",
                "text": "is <https://b.example|busy>", "fallback": "passed over",
                "fields": [{"title": "Load", "value": "9"}],
            }]})),
            "alert\nCPU\n[host 7](https://a.example)\nis [busy](https://b.example)\nLoad: 9"
        );
        assert_eq!(
            text(json!({"text": "for notifications", "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "Deploy"}},
                {"type": "divider"},
                {"type": "section", "text": {"type": "mrkdwn", "text": "*done*"},
                 "fields": [{"type": "mrkdwn", "text": "in 7 s"}]},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": "by"}, {"type": "mrkdwn", "text": "bob"}]},
                {"type": "image", "image_url": "https://a.example/i.png", "alt_text": "graph"},
                {"type": "rich_text", "elements": [
                    {"type": "rich_text_section", "elements": [
                        {"type": "text", "text": "see "}, {"type": "link", "url": "https://c.example"},
                        {"type": "emoji", "name": "tada"}]},
                    {"type": "rich_text_list", "elements": [
                        {"type": "rich_text_section", "elements": [{"type": "text", "text": "one"}]}]}]},
            ]})),
            "Deploy\n*done*\nin 7 s\nby bob\n[graph](https://a.example/i.png)\nsee https://c.example:tada:\n• one"
        );
        for nothing in [json!({}), json!({"blocks": [7, {"type": "section"}], "attachments": [[], null]})] {
            assert_eq!(text(nothing), "");
        }
    }
}
