//! The tokens of an expression, as far as Prometheus, VictoriaMetrics and the parser here take the
//! same text for the same tokens. Anything else is an error. One pass, no recursion, no regular
//! expression is ever compiled.

mod number;
mod text;

use self::number::{MOST_INSTANT, MOST_SECONDS, duration, worth};
use self::text::unquoted;
use super::EnforceError;

/// One token, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// The first byte.
    pub(super) start: usize,
    /// The byte behind the last.
    pub(super) end: usize,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A name, or a word of the language.
    Word,
    /// A number that is neither a duration nor an instant, and what it is worth.
    Number(f64),
    /// A duration, or a number in the place of one or of an instant, within what can be held.
    Time,
    /// A string literal, and what it stands for.
    Text(String),
    /// Between a label's name and its value.
    Match(Match),
    /// An operator between expressions, or a sign.
    Operator,
    /// A bracket that opens.
    Open,
    /// A bracket that closes.
    Close,
    /// A comma, a colon within brackets, or `@`.
    Mark(u8),
}

/// How a label's value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Equal,
    NotEqual,
    Like,
    NotLike,
}

impl Match {
    /// As PromQL writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Like => "=~",
            Self::NotLike => "!~",
        }
    }
}

/// Where the lexer is: matchers stand in braces only, durations and colons in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    Braces,
    Brackets,
}

/// The tokens of an expression.
pub(super) fn tokens(promql: &str) -> Result<Vec<Token>, EnforceError> {
    let mut lexer = Lexer {
        text: promql,
        at: 0,
        place: Place::Outside,
        found: Vec::new(),
    };
    while let Some(kind) = lexer.next_kind()? {
        lexer.found.push(kind);
    }
    Ok(lexer.found)
}

/// Whether the word between expressions is an operator.
pub(super) fn is_word_operator(word: &str) -> bool {
    ["and", "or", "unless", "atan2"]
        .iter()
        .any(|operator| word.eq_ignore_ascii_case(operator))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    place: Place,
    found: Vec<Token>,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let accepted = self.peek() == Some(byte);
        self.at += usize::from(accepted);
        accepted
    }

    fn accept_while(&mut self, fits: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
    }

    fn next_kind(&mut self) -> Result<Option<Token>, EnforceError> {
        self.accept_while(|byte| b" \t\r\n".contains(&byte));
        let start = self.at;
        let Some(first) = self.peek() else {
            return Ok(None);
        };
        let kind = match first {
            b'#' => return Err(EnforceError::Comment),
            b'"' | b'\'' | b'`' if self.place != Place::Brackets => self.text(first)?,
            b'0'..=b'9' | b'.' if self.place != Place::Braces => self.number()?,
            b'_' | b'a'..=b'z' | b'A'..=b'Z' if self.place != Place::Brackets => self.word(),
            b':' if self.place == Place::Outside => self.word(),
            _ => {
                self.at += 1;
                self.sign(first)?
            }
        };
        let end = self.at;
        Ok(Some(Token { kind, start, end }))
    }

    fn word(&mut self) -> TokenKind {
        let colons = self.place == Place::Outside;
        self.accept_while(|byte| {
            byte == b'_' || byte.is_ascii_alphanumeric() || byte == b':' && colons
        });
        TokenKind::Word
    }

    /// What begins with neither a letter, a digit nor a quote.
    fn sign(&mut self, first: u8) -> Result<TokenKind, EnforceError> {
        Ok(match (self.place, first) {
            (Place::Outside, b'(' | b'{' | b'[') => {
                self.place = match first {
                    b'{' => Place::Braces,
                    b'[' => Place::Brackets,
                    _ => Place::Outside,
                };
                TokenKind::Open
            }
            (Place::Outside, b')') => TokenKind::Close,
            (Place::Braces, b'}') | (Place::Brackets, b']') => {
                self.place = Place::Outside;
                TokenKind::Close
            }
            (Place::Outside | Place::Braces, b',')
            | (Place::Outside, b'@')
            | (Place::Brackets, b':') => TokenKind::Mark(first),
            (Place::Braces, b'=') => TokenKind::Match(match self.accept(b'~') {
                true => Match::Like,
                false => Match::Equal,
            }),
            (Place::Braces, b'!') if self.accept(b'~') => TokenKind::Match(Match::NotLike),
            (Place::Braces, b'!') if self.accept(b'=') => TokenKind::Match(Match::NotEqual),
            (Place::Outside, b'+' | b'-' | b'*' | b'/' | b'%' | b'^') => TokenKind::Operator,
            (Place::Outside, b'=' | b'!') if self.accept(b'=') => TokenKind::Operator,
            (Place::Outside, b'<' | b'>') => {
                self.accept(b'=');
                TokenKind::Operator
            }
            _ => return Err(EnforceError::Unreadable),
        })
    }

    fn number(&mut self) -> Result<TokenKind, EnforceError> {
        let start = self.at;
        let hexadecimal =
            self.text[start..].starts_with("0x") || self.text[start..].starts_with("0X");
        self.accept_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
        let exponent = !hexadecimal && self.text[..self.at].ends_with(['e', 'E']);
        if exponent && (self.accept(b'+') || self.accept(b'-')) {
            self.accept_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
        }
        let text = &self.text[start..self.at];
        let Some(worth) = worth(text, hexadecimal) else {
            return match duration(text).ok_or(EnforceError::Unreadable)? {
                within if within => Ok(TokenKind::Time),
                _ => Err(EnforceError::OutOfRange),
            };
        };
        let most = match self.position() {
            _ if !worth.is_finite() => return Err(EnforceError::OutOfRange),
            Position::Plain => return Ok(TokenKind::Number(worth)),
            Position::Duration => MOST_SECONDS,
            Position::Instant => MOST_INSTANT,
        };
        match worth <= most {
            true => Ok(TokenKind::Time),
            false => Err(EnforceError::OutOfRange),
        }
    }

    /// What a number means that stands here. Signs may stand between.
    fn position(&self) -> Position {
        if self.place == Place::Brackets {
            return Position::Duration;
        }
        let before = self
            .found
            .iter()
            .rev()
            .find(|token| token.kind != TokenKind::Operator);
        match before.map(|token| (&token.kind, &self.text[token.start..token.end])) {
            Some((TokenKind::Mark(b'@'), _)) => Position::Instant,
            Some((TokenKind::Word, word)) if word.eq_ignore_ascii_case("offset") => {
                Position::Duration
            }
            _ => Position::Plain,
        }
    }

    /// A string, decoded as Go does: that is how Prometheus reads all three kinds.
    fn text(&mut self, quote: u8) -> Result<TokenKind, EnforceError> {
        let start = self.at + 1;
        let mut end = start;
        loop {
            match self.text.as_bytes().get(end) {
                None => return Err(EnforceError::Unreadable),
                Some(b'\n') if quote != b'`' => return Err(EnforceError::Unreadable),
                Some(b'\\') if quote != b'`' => end += 2,
                Some(byte) if *byte == quote => break,
                Some(_) => end += 1,
            }
        }
        let inside = &self.text[start..end];
        self.at = end + 1;
        let decoded = match quote {
            b'`' => inside.to_owned(),
            _ => unquoted(inside, quote).ok_or(EnforceError::Unreadable)?,
        };
        Ok(TokenKind::Text(decoded))
    }
}

/// Where a number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Plain,
    Duration,
    Instant,
}
