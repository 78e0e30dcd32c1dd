//! JSON's grammar: which token may come next, and in which container it stands.

use super::Decoder;
use super::place::{Key, Place};
use super::token::Token;

/// Deeper nesting than any answer has (native histogram buckets are at 8).
const MAX_DEPTH: usize = 32;

/// What the grammar allows next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expect {
    #[default]
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

/// A container that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Container {
    pub(super) place: Place,
    pub(super) is_object: bool,
    /// Of an object: the key whose value comes next.
    pub(super) key: Key,
    /// Of an array: how many elements came.
    pub(super) index: u32,
}

impl Decoder {
    /// Takes the next token.
    pub(super) fn token(&mut self, token: Token<'_>) -> Result<(), &'static str> {
        match (self.expect, token) {
            (Expect::Key | Expect::KeyOrEnd, Token::String(name)) => self.key(&name),
            (Expect::Colon, Token::Colon) => {
                self.expect = Expect::Value;
                Ok(())
            }
            (Expect::CommaOrEnd, Token::Comma) => {
                self.expect = if self.in_object() {
                    Expect::Key
                } else {
                    Expect::Value
                };
                Ok(())
            }
            (Expect::CommaOrEnd | Expect::KeyOrEnd, Token::ObjectEnd) if self.in_object() => {
                self.close()
            }
            (Expect::CommaOrEnd | Expect::ValueOrEnd, Token::ArrayEnd) if !self.in_object() => {
                self.close()
            }
            (Expect::Value | Expect::ValueOrEnd, Token::ObjectStart) => self.open(true),
            (Expect::Value | Expect::ValueOrEnd, Token::ArrayStart) => self.open(false),
            (
                Expect::Value | Expect::ValueOrEnd,
                scalar @ (Token::String(_) | Token::Number(_) | Token::Bool(_) | Token::Null),
            ) => {
                let container = *self.containers.last().ok_or("it is not an object")?;
                if let (Place::Data, Key::ResultType, Token::String(kind)) =
                    (container.place, container.key, &scalar)
                {
                    self.expected.check_kind(kind)?;
                }
                self.parts.scalar(container, scalar)?;
                self.value_ended();
                Ok(())
            }
            (Expect::Nothing, _) => Err("it goes on after its end"),
            _ => Err("it is not JSON"),
        }
    }

    fn in_object(&self) -> bool {
        self.containers
            .last()
            .is_some_and(|container| container.is_object)
    }

    fn key(&mut self, name: &str) -> Result<(), &'static str> {
        let container = self.containers.last_mut().ok_or("it is not an object")?;
        container.key = Key::of(container.place, name);
        if container.key == Key::Label {
            name.clone_into(&mut self.parts.label);
        }
        self.expect = Expect::Colon;
        Ok(())
    }

    /// What the array or object means that begins now.
    fn place_of_next(&self) -> Result<Place, &'static str> {
        let Some(Container {
            place, key, index, ..
        }) = self.containers.last()
        else {
            return Ok(Place::Root);
        };
        Ok(match (place, key, index) {
            (Place::Root, Key::Data, _) => Place::Data,
            (Place::Root, Key::Warnings, _) => Place::Warnings,
            (Place::Root, Key::Infos, _) => Place::Infos,
            (Place::Data, Key::Result, _) => Place::Result,
            (Place::Result, _, _) if self.parts.pair_at.is_none() => Place::Element,
            (Place::Element, Key::Metric, _) => Place::Metric,
            (Place::Element, Key::Value | Key::Histogram, _) if !self.expected.is_vector() => {
                return Err("it has a series with one value where it must have a list");
            }
            (Place::Element, Key::Values | Key::Histograms, _) if !self.expected.is_matrix() => {
                return Err("it has a series with a list where it must have one value");
            }
            (Place::Element, Key::Values, _) => Place::Samples,
            (Place::Element, Key::Value, _) | (Place::Samples, _, _) => Place::Sample,
            (Place::Element, Key::Histograms, _) => Place::Histograms,
            (Place::Element, Key::Histogram, _) | (Place::Histograms, _, _) => Place::HistogramPair,
            (Place::HistogramPair, _, 1) => Place::Histogram,
            (Place::Ignored | Place::Infos, _, _) => Place::Ignored,
            (_, Key::Unknown, _) if self.in_object() => Place::Ignored,
            _ => return Err("it has an array or object where Prometheus has none"),
        })
    }

    fn open(&mut self, is_object: bool) -> Result<(), &'static str> {
        if self.containers.len() >= MAX_DEPTH {
            return Err("it is nested too deeply");
        }
        let place = self.place_of_next()?;
        if place
            .is_object()
            .is_some_and(|expected| expected != is_object)
        {
            return Err("it has an array where Prometheus has an object, or the other way round");
        }
        self.parts.opened(place);
        self.containers.push(Container {
            place,
            is_object,
            key: Key::Unknown,
            index: 0,
        });
        self.expect = if is_object {
            Expect::KeyOrEnd
        } else {
            Expect::ValueOrEnd
        };
        Ok(())
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let Some(container) = self.containers.pop() else {
            return Err("it is not JSON");
        };
        self.parts.closed(container)?;
        self.value_ended();
        Ok(())
    }

    fn value_ended(&mut self) {
        match self.containers.last_mut() {
            None => self.expect = Expect::Nothing,
            Some(container) => {
                container.index = container.index.saturating_add(1);
                self.expect = Expect::CommaOrEnd;
            }
        }
    }
}
