//! What the parser gets to see in place of a user's strings, and how they come back.
//!
//! The parser compiles every regular expression that it reads. So no string of a user reaches it:
//! each literal is taken out, `"s 0"`, `"s 1"` and so on stand in its place, and all matchers are
//! equalities. What the parser prints is taken apart into tokens again, and each stand-in is
//! replaced by the literal, with the operator that was there.
//!
//! Why nothing can get out of its place:
//! * A stand-in has a blank in it, and the only strings of users that stay are names without one:
//!   none is mistaken for another.
//! * Stand-ins are replaced as whole tokens, never as text within others. Each must come back
//!   exactly once, in the role that it had; any other literal in what was printed is a refusal.
//! * What comes back is one string literal, written by [`quote`] from the decoded text. To a store,
//!   which reads strings as one token each, the structure of the result is the one that was
//!   printed, and that was parsed and compared.

use std::fmt::Write as _;

use super::lex::{Match, Token, TokenKind, tokens};
use super::{EnforceError, MOST_COMPLETED};
use crate::plan::selector::{is_legacy_label_name, quote};

/// A number that is written with more characters gets an exponent: the parser prints 1e308 with all
/// its digits.
const LONG_NUMBER: usize = 24;

/// An expression without the user's strings, and those strings.
#[derive(Debug)]
pub(super) struct StoodIn {
    /// What the parser may read.
    pub(super) promql: String,
    literals: Vec<Literal>,
}

/// A literal that was taken out.
#[derive(Debug)]
struct Literal {
    text: String,
    /// How it is compared; none where it is not a matcher's value.
    compared: Option<Match>,
}

/// The stand-in of an enforced value.
pub(super) fn enforced(index: usize) -> String {
    format!("e {index}")
}

/// A name that means the same with quotes and without. `or` begins an alternative where there are
/// some.
fn is_plain_name(text: &str) -> bool {
    is_legacy_label_name(text) && !text.eq_ignore_ascii_case("or")
}

/// Takes the strings out of `promql`, of which these are the tokens.
pub(super) fn stand_in(promql: &str, tokens: &[Token]) -> Result<StoodIn, EnforceError> {
    let mut stood_in = String::with_capacity(promql.len() * 2);
    let mut literals: Vec<Literal> = Vec::new();
    let (mut copied, mut compared) = (0, None);
    let mut word = "";
    for token in tokens {
        let (start, end) = (token.start, token.end);
        let mut put = |new: &str| {
            stood_in.push_str(&promql[copied..start]);
            stood_in.push_str(new);
            copied = end;
        };
        match (&token.kind, compared.take()) {
            (TokenKind::Match(how), None) if !word.eq_ignore_ascii_case("or") => {
                compared = Some(*how);
                put("=");
            }
            // A name that may stand as it is means something to the parser: that of a metric, of a
            // label.
            (TokenKind::Text(text), None) if is_plain_name(text) => put(&quote(text)),
            (TokenKind::Text(text), how) => {
                put(&format!("\"s {}\"", literals.len()));
                literals.push(Literal {
                    text: text.clone(),
                    compared: how,
                });
            }
            (TokenKind::Match(_), None) | (_, Some(_)) => return Err(EnforceError::Unreadable),
            (_, None) => {}
        }
        word = match token.kind {
            TokenKind::Word => &promql[start..end],
            _ => "",
        };
    }
    stood_in.push_str(&promql[copied..]);
    Ok(StoodIn {
        promql: stood_in,
        literals,
    })
}

impl StoodIn {
    /// Whether a matcher's value that the parser saw was compared for equality.
    pub(super) fn is_equality(&self, printed: &str) -> bool {
        let compared = self.literal(printed).and_then(|literal| literal.compared);
        compared.is_none_or(|compared| compared == Match::Equal)
    }

    fn literal(&self, printed: &str) -> Option<&Literal> {
        self.literals
            .get(printed.strip_prefix("s ")?.parse::<usize>().ok()?)
    }

    /// `printed` with what the stand-ins stand for; `values` are the enforced ones.
    pub(super) fn restore(&self, printed: &str, values: &[&str]) -> Result<String, EnforceError> {
        let mut back = vec![false; self.literals.len()];
        let restored = self.restored(printed, values, &mut |index| {
            back.get_mut(index)
                .is_some_and(|back| !std::mem::replace(back, true))
        })?;
        match back.iter().all(|back| *back) {
            true => Ok(restored),
            false => Err(EnforceError::Unreadable),
        }
    }

    /// The same of a part of the expression, which has some of the literals.
    pub(super) fn restore_part(&self, printed: &str) -> Result<String, EnforceError> {
        self.restored(printed, &[], &mut |_| true)
    }

    /// The text that a stand-in stands for; of anything else, itself.
    pub(super) fn text<'a>(&'a self, printed: &'a str) -> &'a str {
        self.literal(printed)
            .map_or(printed, |literal| &literal.text)
    }

    /// `may_stand` is asked for each literal before it is written.
    fn restored(
        &self,
        printed: &str,
        values: &[&str],
        may_stand: &mut impl FnMut(usize) -> bool,
    ) -> Result<String, EnforceError> {
        let mut restored = String::with_capacity(printed.len() * 2);
        let mut copied = 0;
        let mut compares = false;
        for token in tokens(printed)? {
            let is_value = std::mem::replace(&mut compares, false);
            restored.push_str(&printed[copied..token.start]);
            copied = token.end;
            let own = &printed[token.start..token.end];
            match token.kind {
                // Its operator is written with its value.
                TokenKind::Match(Match::Equal) => compares = true,
                TokenKind::Match(_) => return Err(EnforceError::Unreadable),
                TokenKind::Number(worth) if own.len() > LONG_NUMBER => {
                    // Writing to a String cannot fail.
                    let _ = write!(restored, "{worth:e}");
                }
                TokenKind::Text(text) => {
                    let (compared, text) = self.behind(&text, is_value, values, may_stand)?;
                    if let Some(compared) = compared {
                        restored.push_str(compared.as_str());
                    }
                    restored.push_str(&quote(text));
                }
                _ => restored.push_str(own),
            }
            if restored.len() > MOST_COMPLETED {
                return Err(EnforceError::CompletedTooLong);
            }
        }
        Ok(restored)
    }

    /// What a literal of the printed expression stands for.
    fn behind<'a>(
        &'a self,
        printed: &'a str,
        is_value: bool,
        values: &[&'a str],
        may_stand: &mut impl FnMut(usize) -> bool,
    ) -> Result<(Option<Match>, &'a str), EnforceError> {
        let equal = is_value.then_some(Match::Equal);
        let number = |prefix| printed.strip_prefix(prefix).map(str::parse::<usize>);
        if is_plain_name(printed) {
            return Ok((equal, printed));
        }
        if let Some(Ok(index)) = number("e ") {
            let value = values.get(index).filter(|_| is_value);
            return value
                .map(|value| (equal, *value))
                .ok_or(EnforceError::Unreadable);
        }
        let Some(Ok(index)) = number("s ") else {
            return Err(EnforceError::Unreadable);
        };
        let literal = self.literals.get(index).ok_or(EnforceError::Unreadable)?;
        // A metric's name in braces becomes the value of __name__.
        let compared = literal.compared.or(equal);
        if !may_stand(index) || compared.is_some() != is_value {
            return Err(EnforceError::Unreadable);
        }
        Ok((compared, &literal.text))
    }
}
