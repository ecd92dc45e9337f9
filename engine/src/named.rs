//! Looking up the vectors of a collection by their names, which every query does a dozen times.

use std::collections::BTreeMap;

/// What stands under a name, as `map.get(name)` finds it. Time O(names), of which there are few.
///
/// Empty names, of which the unnamed vector has one, are never compared byte by byte: an empty string has no address, the C library compares
/// strings of up to 64 bytes by one masked load, and a masked load from no address takes a processor with AVX-512 some hundred cycles. Ten of them
/// were 3 % of a query.
pub(crate) fn named<'m, T>(map: &'m BTreeMap<String, T>, name: &str) -> Option<&'m T> {
    if name.is_empty() {
        // Nothing comes before it.
        let (first, value) = map.first_key_value()?;
        return first.is_empty().then_some(value);
    }
    let mut all = map.iter();
    let found = all.find(|(key, _)| !key.is_empty() && key.as_str() == name);
    found.map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_the_map_finds() {
        let names = ["", "a", "ab", "b", "\u{10ffff}"];
        for chosen in 0..1u32 << names.len() {
            let held = (0..names.len()).filter(|at| chosen >> at & 1 == 1);
            let map: BTreeMap<String, usize> = held.map(|at| (names[at].to_owned(), at)).collect();
            for name in names.into_iter().chain(["aa", "c"]) {
                assert_eq!(named(&map, name), map.get(name), "{name:?} in {map:?}");
            }
        }
    }
}
