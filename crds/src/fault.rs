//! One thing that is wrong with a document.

use std::fmt;

/// One thing that is wrong with a document, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The field, such as `spec.targets[1].url`. Empty for the document as a whole.
    pub path: String,
    /// What is wrong, such as `must be at most 63 characters long, is 70`.
    pub message: String,
    /// What to write instead, where there is more to say than the message.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without a hint.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// The same fault with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for Fault {
    /// One line: `spec.targets[1].url: must … (hint: …)`. Control characters of a hostile document
    /// are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", one_line(&self.path))?;
        }
        f.write_str(&one_line(&self.message))?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {})", one_line(hint)),
            None => Ok(()),
        }
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_with_path_message_and_hint() {
        let lines = [
            Fault::new("spec.port", "must be at most 65535, is 99999").to_string(),
            Fault::new("spec.prot", "is not a known field")
                .hint("did you mean port?")
                .to_string(),
            Fault::new("", "the file is empty").to_string(),
            Fault::new("spec.a\nb", "\u{1b}[31m").to_string(),
        ];
        assert_eq!(
            lines,
            [
                "spec.port: must be at most 65535, is 99999",
                "spec.prot: is not a known field (hint: did you mean port?)",
                "the file is empty",
                "spec.a\\nb: \\u{1b}[31m",
            ]
        );
    }
}
