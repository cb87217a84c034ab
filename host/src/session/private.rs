//! What the derive macros write refers to. Not for use by hand.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer as _};
use serde::de::{VariantAccess, Visitor};
pub use serde_json::value::{RawValue, to_raw_value};
pub use serde_json::{Error, Result};

pub use serde;

/// Reads the variant of an enum from two places: its name from the type of an event, its content
/// from the payload.
pub struct Variant<'de> {
    name: &'de str,
    payload: &'de str,
}

impl<'de> Variant<'de> {
    /// The variant of this name.
    pub fn new(name: &'de str, payload: &'de RawValue) -> Self {
        Self { name, payload: payload.get() }
    }

    fn read<T>(
        self,
        read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'de>>) -> Result<T>,
    ) -> Result<T> {
        let mut deserializer = serde_json::Deserializer::from_str(self.payload);
        let value = read(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Variant<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let name: StrDeserializer<'_, Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        self.read(|payload| seed.deserialize(payload))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value> {
        Err(Error::custom("an event has named fields"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.read(|payload| payload.deserialize_struct("payload", fields, visitor))
    }
}
