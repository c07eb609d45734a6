//! The fuzz bodies over the named corpora, on stable Rust.
//!
//! A file is called by what comes of it, a dot, and what is special about it. A file without a dot was
//! made up by a fuzzer: it must only do no harm.

use std::{collections::BTreeSet, fmt, fs, path::Path};

use porter_core::wire::{Dropped, Heard};
use porter_fuzz::{Milestone, Reading};
use proptest::{
    collection::vec,
    prelude::any,
    sample,
    test_runner::{Config, TestRunner},
};

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
fn every_named_object_is_taken_for_what_its_name_says() {
    let taken = named("object", |text| spelled(&porter_fuzz::object(text)));
    let all = [
        Reading::EndpointSlice,
        Reading::Eip,
        Reading::Lease,
        Reading::Namespace,
        Reading::Node,
        Reading::Service,
        Reading::Other,
        Reading::Refused,
    ];
    assert_eq!(taken, spelled(&all), "there is an object that is taken for each");
}

#[test]
fn every_named_sequence_of_requests_is_answered_as_its_name_says() {
    let answered = named("request", |text| spelled(&porter_fuzz::request(text)));
    let all = [200, 201, 400, 403, 404, 405, 406, 409, 410, 415, 422, 504];
    assert_eq!(answered, spelled(&all), "there is a request that is answered with each");
}

#[test]
fn every_named_script_brings_a_replica_as_far_as_its_name_says() {
    let reached = named("speaker", |script| spelled(&porter_fuzz::speaker(script)));
    let all = [
        Milestone::Announced,
        Milestone::Answered,
        Milestone::Left,
        Milestone::Led,
        Milestone::Moved,
        Milestone::Stopped,
        Milestone::Told,
    ];
    assert_eq!(reached, spelled(&all), "there is a script that comes as far as each");
}

#[test]
fn nothing_near_a_named_input_does_harm() {
    near("frame", 256, |frame| {
        let _ = porter_fuzz::frame(frame);
    });
    near("object", 64, |text| {
        porter_fuzz::object(text);
    });
    near("speaker", 64, |script| {
        porter_fuzz::speaker(script);
    });
}

/// Runs so many inputs that differ from a named one in a few bytes.
fn near(target: &str, cases: u32, body: impl Fn(&[u8])) {
    let inputs: Vec<_> = corpus(target).into_iter().map(|(_, input)| input).collect();
    let changes = vec((any::<sample::Index>(), any::<u8>()), 1..4);
    let near = (sample::select(inputs), changes);
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
        .run(&near, |(mut input, changes)| {
            for (place, byte) in changes {
                if !input.is_empty() {
                    *place.get_mut(&mut input) = byte;
                }
            }
            body(&input);
            Ok(())
        })
        .expect("nothing near a named input does harm");
}

/// Replays a corpus, and returns what the names of its files say, which has to be among what comes of
/// them.
fn named(target: &str, body: impl Fn(&[u8]) -> BTreeSet<String>) -> BTreeSet<String> {
    let mut said = BTreeSet::new();
    for (name, input) in corpus(target) {
        let came = body(&input);
        if let Some((says, _)) = name.split_once('.') {
            assert!(came.contains(says), "{name}: {came:?}");
            said.insert(says.to_owned());
        }
    }
    said
}

fn spelled<'a, T: fmt::Debug + 'a>(values: impl IntoIterator<Item = &'a T>) -> BTreeSet<String> {
    values.into_iter().map(|value| format!("{value:?}")).collect()
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
