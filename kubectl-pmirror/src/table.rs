//! Tables for people: columns as wide as they need to be, colours only where there is a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

/// What a cell says about the state of things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Not as it should be.
    Bad,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// One line.
    pub text: String,
    /// How it is coloured.
    pub tone: Tone,
}

impl Cell {
    /// A cell in this tone.
    #[must_use]
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Whether stdout shows colours: it is a terminal, and `NO_COLOR` does not forbid them.
#[must_use]
pub fn shows_colours() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !forbidden && std::io::stdout().is_terminal()
}

/// The rows below their header, in columns. The last column may be as long as it likes.
#[must_use]
pub fn render(header: &[&str], rows: &[Vec<Cell>], colours: bool) -> String {
    let header: Vec<Cell> = header.iter().map(|name| Cell::from(*name)).collect();
    let lines = || std::iter::once(&header).chain(rows);
    let width = |column: usize| {
        let cells = lines().filter_map(|line| line.get(column));
        cells
            .map(|cell| cell.text.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    lines()
        .map(|line| drawn(line, &widths, colours) + "\n")
        .collect()
}

fn drawn(line: &[Cell], widths: &[usize], colours: bool) -> String {
    let mut drawn = String::new();
    for (cell, width) in line.iter().zip(widths) {
        let missing = width - cell.text.chars().count();
        drawn += &coloured(cell, colours);
        drawn += &" ".repeat(missing + 3);
    }
    drawn.trim_end().to_owned()
}

fn coloured(Cell { text, tone }: &Cell, colours: bool) -> String {
    let code = match tone {
        _ if !colours || text.is_empty() => return text.clone(),
        Tone::Plain => return text.clone(),
        Tone::Good => 32,
        Tone::Doubtful => 33,
        Tone::Bad => 31,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// Text of others as part of one line: neither line breaks nor what moves a terminal's cursor.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// How long something has been there, as kubectl writes it.
#[must_use]
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |large: u64, unit: char, small: u64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        _ if days < 730 => format!("{days}d"),
        _ => two(days / 365, 'y', days % 365, 'd'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_with_or_without_colours() {
        let rows = vec![
            vec!["a".into(), Cell::toned("True", Tone::Good), "fine".into()],
            vec!["långt".into(), Cell::toned("No", Tone::Bad), "".into()],
        ];
        let header = ["NAME", "READY", "WHY"];
        assert_eq!(
            render(&header, &rows, false),
            "NAME    READY   WHY\na       True    fine\nlångt   No\n"
        );
        assert_eq!(
            render(&header, &rows, true),
            "NAME    READY   WHY\na       \u{1b}[32mTrue\u{1b}[0m    fine\nlångt   \u{1b}[31mNo\u{1b}[0m\n"
        );
    }

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (185, "3m5s"),
            (600, "10m"),
            (3 * 3_600, "3h"),
            (3 * 3_600 + 300, "3h5m"),
            (9 * 3_600 + 300, "9h"),
            (2 * 86_400 + 3_600, "2d1h"),
            (8 * 86_400, "8d"),
            (729 * 86_400, "729d"),
            (800 * 86_400, "2y70d"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), expected);
        }
    }
}
