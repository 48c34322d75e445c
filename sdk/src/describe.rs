//! Values as trees of named fields, for people: what a board holds, and where two boards differ.
//!
//! Made by serde from whatever a game's types are, so a developer writes nothing for it. Names are those of the Rust
//! types, numbers are decimal, bytes hexadecimal.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use alloy_primitives::hex;
use serde::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant,
    },
};

/// Most characters of a value in a [`Difference`]; the rest is left out.
const SHOWN: usize = 120;

/// A value as its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A number, a text, a choice without content.
    Leaf(String),
    /// A list, a tuple.
    List(Vec<Tree>),
    /// A struct, a map, or a choice with its content under its name.
    Fields(Vec<(String, Tree)>),
}

/// The first place at which two values differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, as Rust would write it: `board.fleets[1].hits[3]`. Empty for the value itself; `.length` for a list that
    /// only goes on further.
    pub path: String,
    /// What the first has there.
    pub a: String,
    /// What the second has there.
    pub b: String,
}

/// A type whose `Serialize` refuses its own value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be described: {reason}")]
pub struct DescribeError {
    /// In the type's words.
    pub reason: String,
}

/// A value as a tree.
///
/// # Errors
/// The value's own `Serialize` fails.
pub fn describe<T: Serialize + ?Sized>(value: &T) -> Result<Tree, DescribeError> {
    value.serialize(Describe)
}

impl Tree {
    /// The first place at which another tree differs; `None` if they are equal.
    pub fn difference(&self, other: &Tree) -> Option<Difference> {
        self.difference_at("", other)
    }

    fn difference_at(&self, path: &str, other: &Tree) -> Option<Difference> {
        match (self, other) {
            (Tree::List(a), Tree::List(b)) => {
                let parts = a.iter().zip(b).enumerate();
                let within = parts.into_iter().find_map(|(i, (a, b))| a.difference_at(&format!("{path}[{i}]"), b));
                within.or_else(|| {
                    let (a, b) = (a.len().to_string(), b.len().to_string());
                    (a != b).then(|| Difference { path: joined(path, "length"), a, b })
                })
            }
            (Tree::Fields(a), Tree::Fields(b)) if a.iter().map(|(name, _)| name).eq(b.iter().map(|(name, _)| name)) => {
                a.iter().zip(b).find_map(|((name, a), (_, b))| a.difference_at(&joined(path, name), b))
            }
            (a, b) if a == b => None,
            (a, b) => Some(Difference { path: path.into(), a: shown(a), b: shown(b) }),
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

fn shown(tree: &Tree) -> String {
    let text = tree.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tree::Leaf(text) => f.write_str(text),
            Tree::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Tree::Fields(fields) => {
                f.write_str("{")?;
                for (i, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {value}", if i == 0 { " " } else { ", " })?;
                }
                f.write_str(" }")
            }
        }
    }
}

impl serde::ser::Error for DescribeError {
    fn custom<T: fmt::Display>(reason: T) -> DescribeError {
        DescribeError { reason: reason.to_string() }
    }
}

struct Describe;

/// A list in the making; a choice's content lies under the choice's name.
struct Listing {
    choice: Option<&'static str>,
    items: Vec<Tree>,
}

/// Fields in the making.
struct Naming {
    choice: Option<&'static str>,
    fields: Vec<(String, Tree)>,
    /// A map's key that waits for its value.
    key: String,
}

impl Listing {
    fn of(choice: Option<&'static str>) -> Listing {
        Listing { choice, items: Vec::new() }
    }

    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DescribeError> {
        self.items.push(describe(value)?);
        Ok(())
    }

    fn done(self) -> Tree {
        chosen(self.choice, Tree::List(self.items))
    }
}

impl Naming {
    fn of(choice: Option<&'static str>) -> Naming {
        Naming { choice, fields: Vec::new(), key: String::new() }
    }

    fn add<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), DescribeError> {
        self.fields.push((name.into(), describe(value)?));
        Ok(())
    }

    fn done(self) -> Tree {
        chosen(self.choice, Tree::Fields(self.fields))
    }
}

fn chosen(choice: Option<&'static str>, content: Tree) -> Tree {
    match choice {
        Some(name) => Tree::Fields(Vec::from([(name.into(), content)])),
        None => content,
    }
}

macro_rules! leaves {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<Tree, DescribeError> {
            Ok(Tree::Leaf(value.to_string()))
        })*
    };
}

impl Serializer for Describe {
    type Ok = Tree;
    type Error = DescribeError;
    type SerializeSeq = Listing;
    type SerializeTuple = Listing;
    type SerializeTupleStruct = Listing;
    type SerializeTupleVariant = Listing;
    type SerializeMap = Naming;
    type SerializeStruct = Naming;
    type SerializeStructVariant = Naming;

