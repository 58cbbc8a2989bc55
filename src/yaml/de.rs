//! Tree → types: a serde deserializer that lets the wanted type say what a scalar is, and tells the path of an error.

mod error;
mod infer;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, EnumAccess, IntoDeserializer, Unexpected, VariantAccess, Visitor},
    forward_to_deserialize_any,
};

pub(crate) use self::error::ReadError;
use self::infer::{Inferred, infer};
use super::tree::{Entry, Node, Scalar, Step, Style, Value};

/// Reads a value of the tree.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a Node);

impl<'a> Reader<'a> {
    fn scalar(self) -> Result<&'a Scalar, Unexpected<'a>> {
        match &self.0.value {
            Value::Scalar(scalar) => Ok(scalar),
            Value::Null | Value::Redacted => Err(Unexpected::Unit),
            Value::List(_) => Err(Unexpected::Seq),
            Value::Map(_) => Err(Unexpected::Map),
        }
    }

    fn inferred(self) -> Result<Inferred<'a>, Unexpected<'a>> {
        let scalar = self.scalar()?;
        Ok(if scalar.style == Style::Text { Inferred::Text(&scalar.text) } else { infer(&scalar.text) })
    }

    fn unexpected(self) -> Unexpected<'a> {
        match self.inferred() {
            Err(found) => found,
            Ok(Inferred::Bool(value)) => Unexpected::Bool(value),
            Ok(Inferred::Signed(value)) => Unexpected::Signed(value),
            Ok(Inferred::Unsigned(value)) => Unexpected::Unsigned(value),
            Ok(Inferred::Float(value)) => Unexpected::Float(value),
            Ok(Inferred::Text(text)) => Unexpected::Str(text),
        }
    }

    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.inferred() {
            Ok(Inferred::Signed(number)) => visitor.visit_i64(number),
            Ok(Inferred::Unsigned(number)) => visitor.visit_u64(number),
            Ok(Inferred::Float(number)) => visitor.visit_f64(number),
            _ => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn visit_text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.scalar() {
            Ok(scalar) => visitor.visit_str(&scalar.text),
            Err(found) => Err(de::Error::invalid_type(found, &visitor)),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.number(visitor)
        })*
    };
}

macro_rules! texts {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.visit_text(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    numbers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
    deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 }

    texts! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.value {
            Value::Null | Value::Redacted => visitor.visit_unit(),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(entries) => visitor.visit_map(Entries::new(entries)),
            Value::Scalar(_) => match self.inferred() {
                Ok(Inferred::Bool(value)) => visitor.visit_bool(value),
                Ok(Inferred::Text(text)) => visitor.visit_str(text),
                _ => self.number(visitor),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.inferred() {
            Ok(Inferred::Bool(value)) => visitor.visit_bool(value),
            _ => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.value {
            Value::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Value::Scalar(Scalar { text, style: Style::Variable }) => {
                let mut items = Vec::new();
                for part in text.split(',').filter(|part| !part.trim().is_empty()) {
                    let scalar = Scalar { text: part.trim().to_owned(), style: Style::Variable };
                    items.push(Node { location: self.0.location.clone(), value: Value::Scalar(scalar) });
                }
                visitor.visit_seq(Items { items: items.iter().enumerate() })
            }
            _ => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.value {
            Value::Map(entries) => visitor.visit_map(Entries::new(entries)),
            _ => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.0.value {
            Value::Scalar(scalar) => visitor.visit_enum(scalar.text.as_str().into_deserializer()),
            Value::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant(entry)),
                _ => Err(de::Error::invalid_length(entries.len(), &"a map with one key")),
            },
            _ => {
                let expected = super::diagnostic::one_of(choices);
                Err(de::Error::invalid_type(self.unexpected(), &expected.as_str()))
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct }
}

struct Items<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((index, item)) = self.items.find(|(_, item)| !item.is_redacted()) else { return Ok(None) };
        seed.deserialize(Reader(item)).map(Some).map_err(|error| error.under(Step::Index(index)))
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'a> Entries<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        Self { entries: entries.iter(), current: None }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.current = self.entries.find(|entry| !entry.node.is_redacted());
        let Some(entry) = self.current else { return Ok(None) };
        seed.deserialize(entry.key.as_str().into_deserializer())
            .map(Some)
            .map_err(|error: ReadError| error.of_key(&entry.key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some(entry) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Reader(&entry.node)).map_err(|error| error.under(Step::Key(entry.key.clone())))
    }
}

struct Variant<'a>(&'a Entry);

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = ReadError;
    type Variant = VariantBody<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, VariantBody<'a>), ReadError> {
        let name = seed
            .deserialize(self.0.key.as_str().into_deserializer())
            .map_err(|error: ReadError| error.of_key(&self.0.key))?;
        Ok((name, VariantBody(self.0)))
    }
}

struct VariantBody<'a>(&'a Entry);

impl VariantBody<'_> {
    fn under(&self) -> impl Fn(ReadError) -> ReadError {
        let key = self.0.key.clone();
        move |error| error.under(Step::Key(key.clone()))
    }
}

impl<'de> VariantAccess<'de> for VariantBody<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        de::Deserialize::deserialize(Reader(&self.0.node)).map_err(self.under())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(Reader(&self.0.node)).map_err(self.under())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        Reader(&self.0.node).deserialize_seq(visitor).map_err(self.under())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        Reader(&self.0.node).deserialize_map(visitor).map_err(self.under())
    }
}
