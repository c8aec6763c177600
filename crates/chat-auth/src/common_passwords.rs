//! Passwords that are guessed first.

/// Whether this is one of the passwords that are guessed first, in any case.
pub(crate) fn contains(password: &str) -> bool {
    let password = zeroize::Zeroizing::new(password.to_lowercase());
    let text = LIST.as_bytes();
    // The lines are sorted by their bytes. Each step looks at the whole line in the middle.
    let (mut from, mut to) = (0, text.len());
    while from < to {
        let middle = from + (to - from) / 2;
        let start =
            text[from..middle].iter().rposition(|byte| *byte == b'\n').map_or(from, |at| from + at + 1);
        let end = text[middle..to].iter().position(|byte| *byte == b'\n').map_or(to, |at| middle + at);
        match text[start..end].cmp(password.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => from = end + 1,
            std::cmp::Ordering::Greater => to = start,
        }
    }
    false
}

/// Some 5,500 passwords in lower case, one a line, sorted: the most frequent ones, most of
/// them with at least eight characters. `common_passwords.license.txt` says where they are
/// from.
const LIST: &str = include_str!("common_passwords.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_found_and_nothing_else() {
        let mut before = "";
        for line in LIST.lines() {
            assert!(before < line, "{before} {line}");
            assert!(contains(line) && !contains(&format!("{line}~~")), "{line}");
            before = line;
        }
        for other in ["", "\n", "correct horse battery staple", "верный пароль", "password\n"] {
            assert!(!contains(other), "{other}");
        }
    }
}
