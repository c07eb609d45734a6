//! Where EIPs go when their node goes, and how the LAN is told.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use bench::*;
use porter_core::{
    Family, Input, Instant, MacAddr, NodeName, ServiceName, Slice, SliceName, WhoHas, Write,
};

/// A node with a thousand EIPs dies.
mod many {
    use super::*;

    const MANY: u16 = 1_000;

    fn name(number: u16) -> ServiceName {
        ServiceName::new("default", &format!("web{number:04}"))
    }

    /// The EIP of a Service, in the order of their names.
    fn address(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        [10, 1, high, low].into()
    }

    /// A leader that answers for all of them with node3, and could do so with node4.
    fn serving() -> Bench {
        let mut bench = Bench::new();
        bench.watches = false;
        bench.api.put_eip(&"many".into(), Some(layer2("10.1.0.0-10.1.3.231")));
        for number in 0..MANY {
            let mut service = annotated(EIP, "many");
            service.metadata.annotations.insert(RECORD.to_owned(), "node3".to_owned());
            bench.api.put_service(&name(number), Some(service));
            let endpoints = ["node3", "node4"].map(ready).into();
            let slice = Slice { service: name(number), family: Family::V4, endpoints };
            let slice_name = SliceName::new("default", &format!("web{number:04}"));
            bench.api.put_slice(&slice_name, slice);
        }
        bench.watches = true;
        bench.lead();
        bench.run(Duration::from_secs(30));
        for number in 0..MANY {
            assert_eq!(answered(&bench, number), Some(mac(9)), "{}", address(number));
        }
        bench.written.clear();
        bench.announced.clear();
        bench
    }

    fn answered(bench: &Bench, number: u16) -> Option<MacAddr> {
        let asker = (eip(100), mac(100));
        let question = WhoHas { link: eth0(), target: address(number), asker, via: asker.1 };
        bench.answers.answer(&question, bench.now, bench.until).ok().map(|is_at| is_at.mac)
    }

    /// The node dies.
    fn die(bench: &mut Bench) {
        let mut node = bench.api.nodes[&NodeName::from("node3")].1.clone();
        node.ready = false;
        bench.api.put_node(&NodeName::from("node3"), Some(node));
        bench.pump();
    }

    fn is_lease(write: &Write) -> bool {
        matches!(write, Write::Lease(..))
    }

    fn n_under_way(bench: &Bench) -> usize {
        bench.writes.iter().filter(|(_, write)| !is_lease(write)).count()
    }

    /// Each EIP that was announced, and when.
    type Told = Vec<(Instant, IpAddr)>;

    /// Takes down what has been announced.
    fn listen(bench: &mut Bench, told: &mut Told) {
        told.extend(bench.announced.drain(..).map(|is_at| (bench.now, is_at.target)));
    }

    /// Nobody is told more than a thousand frames in any second: 500 announcements.
    fn assert_paced(told: &Told) {
        for (first, later) in told.iter().zip(told.iter().skip(500)) {
            assert!(later.0.since(first.0) >= Duration::from_secs(1), "{first:?} to {later:?}");
        }
    }

    #[test]
    fn they_move_side_by_side_within_a_bound_that_the_lease_is_not_held_to() {
        let mut bench = serving();
        bench.replies = false;
        die(&mut bench);
        assert_eq!(n_under_way(&bench), 64);
        bench.run(Duration::from_secs(2));
        let renewal = bench.writes.iter().position(|(_, write)| is_lease(write));
        bench.judge_any(renewal.expect("the Lease is renewed meanwhile"), Verdict::Done);
        assert_eq!(n_under_way(&bench), 64);

        let (mut told, mut committed) = (Told::new(), BTreeSet::new());
        while bench.speaker.leads(bench.now) && committed.len() < usize::from(MANY) {
            let (_, write) = bench.writes.front().expect("the next write is asked for");
            if let Write::Service(name, ..) = write {
                committed.insert(name.clone());
            }
            bench.judge(Verdict::Done);
            listen(&mut bench, &mut told);
            assert!(n_under_way(&bench) <= 64);
            if committed.len() == 1 {
                assert_eq!(told, [(bench.now, address(0))], "what is committed is told at once");
            }
            bench.run(Duration::from_millis(1));
            listen(&mut bench, &mut told);
        }
        assert_eq!(committed.len(), usize::from(MANY));
        bench.replies = true;
        bench.pump();
        for _ in 0..2_000 {
            bench.run(Duration::from_millis(10));
            listen(&mut bench, &mut told);
        }
        assert_paced(&told);
        let mut firsts = BTreeMap::new();
        for (at, eip) in &told {
            firsts.entry(*eip).or_insert(*at);
        }
        assert_eq!(firsts.len(), usize::from(MANY));
        let last = *firsts.values().max().unwrap();
        assert!(last.since(told[0].0) < Duration::from_millis(2_100), "the last one at {last}");
        for number in 0..MANY {
            assert_eq!(answered(&bench, number), Some(mac(10)), "{}", address(number));
            assert_eq!(bench.record(&name(number)), Some("node4"));
        }
    }

    #[test]
    fn what_was_asked_for_last_is_told_first_and_everything_once_before_anything_twice() {
        let mut bench = serving();
        bench.acknowledges = false;
        die(&mut bench);
        bench.run(Duration::from_millis(100));
        let asked_at = |millis| bench.now - Duration::from_millis(millis);
        let asked = vec![
            (address(700), asked_at(900)),
            (address(30), asked_at(200)),
            (address(999), asked_at(10)),
            (address(700), asked_at(40)),
            ([10, 9, 9, 9].into(), asked_at(1)),
        ];
        bench.tell(Input::Asked(eth0(), asked));
        assert_eq!(bench.announced, [], "not before every responder has come as far");
        bench.acknowledges = true;
        bench.pump();
        let mut told = Told::new();
        listen(&mut bench, &mut told);
        for _ in 0..300 {
            bench.run(Duration::from_millis(10));
            listen(&mut bench, &mut told);
        }
        assert_paced(&told);
        let order: Vec<_> = told.iter().map(|(_, eip)| *eip).collect();
        assert_eq!(order[..3], [address(999), address(700), address(30)]);
        let firsts: BTreeSet<_> = order[..usize::from(MANY)].iter().collect();
        assert_eq!(firsts.len(), usize::from(MANY), "something is repeated too early");
    }
}
