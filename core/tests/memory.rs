//! What comes and goes leaves nothing behind in a replica, however long it leads.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use bench::*;
use porter_core::{EipName, Input, IsAt, LinkName, ServiceName, SliceName, Unusable, WriteError};

/// More than any table may remember of a cluster that never has more than a few objects at once.
const ROUNDS: u8 = 60;

/// Lets something come and go many times, each time under another name, and looks whether anything is
/// remembered that should not be.
fn come_and_go(bench: &mut Bench, round: impl Fn(&mut Bench, u8)) {
    for number in 0..ROUNDS {
        round(bench, number);
        let sizes = bench.speaker.sizes();
        let excesses: Vec<_> = sizes.excesses().collect();
        assert!(excesses.is_empty(), "in round {number}: {excesses:?}");
    }
}

fn named_by(kind: &str, number: u8) -> ServiceName {
    ServiceName::new("default", &format!("{kind}{number}"))
}

#[test]
fn services_and_their_slices_leave_nothing_behind() {
    let mut bench = Bench::serving();
    come_and_go(&mut bench, |bench, number| {
        let name = named_by("web", number);
        bench.endpoints(&name, &["node4"]);
        bench.service(&name, Some(asking()));
        bench.delete(&name);
        bench.api.remove_slice(&SliceName::new("default", name.name()));
        bench.calm();
    });
    assert_eq!((bench.api.services.len(), bench.ask(188)), (1, Some(mac(9))));
}

#[test]
fn a_service_that_is_gone_before_a_write_of_it_fails_leaves_nothing_behind() {
    let mut bench = Bench::serving();
    come_and_go(&mut bench, |bench, number| {
        let name = named_by("web", number);
        bench.replies = false;
        bench.service(&name, Some(asking()));
        bench.service(&name, None);
        bench.judge(Verdict::Failed(WriteError::Conflict));
        bench.replies = true;
        bench.calm();
    });
}

#[test]
fn who_waits_in_vain_for_what_another_holds_leaves_nothing_behind() {
    let mut bench = Bench::serving();
    come_and_go(&mut bench, |bench, number| {
        let name = named_by("late", number);
        bench.service(&name, Some(sharing(number, 80)));
        bench.service(&name, None);
    });
}

#[test]
fn nodes_that_served_leave_nothing_behind() {
    let mut bench = Bench::serving();
    come_and_go(&mut bench, |bench, number| {
        let name = format!("spot{number}");
        bench.node(&name, Some(node(110 + number)));
        bench.endpoints(&web(), &[&name]);
        bench.calm();
        assert_eq!(bench.ask(188), Some(mac(110 + number)));
        bench.endpoints(&web(), &["node3"]);
        bench.calm();
        bench.node(&name, None);
    });
}

#[test]
fn eips_leave_nothing_behind() {
    let mut bench = Bench::serving();
    come_and_go(&mut bench, |bench, number| {
        let name = EipName::from(format!("pool{number}").as_str());
        bench.eip(&name, Some(layer2("172.22.0.210")));
        bench.delete_eip(&name);
        bench.calm();
        assert!(!bench.api.eips.contains_key(&name));
    });
}

#[test]
fn holders_that_are_not_there_and_not_on_record_any_more_leave_nothing_behind() {
    // One that is answered, and one that is not.
    for address in [eip(188), eip(190)] {
        let mut bench = Bench::serving();
        // Neither is the read answered that would confirm that they are gone, nor are responders silent.
        bench.replies = false;
        bench.acknowledges = false;
        come_and_go(&mut bench, |bench, number| {
            let ghost = named_by("ghost", number);
            bench.edit_eip(&pool(), |pool| pool.status.used = [(address, [ghost].into())].into());
        });
    }
}

#[test]
fn holders_that_go_before_their_record_is_proved_leave_nothing_behind() {
    let mut bench = Bench::serving();
    bench.replies = false;
    let other = EipName::from("other");
    bench.eip(&other, Some(layer2("172.22.0.210")));
    come_and_go(&mut bench, |bench, number| {
        let name = named_by("web", number);
        bench.service(&name, Some(asking()));
        bench.edit_eip(&other, |other| {
            other.status.used.insert(eip(210), [name.clone()].into());
        });
        bench.service(&name, None);
        bench.edit_eip(&other, |other| other.status.used.clear());
    });
}

#[test]
fn links_of_pods_leave_nothing_behind() {
    let mut bench = Bench::serving();
    come_and_go(&mut bench, |bench, number| {
        let name = LinkName::new(&format!("veth{number}")).unwrap();
        bench.tell(Input::Link(name, Ok(link())));
        bench.tell(Input::Link(name, Err(Unusable::Missing)));
    });
}

#[test]
fn what_is_heard_on_links_that_are_gone_leaves_nothing_behind() {
    let mut bench = Bench::serving();
    come_and_go(&mut bench, |bench, number| {
        let name = LinkName::new(&format!("veth{number}")).unwrap();
        bench.tell(Input::Link(name, Ok(link())));
        bench.tell(Input::Stirred(name));
        bench.tell(Input::Link(name, Err(Unusable::Missing)));
        let (target, mac) = (eip(9), mac(9));
        bench.tell(Input::Heard(IsAt { link: name, target, mac, to: None, via: mac }));
        bench.tell(Input::Stirred(name));
    });
}
