//! Removal of comments and indentation from the files of the page.

/// A file of this kind (`html`, `js`, `css`) without comments, blank lines and indentation.
/// Line breaks are kept, and a comment is recognised only at the beginning of a line, but for
/// the types (`/** … */`) within a line of a script. A test checks that no string of the page
/// spans two lines, or contains what looks like a type.
pub(super) fn minified(text: &str, kind: &str) -> String {
    let (open, close) = if kind == "html" { ("<!--", "-->") } else { ("/*", "*/") };
    let mut code = String::with_capacity(text.len());
    let mut is_comment = false;
    for line in text.lines() {
        let mut rest = line.trim();
        loop {
            if is_comment {
                let Some((_, behind)) = rest.split_once(close) else {
                    rest = "";
                    break;
                };
                (rest, is_comment) = (behind.trim_start(), false);
            } else if let Some(inside) = rest.strip_prefix(open) {
                (rest, is_comment) = (inside, true);
            } else {
                break;
            }
        }
        let is_line_comment = kind == "js" && rest.starts_with("//");
        if !rest.is_empty() && !is_line_comment {
            if kind == "js" {
                push_without_types(&mut code, rest);
            } else {
                code.push_str(rest);
            }
            code.push('\n');
        }
    }
    code
}

/// Adds a line of a script without the types in it.
fn push_without_types(code: &mut String, mut line: &str) {
    while let Some((before, rest)) = line.split_once(TYPE) {
        let Some((_, after)) = rest.split_once("*/") else { break };
        code.push_str(before);
        line = after.trim_start();
    }
    code.push_str(line);
}

/// Begins a comment that only tools read.
const TYPE: &str = "/** ";

#[cfg(test)]
mod tests {
    use super::super::{PAGE, Web, kind};
    use super::*;

    #[test]
    fn comments_and_indentation_are_removed() {
        let js = "// a\n  /** b\n   * c\n   */\n  let x = 1; // d\n\n  /* e */ /** @type {T} */ (x).y();\n";
        assert_eq!(minified(js, "js"), "let x = 1; // d\n(x).y();\n");
        let js = "  f((/** @type {A} */ a, /** @type {B} */ b) => a * b);\n";
        assert_eq!(minified(js, "js"), "f((a, b) => a * b);\n");
        assert_eq!(minified("/* a */\na {\n  /* b\n  c */\n  d: e;\n}\n", "css"), "a {\nd: e;\n}\n");
        assert_eq!(minified("<p>\n  <!-- a\n b -->\n  b // c\n</p>\n", "html"), "<p>\nb // c\n</p>\n");
    }

    /// `minified` would change such a string.
    #[test]
    fn no_string_of_the_page_spans_two_lines() {
        for path in Web::iter().filter(|path| matches!(kind(path), "js" | "css")) {
            let file = Web::get(&path).unwrap().data;
            for line in str::from_utf8(&file).unwrap().lines() {
                assert!(line.matches('`').count() % 2 == 0 && !line.ends_with('\\'), "{path}: {line}");
                let before = line.split_once(TYPE).map_or("", |(before, _)| before);
                assert!(
                    ['"', '`'].iter().all(|quote| before.matches(*quote).count() % 2 == 0),
                    "{path}: {line}"
                );
            }
        }
        let page = Web::get(PAGE).unwrap().data;
        assert!(!str::from_utf8(&page).unwrap().contains("<pre"));
    }
}
