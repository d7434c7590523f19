//! Texts one after the other in one buffer, each known by its number, and found again by a table of numbers.
//!
//! A million texts of their own cost a million allocations, and what an allocation takes besides; a start would spend most of
//! its time on them. Here a text of 32 bytes takes about 50: itself, where it ends, and how it is found again.

use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::{Error, Result};

/// Texts by number, `0..len()`, in the order in which they came.
#[derive(Debug, Clone, Default)]
struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    fn get(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start..self.ends[number]]
    }

    /// The number that the next text will have.
    ///
    /// # Errors
    /// Data: there are 2³² already, of `what`.
    fn next(&self, what: &str) -> Result<u32> {
        u32::try_from(self.ends.len())
            .map_err(|_| Error::data(format!("a state cannot keep more than 2^32 {what}")))
    }

    fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.ends.push(self.all.len());
    }
}

/// A seed by chance: nobody who sends keys can know which ones fall on the same place of a table.
fn seed() -> u64 {
    RandomState::new().hash_one(0)
}

/// Keys, each of them once.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    texts: Texts,
    table: HashTable<u32>,
    seed: u64,
}

impl Keys {
    pub(super) fn new() -> Keys {
        Keys { texts: Texts::default(), table: HashTable::new(), seed: seed() }
    }

    pub(super) fn len(&self) -> usize {
        self.texts.ends.len()
    }

    /// The key of a number below [`Keys::len`].
    pub(super) fn get(&self, number: u32) -> &str {
        self.texts.get(number)
    }

    /// The number of a key that is there.
    pub(super) fn find(&self, key: &str) -> Option<u32> {
        let hash = xxh3_64_with_seed(key.as_bytes(), self.seed);
        self.table.find(hash, |&number| self.texts.get(number) == key).copied()
    }

    /// The number of a key; a new one is given the next.
    ///
    /// # Errors
    /// Data: more than 2³².
    pub(super) fn number(&mut self, key: &str) -> Result<u32> {
        let Keys { texts, table, seed } = self;
        let hash = |key: &str| xxh3_64_with_seed(key.as_bytes(), *seed);
        let is_it = |number: &u32| texts.get(*number) == key;
        match table.entry(hash(key), is_it, |&number| hash(texts.get(number))) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(place) => {
                let number = texts.next("keys")?;
                place.insert(number);
                texts.push(key);
                Ok(number)
            }
        }
    }

    /// Makes room for so many more keys.
    pub(super) fn reserve(&mut self, keys: usize) {
        let Keys { texts, table, seed } = self;
        texts.ends.reserve(keys);
        table.reserve(keys, |&number| xxh3_64_with_seed(texts.get(number).as_bytes(), *seed));
    }
}

/// What was seen of each key, each member once.
///
/// Those of a snapshot come by key, in the order of their bytes, and are found by that: to put each into the table would be
/// half of what a start with a large state takes. The table has those that came since.
#[derive(Debug, Clone)]
pub(super) struct Members {
    texts: Texts,
    /// Of each member, the number of its key.
    keys: Vec<u32>,
    /// How many came in order.
    in_order: usize,
    /// Of each key up to the last one that has a member of these, which of them is its first.
    firsts: Vec<u32>,
    table: HashTable<u32>,
    /// Of each key, how many members it has.
    counts: Vec<u32>,
    seed: u64,
}

/// What there are 2³² of at most.
const WHAT: &str = "values of a column, over all keys";

/// Members, by key.
pub(super) struct Lists {
    members: Vec<u32>,
    /// Of each place, where its members end.
    ends: Vec<usize>,
}

impl Members {
    pub(super) fn new() -> Members {
        Members {
            texts: Texts::default(),
            keys: Vec::new(),
            in_order: 0,
            firsts: Vec::new(),
            table: HashTable::new(),
            counts: Vec::new(),
            seed: seed(),
        }
    }

    /// Takes the next key in, which has no member yet.
    pub(super) fn push_key(&mut self) {
        self.counts.push(0);
    }

    /// How many members a key has.
    pub(super) fn count(&self, key: u32) -> u32 {
        self.counts[key as usize]
    }

