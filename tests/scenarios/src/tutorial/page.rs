//! The commands of a page, and the output that it shows. Pure.

/// What a comment says before a block.
const BY_HAND: &str = "<!-- by hand:";
const KEEPS_RUNNING: &str = "<!-- keeps running -->";
const REPEATED: [&str; 2] = [
    "<!-- repeated until it prints this -->",
    "<!-- repeated until it works -->",
];
/// What stands for any text in an output.
const ANYTHING: char = '…';

/// How a reader runs a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Once, until it ends.
    Once,
    /// Until it works, and its output is the one shown.
    Repeated,
    /// Beside the blocks after it.
    KeepsRunning,
    /// Where no test can.
    ByHand,
}

/// A block of commands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) how: How,
    pub(super) commands: String,
    /// The block of text after it, without more commands between the two.
    pub(super) output: Option<String>,
}

/// The blocks of a page, in order.
pub(super) fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = vec![];
    let mut how = How::Once;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        match line {
            "```bash" => blocks.push(Block {
                how: std::mem::replace(&mut how, How::Once),
                commands: fenced(&mut lines),
                output: None,
            }),
            "```text" => {
                let output = fenced(&mut lines);
                if let Some(block) = blocks.last_mut() {
                    block.output = Some(output);
                }
            }
            KEEPS_RUNNING => how = How::KeepsRunning,
            line if REPEATED.contains(&line) => how = How::Repeated,
            line if line.starts_with(BY_HAND) => how = How::ByHand,
            _ => {}
        }
    }
    blocks
}

fn fenced<'a>(lines: &mut impl Iterator<Item = &'a str>) -> String {
    let inside: Vec<_> = lines.take_while(|line| *line != "```").collect();
    inside.join("\n")
}

/// Whether an output is as the page shows it: columns may be wider, and [`ANYTHING`] may be any
/// text, of several lines too.
pub(super) fn is_shown(shown: &str, output: &str) -> bool {
    let (shown, output) = (narrow(shown), narrow(output));
    let mut parts = shown.split(ANYTHING);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = output.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// One space between words, and none around lines.
fn narrow(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_says_how_the_next_block_is_run() {
        let page = "Text\n\n```bash\nls\n```\n\n```text\na\nb\n```\n\n<!-- by hand: no kind here -->\n\
            ```bash\nkind\n```\n<!-- keeps running -->\n```bash\nserve\n```\n\n\
            <!-- repeated until it prints this -->\n```bash\nask \\\n  again\n```\n```text\nyes\n```\n\
            ```yaml\nno: command\n```\n<!-- repeated until it works -->\n```bash\nsee\n```\n";
        let block = |how, commands: &str, output: Option<&str>| Block {
            how,
            commands: commands.to_owned(),
            output: output.map(str::to_owned),
        };
        let expected = [
            block(How::Once, "ls", Some("a\nb")),
            block(How::ByHand, "kind", None),
            block(How::KeepsRunning, "serve", None),
            block(How::Repeated, "ask \\\n  again", Some("yes")),
            block(How::Repeated, "see", None),
        ];
        assert_eq!(blocks(page), expected);
    }

    #[test]
    fn an_output_may_differ_in_spaces_and_where_anything_is_allowed() {
        let output = "NAME    READY   AGE\nfirst   True    5s\n\nmore\n";
        let cases = [
            ("NAME READY AGE\nfirst True 5s\n\nmore", true),
            ("NAME READY AGE\nfirst True …", true),
            ("…\nfirst True …\n…more", true),
            ("… True …", true),
            ("…", true),
            ("NAME READY AGE", false),
            ("first True …", false),
            ("… False …", false),
            ("… more … True …", false),
            ("…first", false),
        ];
        let found = cases.map(|(shown, _)| (shown, is_shown(shown, output)));
        assert_eq!(found, cases);
    }
}
