//! Few values of many rows, each held once.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Distinct values in the order of their first occurrence, and the index of each.
#[derive(Debug)]
pub struct Distinct<T> {
    values: Vec<T>,
    indices: HashMap<T, u32>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            indices: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Distinct<T> {
    /// The value's index, a new one where it is met for the first time. Panics beyond 2^32 values,
    /// more than there can be images.
    pub fn index<B>(&mut self, value: &B) -> u32
    where
        T: Borrow<B>,
        B: ?Sized + Eq + Hash + ToOwned<Owned = T>,
    {
        if let Some(index) = self.indices.get(value) {
            return *index;
        }
        let index = u32::try_from(self.values.len())
            .expect("BUG: rows are fewer than 2^32, as their ids are");
        self.values.push(value.to_owned());
        self.indices.insert(value.to_owned(), index);
        index
    }

    /// Panics where no value has the index.
    pub fn value(&self, index: u32) -> &T {
        &self.values[index as usize]
    }

    /// By index.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    pub fn into_values(self) -> Vec<T> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_index_in_the_order_of_the_first() {
        let mut distinct = Distinct::<String>::default();
        let indices = ["b", "a", "b", "", "a"].map(|text| distinct.index(text));
        assert_eq!(indices, [0, 1, 0, 2, 1]);
        assert_eq!(distinct.values(), ["b", "a", ""]);
        assert_eq!(distinct.value(1), "a");
    }
}
