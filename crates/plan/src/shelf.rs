//! Nouns of one kind by id. A copy of a shelf shares what stands on it until one of the two changes it.
//!
//! A turn works on a copy of the whole world; with shelves it costs as much as it changes.

use std::collections::{BTreeMap, btree_map};
use std::ops::Index;
use std::sync::Arc;

/// Nouns by id, in the order of their ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Shelf<K, V> {
    nouns: BTreeMap<K, Arc<V>>,
}

impl<K: Ord, V> Shelf<K, V> {
    /// Makes an empty shelf.
    pub const fn new() -> Self {
        Self { nouns: BTreeMap::new() }
    }

    /// Returns the noun with this id.
    pub fn get(&self, id: &K) -> Option<&V> {
        self.nouns.get(id).map(|it| &**it)
    }

    /// Tells whether a noun has this id.
    pub fn contains_key(&self, id: &K) -> bool {
        self.nouns.contains_key(id)
    }

    /// Puts a noun in its place.
    pub fn insert(&mut self, id: K, noun: V) {
        self.nouns.insert(id, Arc::new(noun));
    }

    /// Returns how many nouns there are.
    pub fn len(&self) -> usize {
        self.nouns.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nouns.is_empty()
    }

    /// Returns the ids.
    pub fn keys(&self) -> btree_map::Keys<'_, K, Arc<V>> {
        self.nouns.keys()
    }

    /// Returns the nouns.
    pub fn values(&self) -> Values<'_, K, V> {
        Values { nouns: self.nouns.values() }
    }

    /// Returns the ids with their nouns.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { nouns: self.nouns.iter() }
    }
}

impl<K: Ord, V: Clone> Shelf<K, V> {
    /// Returns the noun with this id, to be changed; a copy of the shelf keeps it as it was.
    pub fn get_mut(&mut self, id: &K) -> Option<&mut V> {
        self.nouns.get_mut(id).map(Arc::make_mut)
    }
}

impl<K: Ord, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Shelf<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(nouns: I) -> Self {
        Self { nouns: nouns.into_iter().map(|(id, noun)| (id, Arc::new(noun))).collect() }
    }
}

impl<K: Ord, V> Index<&K> for Shelf<K, V> {
    type Output = V;
    fn index(&self, id: &K) -> &V {
        &self.nouns[id]
    }
}

impl<'s, K: Ord, V> IntoIterator for &'s Shelf<K, V> {
    type Item = (&'s K, &'s V);
    type IntoIter = Iter<'s, K, V>;
    fn into_iter(self) -> Iter<'s, K, V> {
        self.iter()
    }
}

/// The nouns of a shelf.
#[derive(Clone, Debug)]
pub struct Values<'s, K, V> {
    nouns: btree_map::Values<'s, K, Arc<V>>,
}

impl<'s, K, V> Iterator for Values<'s, K, V> {
    type Item = &'s V;
    fn next(&mut self) -> Option<&'s V> {
        self.nouns.next().map(|it| &**it)
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.nouns.size_hint()
    }
}

impl<K, V> ExactSizeIterator for Values<'_, K, V> {}

impl<K, V> DoubleEndedIterator for Values<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.nouns.next_back().map(|it| &**it)
    }
}

/// The ids of a shelf with their nouns.
#[derive(Clone, Debug)]
pub struct Iter<'s, K, V> {
    nouns: btree_map::Iter<'s, K, Arc<V>>,
}

impl<'s, K, V> Iterator for Iter<'s, K, V> {
    type Item = (&'s K, &'s V);
    fn next(&mut self) -> Option<(&'s K, &'s V)> {
        self.nouns.next().map(|(id, it)| (id, &**it))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.nouns.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_the_other_changes_and_shares_the_rest() {
        let mut shelf: Shelf<u8, String> = [(1, "one".to_owned()), (2, "two".to_owned())].into_iter().collect();
        let copy = shelf.clone();
        shelf.get_mut(&1).unwrap().push('!');
        assert_eq!((&*shelf[&1], &*copy[&1]), ("one!", "one"));
        assert!(std::ptr::eq(&shelf[&2], &copy[&2]));
        assert_ne!(shelf, copy);
    }
}
