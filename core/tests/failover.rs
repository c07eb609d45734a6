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
    Eip, Family, Input, Instant, Link, LinkName, MacAddr, NodeName, ServiceName, Slice, SliceName,
    WhoHas, Write,
};

fn is_lease(write: &Write) -> bool {
    matches!(write, Write::Lease(..))
}

fn n_under_way(bench: &Bench) -> usize {
    bench.writes.iter().filter(|(_, write)| !is_lease(write)).count()
}

/// A node with a thousand EIPs dies.
mod many {
    use super::*;

    pub(super) const MANY: u16 = 1_000;

    pub(super) fn name(number: u16) -> ServiceName {
        ServiceName::new("default", &format!("web{number:04}"))
    }

    /// The EIP of a Service, in the order of their names.
    pub(super) fn address(number: u16) -> IpAddr {
        let [high, low] = number.to_be_bytes();
        [10, 1, high, low].into()
    }

    /// A leader that answers for all of them with node3, and could do so with node4.
    pub(super) fn serving() -> Bench {
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

    pub(super) fn answered(bench: &Bench, number: u16) -> Option<MacAddr> {
        let asker = (eip(100), mac(100));
        let question = WhoHas { link: eth0(), target: address(number), asker, via: asker.1 };
        bench.answers.answer(&question, bench.now, bench.until).ok().map(|is_at| is_at.mac)
    }

    /// The node dies.
    pub(super) fn die(bench: &mut Bench) {
        let mut node = bench.api.nodes[&NodeName::from("node3")].1.clone();
        node.ready = false;
        bench.api.put_node(&NodeName::from("node3"), Some(node));
        bench.pump();
    }

    /// Each EIP that was announced, and when.
    pub(super) type Told = Vec<(Instant, IpAddr)>;

    /// Takes down what has been announced.
    pub(super) fn listen(bench: &mut Bench, told: &mut Told) {
        told.extend(bench.announced.drain(..).map(|is_at| (bench.now, is_at.target)));
    }

    /// Nobody is told more than two thousand frames in any second, a thousand announcements, and those
    /// of 20 ms that were caught up with.
    pub(super) fn assert_paced(told: &Told) {
        for (first, later) in told.iter().zip(told.iter().skip(1_020)) {
            assert!(later.0.since(first.0) >= Duration::from_secs(1), "{first:?} to {later:?}");
        }
    }

    #[test]
    fn they_move_before_services_that_came_earlier_are_given_addresses() {
        let mut bench = serving();
        bench.replies = false;
        bench.eip(&"more".into(), Some(layer2("10.2.0.0/16")));
        for number in MANY..MANY + 200 {
            bench.api.put_service(&name(number), Some(annotated(EIP, "more")));
        }
        bench.pump();
        assert_eq!(n_under_way(&bench), 64);
        bench.written.clear();

        die(&mut bench);
        for _ in 0..64 {
            bench.judge(Verdict::Done);
        }

        let moves = bench
            .written
            .iter()
            .filter(|write| matches!(write, Write::Service(moved, ..) if *moved < name(MANY)));
        assert_eq!((moves.count(), bench.written.len()), (64, 64));
    }

    #[test]
    fn they_move_side_by_side_within_a_bound_that_the_lease_is_not_held_to() {
        let mut bench = serving();
        bench.replies = false;
        die(&mut bench);
        assert_eq!(n_under_way(&bench), 64);
        let answered_on = (0..MANY).find(|number| answered(&bench, *number).is_some());
        assert_eq!(answered_on, None, "what is dead is not answered, whatever there is room for");
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
        assert!(last.since(told[0].0) < Duration::from_millis(1_100), "the last one at {last}");
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

/// Pods leave a node, and the EIP goes before the last of them is gone.
mod graceful {
    use porter_core::{Endpoint, TrafficPolicy};

    use super::*;

    const POLICIES: [TrafficPolicy; 2] = [TrafficPolicy::Cluster, TrafficPolicy::Local];

    /// A leader that answers for [`web`] with node3, whose verdicts are held back.
    fn serving(policy: TrafficPolicy) -> Bench {
        let mut bench = Bench::leading();
        bench.slice("web", &web(), Family::V4, vec![ready("node3")]);
        bench.service(&web(), Some(porter_core::Service { policy, ..asking() }));
        assert_eq!((bench.ask(188), bench.said(&web())), (Some(mac(9)), (true, "Announced")));
        bench.replies = false;
        bench.announced.clear();
        bench
    }

    fn endpoints(bench: &mut Bench, endpoints: Vec<Endpoint>) {
        bench.slice("web", &web(), Family::V4, endpoints);
    }

    #[test]
    fn the_old_node_is_answered_until_the_new_one_is_on_record_and_then_at_once_the_new_one() {
        for policy in POLICIES {
            let mut bench = serving(policy);
            endpoints(&mut bench, vec![draining("node3"), ready("node4")]);
            assert_eq!(bench.ask(188), Some(mac(9)), "{policy:?}: its endpoint still serves");
            bench.run(Duration::from_millis(900));
            assert_eq!((bench.ask(188), bench.record(&web())), (Some(mac(9)), Some("node3")));
            bench.announced.clear();

            bench.judge(Verdict::Done);
            assert_eq!((bench.ask(188), bench.record(&web())), (Some(mac(10)), Some("node4")));
            assert_eq!(bench.announced.first().map(|is_at| is_at.mac), Some(mac(10)));
            bench.replies = true;
            bench.calm();
            endpoints(&mut bench, vec![ready("node4")]);
            assert_eq!(bench.ask(188), Some(mac(10)));
            assert!(bench.message(&web()).contains("is at node4 (02:00:00:00:00:0a)"));
        }
    }

    #[test]
    fn a_snapshot_never_lacks_the_answer_while_it_moves() {
        for policy in POLICIES {
            let mut bench = serving(policy);
            bench.acknowledges = false;
            endpoints(&mut bench, vec![draining("node3"), ready("node4")]);
            while bench.record(&web()) == Some("node3") {
                assert_eq!(bench.ask(188), Some(mac(9)));
                bench.judge(Verdict::Done);
            }
            assert_eq!(bench.ask(188), Some(mac(10)));
            assert_eq!(bench.announced, [], "not before every responder says the same");
            bench.acknowledges = true;
            bench.pump();
            assert_eq!(bench.announced.first().map(|is_at| is_at.mac), Some(mac(10)));
        }
    }

    #[test]
    fn a_node_without_any_endpoint_is_answered_meanwhile_only_if_it_passes_on_what_arrives() {
        for (policy, answer) in
            [(TrafficPolicy::Cluster, Some(mac(9))), (TrafficPolicy::Local, None)]
        {
            let mut bench = serving(policy);
            endpoints(&mut bench, vec![ready("node4")]);
            assert_eq!(bench.ask(188), answer, "{policy:?}");
            bench.judge(Verdict::Done);
            assert_eq!(bench.ask(188), Some(mac(10)));
        }
    }

    #[test]
    fn an_endpoint_that_does_not_serve_any_more_keeps_no_answer() {
        let mut bench = serving(TrafficPolicy::Local);
        let ended = Endpoint { serving: false, ..draining("node3") };
        endpoints(&mut bench, vec![ended, ready("node4")]);
        assert_eq!(bench.ask(188), None);
    }

    #[test]
    fn a_node_that_is_not_usable_any_more_is_not_answered_meanwhile() {
        for policy in POLICIES {
            let mut bench = serving(policy);
            endpoints(&mut bench, vec![ready("node3"), ready("node4")]);
            let mut node = bench.api.nodes[&NodeName::from("node3")].1.clone();
            node.ready = false;
            bench.node("node3", Some(node));
            assert_eq!(bench.ask(188), None, "{policy:?}");
            bench.judge(Verdict::Done);
            assert_eq!(bench.ask(188), Some(mac(10)));
        }
    }

    #[test]
    fn when_all_endpoints_drain_nothing_moves() {
        for policy in POLICIES {
            let mut bench = serving(policy);
            endpoints(&mut bench, vec![draining("node3"), draining("node4")]);
            bench.run(Duration::from_millis(900));
            assert_eq!((bench.ask(188), n_under_way(&bench)), (Some(mac(9)), 0), "{policy:?}");
        }
    }

    #[test]
    fn a_new_node_that_goes_before_it_is_on_record_leaves_the_old_one_answered() {
        for policy in POLICIES {
            let mut bench = serving(policy);
            endpoints(&mut bench, vec![draining("node3"), ready("node4")]);
            endpoints(&mut bench, vec![draining("node3"), ready("node1")]);
            assert_eq!(bench.ask(188), Some(mac(9)), "{policy:?}");
            bench.judge(Verdict::Failed(porter_core::WriteError::Conflict));
            assert_eq!(bench.ask(188), Some(mac(9)), "{policy:?}");
            bench.replies = true;
            bench.calm();
            assert_eq!(bench.ask(188), Some(mac(3)), "{policy:?}");
        }
    }

    #[test]
    fn the_old_node_is_answered_while_it_is_not_known_who_could_take_over() {
        for policy in POLICIES {
            let mut bench = serving(policy);
            bench.replies = true;
            bench.mute.insert(eip(11));
            endpoints(&mut bench, vec![ready("node3"), ready("node5")]);
            bench.api.put_node(&"node5".into(), Some(node(11)));
            bench.pump();
            endpoints_at_once(&mut bench, vec![draining("node3"), ready("node4"), ready("node5")]);
            assert_eq!((bench.ask(188), bench.record(&web())), (Some(mac(9)), Some("node3")));
            assert_eq!(bench.said(&web()), (true, "Announced"));
            bench.run(Duration::from_secs(2));
            assert_eq!((bench.ask(188), bench.record(&web())), (Some(mac(10)), Some("node4")));
        }
    }

    /// Sets the endpoints and lets no time pass.
    fn endpoints_at_once(bench: &mut Bench, endpoints: Vec<Endpoint>) {
        let slice = Slice { service: web(), family: Family::V4, endpoints };
        bench.api.put_slice(&SliceName::new("default", "web"), slice);
        bench.pump();
    }

    #[test]
    fn a_leader_that_takes_over_in_the_middle_goes_on_with_the_old_node_until_the_move() {
        for policy in POLICIES {
            let mut bench = serving(policy);
            bench.usurp();
            endpoints(&mut bench, vec![draining("node3"), ready("node4")]);
            let mut answers = Vec::new();
            while n_under_way(&bench) == 0 {
                bench.run(Duration::from_millis(1));
                bench.answer_read();
                let lease = bench.writes.iter().position(|(_, write)| is_lease(write));
                if let Some(lease) = lease {
                    bench.judge_any(lease, Verdict::Done);
                }
            }
            for _ in 0..20 {
                answers.extend(bench.ask(188));
                bench.run(Duration::from_millis(1));
            }
            bench.replies = true;
            bench.pump();
            assert_eq!(answers, [mac(9); 20], "{policy:?}");
            assert_eq!(bench.ask(188), Some(mac(10)));
        }
    }
}

/// One leader goes, and the next one comes.
mod handover {
    use super::{
        many::{MANY, Told, address, answered, assert_paced, die, listen, serving},
        *,
    };

    #[test]
    fn a_leader_that_leaves_in_the_middle_of_its_announcements_ends_them_before_it_lets_go() {
        let mut bench = serving();
        die(&mut bench);
        bench.run(Duration::from_millis(500));
        assert!((500..600).contains(&bench.announced.len()), "{}", bench.announced.len());
        bench.announced.clear();
        bench.acknowledges = false;
        bench.tell(Input::Leave);
        bench.run(Duration::from_millis(100));
        let holder = |bench: &Bench| bench.api.lease.as_ref().unwrap().1.holder.clone();
        assert!(holder(&bench).is_some(), "a responder may still be answering");
        assert!((0..MANY).all(|number| answered(&bench, number).is_none()));
        bench.acknowledges = true;
        bench.pump();
        assert_eq!((holder(&bench), bench.left), (None, true));
        bench.run(Duration::from_secs(10));
        assert_eq!(bench.announced, []);
    }

    #[test]
    fn a_new_leader_announces_everything_that_it_answers_for_and_first_what_was_asked_for() {
        let mut bench = serving();
        bench.restart();
        bench.acknowledges = false;
        bench.tell(Input::Link(eth0(), Ok(link())));
        bench.list();
        while !bench.answers.iter().any(|(_, _, answer)| answer.is_ok()) {
            bench.run(Duration::from_millis(10));
        }
        let asked = vec![(address(500), bench.now - Duration::from_secs(2))];
        bench.tell(Input::Asked(eth0(), asked));
        bench.acknowledges = true;
        bench.pump();
        let mut told = Told::new();
        listen(&mut bench, &mut told);
        for _ in 0..250 {
            bench.run(Duration::from_millis(10));
            listen(&mut bench, &mut told);
        }
        assert_paced(&told);
        assert_eq!(told[0].1, address(500));
        let firsts: BTreeSet<_> = told[..usize::from(MANY)].iter().map(|(_, eip)| eip).collect();
        assert_eq!(firsts.len(), usize::from(MANY));
        let last = told[usize::from(MANY) - 1].0;
        assert!(last.since(told[0].0) < Duration::from_millis(2_100), "the last one at {last}");
        let n_writes = bench.written.len();
        assert_eq!(n_writes, 0, "everything is in place");
    }
}

#[test]
fn a_link_that_comes_up_again_is_told_of_its_eips() {
    let mut bench = Bench::serving();
    let eth1 = LinkName::new("eth1").unwrap();
    bench.tell(Input::Link(eth1, Ok(link())));
    // With this link the replica is not cut off, and leads on.
    let other = Eip { interface: Some("eth1".to_owned()), ..layer2("172.22.0.201") };
    bench.eip(&"other".into(), Some(other));
    bench.run(Duration::from_secs(20));
    bench.tell(Input::Link(eth0(), Ok(Link { carrier: false, ..link() })));
    bench.run(Duration::from_secs(1));
    bench.announced.clear();
    bench.tell(Input::Link(eth0(), Ok(link())));
    bench.run(Duration::from_secs(1));
    assert!(bench.speaker.leads(bench.now));
    let told = bench.announced.iter().filter(|is_at| is_at.target == eip(188)).count();
    assert_eq!(told, 2, "{:?}", bench.announced);
}
