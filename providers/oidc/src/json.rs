//! JSON as tokens must hold it: an object, no member twice at any depth, not too deep.

use std::{cell::RefCell, fmt};

use scopegate_provider::{Excerpt, Rejection};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, map::Entry};

/// Objects and arrays may stand in each other this deep.
const MAX_DEPTH: u8 = 16;

/// Reads an object in which no member stands twice at any depth (RFC 7519, section 4; RFC 8725, section 2.4).
///
/// # Errors
/// [`Rejection::DuplicateMember`], or [`Rejection::Malformed`] with `expected` if it is no JSON object.
pub(crate) fn parse_object(json: &[u8], expected: &'static str) -> Result<Map<String, Value>, Rejection> {
    let fault = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let parsed = Strict { depth: 0, fault: &fault }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match (fault.into_inner(), parsed) {
        (Some(fault), _) => Err(fault),
        (None, Ok(Value::Object(map))) => Ok(map),
        (None, _) => Err(Rejection::Malformed { detail: expected }),
    }
}

/// Reads any value, and notes a fault that has a rejection of its own.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: u8,
    fault: &'a RefCell<Option<Rejection>>,
}

impl Strict<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(
                self.fail(Rejection::Malformed { detail: "expected JSON that is nested less deeply" })
            );
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn fail<E: Error>(self, rejection: Rejection) -> E {
        self.fault.borrow_mut().get_or_insert(rejection);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match object.entry(name) {
                Entry::Vacant(place) => drop(place.insert(members.next_value_seed(inner)?)),
                Entry::Occupied(twice) => {
                    return Err(self.fail(Rejection::DuplicateMember { name: Excerpt::new(twice.key()) }));
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(json: &str) -> Result<Map<String, Value>, Rejection> {
        parse_object(json.as_bytes(), "an object")
    }

    fn nested(depth: usize) -> String {
        format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn a_member_that_stands_twice_is_named() {
        let twice = |name: &str| Err(Rejection::DuplicateMember { name: name.into() });
        assert_eq!(parse(r#"{"a":1,"b":2,"a":1}"#), twice("a"));
        assert_eq!(parse(r#"{"a":[{"b":{"c":1,"c":2}}]}"#), twice("c"));
        assert_eq!(parse(r#"{"a":1,"\u0061":2}"#), twice("a"));
    }

    #[test]
    fn one_name_at_two_places_is_no_duplicate() {
        assert!(parse(r#"{"a":{"a":[{"a":1},{"a":2}]}}"#).is_ok());
    }

    #[test]
    fn depth_counts_from_the_object_itself() {
        assert!(parse(&nested(15)).is_ok());
        let detail = "expected JSON that is nested less deeply";
        assert_eq!(parse(&nested(16)), Err(Rejection::Malformed { detail }));
    }

    #[test]
    fn what_is_no_object_is_refused_as_the_caller_says() {
        for json in ["", "1", "[]", "null", "{}x", "{} {}", "{"] {
            assert_eq!(parse(json), Err(Rejection::Malformed { detail: "an object" }), "{json}");
        }
    }

    #[test]
    fn white_space_around_the_object_is_allowed() {
        assert!(parse(" \t\r\n{ } \n").is_ok());
    }

    proptest! {
        #[test]
        fn an_object_is_read_as_serde_json_reads_it(
            members in prop::collection::btree_map("\\PC{0,5}", prop_oneof![any::<i64>().prop_map(Value::from), "\\PC*".prop_map(Value::from)], 0..6),
        ) {
            let object = Value::Object(members.into_iter().collect());
            prop_assert_eq!(&Value::Object(parse(&object.to_string()).unwrap()), &object);
        }

        #[test]
        fn any_bytes_are_read_as_serde_json_reads_them_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(map) = parse_object(&bytes, "an object") {
                prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), Value::Object(map));
            }
        }
    }
}
