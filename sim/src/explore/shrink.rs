//! Fewer of many things, so that what they cause together still happens: delta debugging (Zeller and
//! Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002), by complements alone.

/// The part of `items`, in their order, that is left when everything is taken away without which
/// `fails` still holds. It holds for `items` and, if it is a function of its argument, for the
/// result; then no single item more can be taken away from that.
pub fn fewest<T: Clone>(items: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    let mut size = kept.len().max(1);
    loop {
        let taken = take_away(&mut kept, size, &mut fails);
        if size > 1 {
            size = size.div_ceil(2);
        } else if !taken {
            return kept;
        }
    }
}

/// Takes away every run of `size` items that can be, the last ones first. Says whether any was.
fn take_away<T: Clone>(
    kept: &mut Vec<T>,
    size: usize,
    fails: &mut impl FnMut(&[T]) -> bool,
) -> bool {
    let before = kept.len();
    let mut end = kept.len();
    while end > 0 {
        let start = end.saturating_sub(size);
        let rest: Vec<T> = kept[..start].iter().chain(&kept[end..]).cloned().collect();
        if fails(&rest) {
            *kept = rest;
        }
        end = start;
    }
    kept.len() < before
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_culprits_among_many_are_found() {
        let items: Vec<u32> = (0..1_000).collect();
        let mut tries = 0;
        let left = fewest(&items, |some| {
            tries += 1;
            some.contains(&17) && some.contains(&902)
        });
        assert_eq!(left, [17, 902]);
        assert!(tries < 150, "{tries}");
    }

    #[test]
    fn what_fails_by_itself_needs_nothing() {
        assert!(fewest(&[1, 2, 3], |_| true).is_empty());
        assert!(fewest::<u8>(&[], |_| true).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_left_fails_and_fails_no_more_without_any_one_of_it(
            items in prop::collection::vec(0..20_u8, 0..40),
            // It fails with all items of any one of these sets.
            causes in prop::collection::vec(prop::collection::btree_set(0..20_u8, 1..5), 1..4),
        ) {
            let fails = |some: &[u8]| {
                let some: BTreeSet<u8> = some.iter().copied().collect();
                causes.iter().any(|cause| cause.is_subset(&some))
            };
            prop_assume!(fails(&items));
            let left = fewest(&items, fails);
            prop_assert!(fails(&left));
            prop_assert!(is_part(&left, &items));
            for i in 0..left.len() {
                let without = [&left[..i], &left[i + 1..]].concat();
                prop_assert!(!fails(&without), "{i} of {left:?} is not needed");
            }
        }

        #[test]
        fn of_what_fails_by_its_number_as_few_are_left_as_it_takes(n in 0..60_usize, needs in 0..60_usize) {
            prop_assume!(needs <= n);
            prop_assert_eq!(fewest(&vec![(); n], |some| some.len() >= needs).len(), needs);
        }
    }

    fn is_part(some: &[u8], all: &[u8]) -> bool {
        let mut all = all.iter();
        some.iter().all(|item| all.any(|other| other == item))
    }
}