    leaves!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_f32: f32, serialize_f64: f64, serialize_char: char, serialize_str: &str
    );

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Tree, DescribeError> {
        Ok(Tree::Leaf(hex::encode_prefixed(bytes)))
    }

    fn serialize_none(self) -> Result<Tree, DescribeError> {
        Ok(Tree::Leaf("none".into()))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, DescribeError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Tree, DescribeError> {
        Ok(Tree::Leaf("()".into()))
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Tree, DescribeError> {
        Ok(Tree::Leaf(name.into()))
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Tree, DescribeError> {
        Ok(Tree::Leaf(variant.into()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Tree, DescribeError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Tree, DescribeError> {
        Ok(chosen(Some(variant), describe(value)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Listing, DescribeError> {
        Ok(Listing::of(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Listing, DescribeError> {
        Ok(Listing::of(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Listing, DescribeError> {
        Ok(Listing::of(None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Listing, DescribeError> {
        Ok(Listing::of(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Naming, DescribeError> {
        Ok(Naming::of(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Naming, DescribeError> {
        Ok(Naming::of(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Naming, DescribeError> {
        Ok(Naming::of(Some(variant)))
    }
}

macro_rules! listing {
    ($($part:ident: $method:ident),*) => {
        $(impl $part for Listing {
            type Ok = Tree;
            type Error = DescribeError;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DescribeError> {
                self.add(value)
            }

            fn end(self) -> Result<Tree, DescribeError> {
                Ok(self.done())
            }
        })*
    };
}
listing!(
    SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

macro_rules! naming {
    ($($part:ident),*) => {
        $(impl $part for Naming {
            type Ok = Tree;
            type Error = DescribeError;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), DescribeError> {
                self.add(name, value)
            }

            fn end(self) -> Result<Tree, DescribeError> {
                Ok(self.done())
            }
        })*
    };
}
naming!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Naming {
    type Ok = Tree;
    type Error = DescribeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), DescribeError> {
        self.key = describe(key)?.to_string();
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DescribeError> {
        let name = core::mem::take(&mut self.key);
        self.add(&name, value)
    }

    fn end(self) -> Result<Tree, DescribeError> {
        Ok(self.done())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, vec};

    use alloy_primitives::Address;

    use super::*;
    use crate::game::Seat;

    #[derive(Clone, Serialize)]
    enum Stage {
        Setup,
        Shot { cell: u8 },
        Pair(u8, u8),
        By(Seat),
    }

    #[derive(Clone, Serialize)]
    struct Board {
        cells: [Option<Seat>; 3],
        stage: Stage,
        scores: BTreeMap<u8, i32>,
        owner: Address,
        note: &'static str,
    }

    fn board() -> Board {
        Board {
            cells: [None, Some(Seat(1)), None],
            stage: Stage::Setup,
            scores: BTreeMap::from([(7, -3)]),
            owner: Address::ZERO,
            note: "é",
        }
    }

    fn path(change: impl FnOnce(&mut Board)) -> (String, String, String) {
        let (a, mut b) = (board(), board());
        change(&mut b);
        let difference = describe(&a).expect("plain").difference(&describe(&b).expect("plain")).expect("they differ");
        (difference.path, difference.a, difference.b)
    }

    #[test]
    fn a_board_is_shown_by_its_names() {
        let shown = "{ cells: [none, 1, none], stage: Setup, scores: { 7: -3 }, \
            owner: 0x0000000000000000000000000000000000000000, note: é }";
        assert_eq!(describe(&board()).expect("plain").to_string(), shown);
        let stages = [Stage::Shot { cell: 4 }, Stage::Pair(1, 2), Stage::By(Seat(3))];
        let shown = "[{ Shot: { cell: 4 } }, { Pair: [1, 2] }, { By: 3 }]";
        assert_eq!(describe(&stages).expect("plain").to_string(), shown);
    }

    #[test]
    fn the_first_difference_is_named_by_its_path() {
        let of = |path: &str, a: &str, b: &str| (path.into(), a.into(), b.into());
        assert_eq!(path(|b| b.cells[2] = Some(Seat(0))), of("cells[2]", "none", "0"));
        assert_eq!(path(|b| b.stage = Stage::Shot { cell: 4 }), of("stage", "Setup", "{ Shot: { cell: 4 } }"));
        assert_eq!(path(|b| b.scores = BTreeMap::from([(7, 2)])), of("scores.7", "-3", "2"));
        assert_eq!(path(|b| b.scores.extend([(9, 2)])), of("scores", "{ 7: -3 }", "{ 7: -3, 9: 2 }"));
        let shot = |cell| describe(&Stage::Shot { cell }).expect("plain");
        assert_eq!(shot(1).difference(&shot(2)).expect("they differ").path, "Shot.cell");
        assert_eq!(shot(1).difference(&shot(1)), None);
    }

    #[test]
    fn a_list_that_goes_on_differs_in_its_length() {
        let list = |items: &[u8]| describe(items).expect("plain");
        let longer = list(&[1, 2]).difference(&list(&[1, 2, 3])).expect("they differ");
        assert_eq!(longer, Difference { path: "length".into(), a: "2".into(), b: "3".into() });
        assert_eq!(list(&[1, 2]).difference(&list(&[1, 3, 4])).expect("they differ").path, "[1]");
    }

    #[test]
    fn a_large_value_is_cut_where_a_character_ends() {
        let long: String = core::iter::repeat_n('é', SHOWN + 1).collect();
        let difference = describe(&long).expect("plain").difference(&describe(&vec![0u8; 400]).expect("plain"));
        let Difference { a, b, .. } = difference.expect("they differ");
        assert_eq!((a.chars().count(), b.chars().count()), (SHOWN + 2, SHOWN + 2));
    }
}
