//! A value of a scenario together with the place where it stands, so that a refusal can name it.
//!
//! It knows JSON and nothing of scenarios.

use super::ScenarioError;
use serde_json::{Map, Value};

/// A value and its place.
#[derive(Clone)]
pub struct Place<'a> {
    at: String,
    value: &'a Value,
}

impl<'a> Place<'a> {
    pub fn root(value: &'a Value) -> Self {
        Self { at: String::new(), value }
    }

    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Says that this value breaks a rule.
    pub fn broken(&self, rule: impl Into<String>) -> ScenarioError {
        let at = if self.at.is_empty() { "the scenario".to_owned() } else { self.at.clone() };
        ScenarioError::Field { at, rule: rule.into() }
    }

    pub fn text(&self) -> Result<String, ScenarioError> {
        self.value.as_str().map(str::to_owned).ok_or_else(|| self.broken("must be a text"))
    }

    pub fn flag(&self) -> Result<bool, ScenarioError> {
        self.value.as_bool().ok_or_else(|| self.broken("must be true or false"))
    }

    pub fn number(&self) -> Result<u64, ScenarioError> {
        self.value.as_u64().ok_or_else(|| self.broken("must be a number, 0 or more"))
    }

    pub fn object(&self) -> Result<Value, ScenarioError> {
        if self.value.is_object() { Ok(self.value.clone()) } else { Err(self.broken("must be an object")) }
    }

    /// Reads one word of a list of known ones.
    pub fn one_of<T: Copy>(&self, known: &[(&str, T)]) -> Result<T, ScenarioError> {
        let found = self.value.as_str().and_then(|text| known.iter().find(|(name, _)| *name == text));
        found.map(|(_, it)| *it).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            self.broken(format!("must be one of {}", names.join(", ")))
        })
    }

    /// Reads each value of a list.
    pub fn each<T>(&self, read: impl Fn(&Place<'a>) -> Result<T, ScenarioError>) -> Result<Vec<T>, ScenarioError> {
        let items = self.value.as_array().ok_or_else(|| self.broken("must be a list"))?;
        let places = items.iter().enumerate().map(|(n, value)| Place { at: format!("{}[{n}]", self.at), value });
        places.map(|place| read(&place)).collect()
    }

    /// Returns the values of an object whose names are free.
    pub fn entries(&self) -> Result<Vec<(String, Place<'a>)>, ScenarioError> {
        let map = self.map()?;
        Ok(map.iter().map(|(name, value)| (name.clone(), self.inside(name, value))).collect())
    }

    /// Opens an object that may have these fields and no others.
    pub fn fields(&self, known: &[&str]) -> Result<Fields<'a>, ScenarioError> {
        let map = self.map()?;
        match map.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(self.broken(format!("has no field `{name}`; it knows {}", known.join(", ")))),
            None => Ok(Fields { place: self.clone(), map }),
        }
    }

    fn map(&self) -> Result<&'a Map<String, Value>, ScenarioError> {
        self.value.as_object().ok_or_else(|| self.broken("must be an object"))
    }

    fn inside(&self, name: &str, value: &'a Value) -> Self {
        let at = if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) };
        Self { at, value }
    }
}

/// The fields of one object.
pub struct Fields<'a> {
    place: Place<'a>,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Reads a field that may be absent.
    pub fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Place<'a>) -> Result<T, ScenarioError>,
    ) -> Result<Option<T>, ScenarioError> {
        self.map.get(name).map(|value| read(&self.place.inside(name, value))).transpose()
    }

    /// Reads a field that must be there.
    pub fn need<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Place<'a>) -> Result<T, ScenarioError>,
    ) -> Result<T, ScenarioError> {
        self.read(name, read)?.ok_or_else(|| self.place.broken(format!("needs `{name}`")))
    }
}
