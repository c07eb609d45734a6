//! The fuzz bodies over the named corpus, on stable Rust.

use std::{collections::BTreeSet, fs, path::Path};

use porter_core::wire::{Dropped, Heard};
use proptest::{collection::vec, prelude::any, sample, test_runner::TestRunner};

/// A frame's file is called by what it says, a dot, and what is special about it. A file without a
/// dot was made up by a fuzzer: it must only do no harm.
#[test]
fn every_named_frame_says_what_its_name_says() {
    let mut said = BTreeSet::new();
    for (name, frame) in corpus("frame") {
        let heard = match porter_fuzz::frame(&frame) {
            Ok(Heard::WhoHas(_)) => "WhoHas",
            Ok(Heard::IsAt(_)) => "IsAt",
            Err(reason) => reason.as_str(),
        };
        if let Some((says, _)) = name.split_once('.') {
            assert_eq!(heard, says, "{name}");
            said.insert(heard);
        }
    }
    let all = Dropped::ALL.map(Dropped::as_str).into_iter().chain(["WhoHas", "IsAt"]);
    assert_eq!(said, all.collect(), "there is a frame for everything that one can say");
}

#[test]
fn no_frame_near_a_named_one_does_harm() {
    let frames: Vec<_> = corpus("frame").into_iter().map(|(_, frame)| frame).collect();
    let changes = vec((any::<sample::Index>(), any::<u8>()), 1..4);
    let near = (sample::select(frames), changes);
    TestRunner::default()
        .run(&near, |(mut frame, changes)| {
            for (place, byte) in changes {
                if !frame.is_empty() {
                    *place.get_mut(&mut frame) = byte;
                }
            }
            let _ = porter_fuzz::frame(&frame);
            Ok(())
        })
        .expect("no frame does harm");
}

/// The files of a fuzz target's corpus, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let listed = fs::read_dir(&folder).expect("every fuzz target has a corpus");
    let read = listed.map(|entry| {
        let entry = entry.expect("a corpus can be listed");
        let bytes = fs::read(entry.path()).expect("a corpus can be read");
        (entry.file_name().to_string_lossy().into_owned(), bytes)
    });
    read.collect()
}
