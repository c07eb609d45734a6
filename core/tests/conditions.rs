//! `docs/conditions.md` has every reason that there is, and no other.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../docs/conditions.md");
const ANNOUNCED: &str = include_str!("../src/controller/announced.rs");
const CONFLICT: &str = include_str!("../src/controller/conflict.rs");
const EIP: &str = include_str!("../src/controller/eip.rs");
const LACK: &str = include_str!("../src/controller/lack.rs");
const REFUSAL: &str = include_str!("../src/ipam/refusal.rs");
const SERVICE: &str = include_str!("../src/controller/service.rs");
const STATUS: &str = include_str!("../src/controller/status.rs");
const STANDING: &str = include_str!("../src/ipam/standing.rs");

/// An Eip of another protocol is left alone, so this is never said of one.
const UNSAID: &str = "NotLayer2";

/// The reasons in a source file: literals of one word that begins with a capital.
fn reasons(source: &str) -> BTreeSet<&str> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let literals = code.flat_map(|line| line.split('"').skip(1).step_by(2));
    let is_reason = |text: &&str| {
        text.starts_with(|first: char| first.is_ascii_uppercase())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric())
    };
    literals.filter(is_reason).collect()
}

/// The first column of the tables under a heading of the second level.
fn documented(heading: &str) -> BTreeSet<&'static str> {
    let section = DOCUMENT.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap()).collect()
}

fn is_event(reason: &&str) -> bool {
    ["ConfigSpeaker", "AddressConflict", "AddressInUse", "AddressProbed"]
        .iter()
        .any(|it| reason.starts_with(it))
}

#[test]
fn every_reason_of_a_service_is_documented_and_no_other() {
    let said: BTreeSet<_> = [ANNOUNCED, LACK, REFUSAL].into_iter().flat_map(reasons).collect();
    assert!(said.len() > 20, "{said:?}");
    assert_eq!(documented("Service"), said);
}

#[test]
fn every_reason_of_a_conflict_is_documented_and_no_other() {
    let mut said = reasons(CONFLICT);
    said.retain(|reason| !is_event(reason));
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(documented("Service: `porter.kubesphere.io/AddressConflict`"), said);
}

#[test]
fn every_reason_of_an_eip_is_documented_and_no_other() {
    let mut said: BTreeSet<_> = [EIP, LACK, STANDING].into_iter().flat_map(reasons).collect();
    said.retain(|reason| !is_event(reason) && *reason != UNSAID);
    assert!(said.len() > 10, "{said:?}");
    assert_eq!(documented("Eip"), said);
}

#[test]
fn every_reason_of_an_event_is_documented_and_no_other() {
    let of_eips = [EIP, CONFLICT].into_iter().flat_map(reasons).filter(is_event);
    let said: BTreeSet<_> =
        [SERVICE, STATUS].into_iter().flat_map(reasons).chain(of_eips).collect();
    assert!(said.len() > 6, "{said:?}");
    assert_eq!(documented("Events"), said);
}
