//! Settings that may be written in a short and a long form. An error inside one of the forms stays what it is, which
//! serde's untagged enums cannot do.

use std::{fmt, marker::PhantomData};

use scopegate_provider::Scope;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, SeqAccess, Unexpected, Visitor, value},
};

use super::{ActorSettings, DocumentSettings, MatchSettings, RequireSettings, ScopeSettings};

trait Shaped<'de>: Sized {
    const EXPECTED: &'static str;

    fn text<E: de::Error>(text: &str) -> Result<Self, E>;

    fn list<A: SeqAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(de::Error::invalid_type(Unexpected::Seq, &Self::EXPECTED))
    }

    fn map<A: MapAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(de::Error::invalid_type(Unexpected::Map, &Self::EXPECTED))
    }
}

struct ShapeVisitor<T>(PhantomData<T>);

impl<'de, T: Shaped<'de>> Visitor<'de> for ShapeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::text(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::list(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::map(members)
    }
}

fn long<'de, T: Deserialize<'de>, A: MapAccess<'de>>(members: A) -> Result<T, A::Error> {
    T::deserialize(value::MapAccessDeserializer::new(members))
}

fn many<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(items: A) -> Result<Vec<T>, A::Error> {
    Vec::deserialize(value::SeqAccessDeserializer::new(items))
}

impl<'de> Shaped<'de> for ScopeSettings {
    const EXPECTED: &'static str = "a description, or `{ description: …, routes: [\"GET /items/**\"] }`";

    fn text<E: de::Error>(text: &str) -> Result<Self, E> {
        Ok(Self::Description(text.to_owned()))
    }

    fn map<A: MapAccess<'de>>(members: A) -> Result<Self, A::Error> {
        long(members).map(Self::Long)
    }
}

impl<'de> Shaped<'de> for MatchSettings {
    const EXPECTED: &'static str = "a pattern such as `GET /items/**`, a list of patterns, or `{ methods: [GET], host: api.example.com, path: /items/** }`";

    fn text<E: de::Error>(text: &str) -> Result<Self, E> {
        Ok(Self::One(text.to_owned()))
    }

    fn list<A: SeqAccess<'de>>(items: A) -> Result<Self, A::Error> {
        many(items).map(Self::Many)
    }

    fn map<A: MapAccess<'de>>(members: A) -> Result<Self, A::Error> {
        long(members).map(Self::Long)
    }
}

impl<'de> Shaped<'de> for RequireSettings {
    const EXPECTED: &'static str = "a scope, a list of scopes, or `{ all: […], any: […], roles: […], claims: {…}, clients: […], providers: […], audience: … }`";

    fn text<E: de::Error>(text: &str) -> Result<Self, E> {
        Scope::parse(text).map(Self::One).map_err(E::custom)
    }

    fn list<A: SeqAccess<'de>>(items: A) -> Result<Self, A::Error> {
        many(items).map(Self::All)
    }

    fn map<A: MapAccess<'de>>(members: A) -> Result<Self, A::Error> {
        long(members).map(Box::new).map(Self::Long)
    }
}

impl<'de> Shaped<'de> for ActorSettings {
    const EXPECTED: &'static str = "`none`, `any`, or a list of actors such as `[\"orders-agent\"]`";

    fn text<E: de::Error>(text: &str) -> Result<Self, E> {
        Ok(Self::One(text.to_owned()))
    }

    fn list<A: SeqAccess<'de>>(items: A) -> Result<Self, A::Error> {
        many(items).map(Self::Many)
    }
}

impl<'de> Shaped<'de> for DocumentSettings {
    const EXPECTED: &'static str = "a file such as `openapi.json`, a URL, or `{ document: openapi.json, upstream: orders, base_path: /orders }`";

    fn text<E: de::Error>(text: &str) -> Result<Self, E> {
        Ok(Self::Name(text.to_owned()))
    }

    fn map<A: MapAccess<'de>>(members: A) -> Result<Self, A::Error> {
        long(members).map(Self::Long)
    }
}

macro_rules! deserialize_by_shape {
    ($($name:ident)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ShapeVisitor(PhantomData))
            }
        }
    )*};
}

deserialize_by_shape!(ScopeSettings MatchSettings RequireSettings ActorSettings DocumentSettings);

/// A value that is written alone or as a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Several<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Several<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Shaped<'de> for Several<T> {
    const EXPECTED: &'static str = "a name or a list of names";

    fn text<E: de::Error>(text: &str) -> Result<Self, E> {
        T::deserialize(value::StrDeserializer::new(text)).map(|one| Self(vec![one]))
    }

    fn list<A: SeqAccess<'de>>(items: A) -> Result<Self, A::Error> {
        many(items).map(Self)
    }
}

/// A map, or a list of maps.
pub(super) struct SeveralMaps<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for SeveralMaps<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Shaped<'de> for SeveralMaps<T> {
    const EXPECTED: &'static str = "`{ type: …, actions: […] }`, or a list of these";

    fn text<E: de::Error>(text: &str) -> Result<Self, E> {
        Err(de::Error::invalid_type(Unexpected::Str(text), &Self::EXPECTED))
    }

    fn list<A: SeqAccess<'de>>(items: A) -> Result<Self, A::Error> {
        many(items).map(Self)
    }

    fn map<A: MapAccess<'de>>(members: A) -> Result<Self, A::Error> {
        long(members).map(|one| Self(vec![one]))
    }
}

/// A map, or a list of maps.
pub(super) fn one_or_many_maps<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    SeveralMaps::deserialize(deserializer).map(|several| Some(several.0))
}

/// One thing, or a list of them.
pub(super) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Several::deserialize(deserializer).map(|several| Some(several.0))
}