    /// How many there are of all keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    fn hash(seed: u64, key: u32, member: &str) -> u64 {
        xxh3_64_with_seed(member.as_bytes(), seed ^ (u64::from(key) << 32))
    }

    /// Whether a key has a member.
    pub(super) fn has(&self, key: u32, member: &str) -> bool {
        let is_it = |&at: &u32| self.keys[at as usize] == key && self.texts.get(at) == member;
        self.is_in_order(key, member) || self.table.find(Self::hash(self.seed, key, member), is_it).is_some()
    }

    /// Whether a key has a member among those that came in order.
    fn is_in_order(&self, key: u32, member: &str) -> bool {
        let Some(&first) = self.firsts.get(key as usize) else { return false };
        let end = self.firsts.get(key as usize + 1).map_or(self.in_order, |&next| next as usize);
        let (mut low, mut high) = (first as usize, end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.texts.get(middle as u32).cmp(member) {
                Ordering::Equal => return true,
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        false
    }

    /// Remembers a member of a key that a file has: in order, as long as they come so.
    ///
    /// # Errors
    /// Data: more than 2³² of them.
    pub(super) fn load(&mut self, key: u32, member: &str) -> Result<()> {
        let comes_next = self.in_order == self.keys.len()
            && self.keys.last().is_none_or(|&last| {
                last < key || (last == key && self.texts.get(self.in_order as u32 - 1) < member)
            });
        if !comes_next {
            return self.see(key, member).map(|_| ());
        }
        let number = self.texts.next(WHAT)?;
        self.texts.push(member);
        self.keys.push(key);
        self.counts[key as usize] += 1;
        self.in_order += 1;
        if self.firsts.len() <= key as usize {
            self.firsts.resize(key as usize + 1, number);
        }
        Ok(())
    }

    /// Remembers a member of a key; whether it was new.
    ///
    /// # Errors
    /// Data: more than 2³² of them.
    pub(super) fn see(&mut self, key: u32, member: &str) -> Result<bool> {
        if self.is_in_order(key, member) {
            return Ok(false);
        }
        let Members { texts, keys, table, counts, seed, .. } = self;
        let is_it = |&at: &u32| keys[at as usize] == key && texts.get(at) == member;
        let hash_at = |&at: &u32| Self::hash(*seed, keys[at as usize], texts.get(at));
        let Entry::Vacant(place) = table.entry(Self::hash(*seed, key, member), is_it, hash_at) else {
            return Ok(false);
        };
        place.insert(texts.next(WHAT)?);
        texts.push(member);
        keys.push(key);
        counts[key as usize] += 1;
        Ok(true)
    }

    /// Makes room for so many more keys, and a member of each, in order.
    pub(super) fn reserve(&mut self, more: usize) {
        self.counts.reserve(more);
        self.texts.ends.reserve(more);
        self.keys.reserve(more);
        self.firsts.reserve(more);
    }

    /// All members, by key, those of a key in the order of their bytes: whatever order they came in.
    pub(super) fn of_all(&self) -> Lists {
        let mut lists = self.since(0, self.counts.len(), |key| key as usize);
        for place in 0..self.counts.len() {
            let range = lists.range(place);
            lists.members[range].sort_unstable_by_key(|&at| self.texts.get(at));
        }
        lists
    }

    /// The members from the `first`-th on, by the places of their keys, in the order in which they came.
    pub(super) fn since(&self, first: usize, places: usize, place_of: impl Fn(u32) -> usize) -> Lists {
        let late = &self.keys[first..];
        let mut ends = vec![0; places + 1];
        for &key in late {
            ends[place_of(key) + 1] += 1;
        }
        for place in 0..places {
            ends[place + 1] += ends[place];
        }
        // Where each place begins becomes where it ends, as its members come in.
        ends.pop();
        let mut members = vec![0; late.len()];
        for (at, &key) in late.iter().enumerate() {
            let end = &mut ends[place_of(key)];
            members[*end] = (first + at) as u32;
            *end += 1;
        }
        Lists { members, ends }
    }

    /// The members that stand there in lists.
    pub(super) fn of<'a>(&'a self, lists: &'a Lists, range: Range<usize>) -> impl Iterator<Item = &'a str> {
        lists.members[range].iter().map(|&at| self.texts.get(at))
    }
}

impl Lists {
    /// Where the members of a place stand.
    pub(super) fn range(&self, place: usize) -> Range<usize> {
        place.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[place]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_keep_the_numbers_in_which_they_came() {
        let mut keys = Keys::new();
        // More than a table begins with, so that it grows.
        for round in 0..2 {
            for number in 0..5_000u32 {
                let key = format!("k{number}");
                assert_eq!(keys.find(&key), (round > 0).then_some(number));
                assert_eq!(keys.number(&key).unwrap(), number);
                assert_eq!(keys.get(number), key);
            }
            keys.reserve(10_000);
        }
        assert_eq!((keys.number("").unwrap(), keys.get(5_000), keys.len()), (5_000, "", 5_001));
    }

    proptest! {
        /// Of any order of members a key has each once, and their lists are what sets of them give; those too that were loaded
        /// before, in the order of a snapshot or any other.
        #[test]
        fn members_are_those_of_a_set(
            mut loaded in proptest::collection::vec((0u32..5, "[a-c]{0,3}"), 0..100),
            is_sorted in any::<bool>(),
            seen in proptest::collection::vec((0u32..5, "[a-c]{0,3}"), 0..200),
            cut in 0usize..200,
        ) {
            let cut = cut.min(seen.len());
            let mut members = Members::new();
            (0..5).for_each(|_| members.push_key());
            let mut expected: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
            if is_sorted {
                loaded.sort();
                loaded.dedup();
            }
            for (key, member) in &loaded {
                members.load(*key, member).unwrap();
                expected.entry(*key).or_default().insert(member);
            }
            prop_assert!(!is_sorted || members.table.is_empty());
            let mut since: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
            let mut first = 0;
            for (at, (key, member)) in seen.iter().enumerate() {
                if at == cut {
                    first = members.len();
                }
                let is_new = expected.entry(*key).or_default().insert(member);
                prop_assert_eq!(members.has(*key, member), !is_new);
                prop_assert_eq!(members.see(*key, member).unwrap(), is_new);
                if is_new && at >= cut {
                    since.entry(*key).or_default().push(member);
                }
            }
            if cut == seen.len() {
                first = members.len();
            }
            let all = members.of_all();
            let late = members.since(first, 5, |key| 4 - key as usize);
            for key in 0..5 {
                let of_key: Vec<&str> = expected.get(&key).into_iter().flatten().copied().collect();
                prop_assert_eq!(members.count(key) as usize, of_key.len());
                prop_assert_eq!(members.of(&all, all.range(key as usize)).collect::<Vec<_>>(), of_key);
                let of_key = since.remove(&key).unwrap_or_default();
                prop_assert_eq!(members.of(&late, late.range(4 - key as usize)).collect::<Vec<_>>(), of_key);
            }
        }
    }
}
