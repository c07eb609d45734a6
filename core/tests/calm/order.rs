//! The same end, whatever the order in which things are made.
//!
//! Overlapping Eips conflict, and so do two who ask for one address and may not share it: there the
//! first who came keeps what it got, so these are left out.
//!
//! Each object has its creation time and its UID from the start; only when the replica hears of it
//! is left to chance: alone or with others, at once or after everything else has calmed down.
//!
//! With requests that name an address the end is the same to the letter: who holds what, who shares,
//! who waits and why. Of Services that name none, those who came first hold what they were given
//! first, and that is kept: which of them has which address, and which of them waits if there are too
//! few, depends on the order. How many addresses are in use does not.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use porter_core::{
    EipName, Family, Metadata, Port, Service, ServiceName, Timestamp, TrafficPolicy, Uid,
};
use proptest::prelude::*;

use crate::{
    bench::{asking, layer2},
    world::World,
};

/// How a Service comes to an address.
#[derive(Clone, Debug)]
struct Wish {
    address: Option<u8>,
    six: bool,
    port: u16,
    local: bool,
    app: bool,
}

/// When something is made: the smaller the sooner; and whether all is calm before the next.
type When = (u32, bool);

fn wish(named: impl Strategy<Value = Option<u8>>) -> impl Strategy<Value = Wish> {
    (named, any::<bool>(), 1..4u16, any::<bool>(), any::<bool>())
        .prop_map(|(address, six, port, local, app)| Wish { address, six, port, local, app })
}

fn metadata(i: usize) -> Metadata {
    Metadata {
        uid: Some(Uid::from(format!("uid-{i}").as_str())),
        created: Timestamp(i64::try_from(i / 2).unwrap()),
        ..asking().metadata
    }
}

fn service(i: usize, wish: &Wish) -> Service {
    let address = wish.address.map(|last| match wish.six {
        true => format!("fd00::{last:x}"),
        false => format!("172.22.0.{last}"),
    });
    let selector = wish.app.then(|| ("app".to_owned(), "x".to_owned()));
    Service {
        metadata: metadata(i),
        requested_ip: address,
        families: vec![if wish.six { Family::V6 } else { Family::V4 }],
        ports: [Port { protocol: "TCP".to_owned(), number: wish.port }].into(),
        policy: if wish.local { TrafficPolicy::Local } else { TrafficPolicy::Cluster },
        selector: selector.into_iter().collect(),
        ..asking()
    }
}

fn name(i: usize) -> ServiceName {
    ServiceName::new("default", &format!("s{i}"))
}

/// Pools that do not overlap, and one that nobody can use.
const EIPS: [(&str, &str); 4] = [
    ("four", "172.22.0.188/30"),
    ("more", "172.22.0.192-172.22.0.193"),
    ("six", "fd00::b8-fd00::ba"),
    ("none", "nonsense"),
];

/// What the end is like.
#[derive(Debug, Eq, PartialEq)]
struct End {
    used: BTreeMap<IpAddr, Vec<ServiceName>>,
    waiting: BTreeMap<ServiceName, String>,
    ready: BTreeMap<EipName, String>,
}

fn end(wishes: &[Wish], order: &[When]) -> End {
    let mut world = World::fresh();
    world.bench.run(Duration::from_secs(8));
    let mut things: Vec<usize> = (0..EIPS.len() + wishes.len()).collect();
    things.sort_by_key(|&i| order[i].0);
    world.bench.watches = false;
    for i in things {
        match i.checked_sub(EIPS.len()) {
            None => {
                let (name, range) = EIPS[i];
                let eip = porter_core::Eip { metadata: metadata(i), ..layer2(range) };
                world.bench.eip(&EipName::from(name), Some(eip));
            }
            Some(i) => {
                let metadata = metadata(i + EIPS.len());
                let service = Service { metadata, ..service(i, &wishes[i]) };
                world.bench.service(&name(i), Some(service));
                let family = if wishes[i].six { Family::V6 } else { Family::V4 };
                world.endpoints(&name(i), family, &[0, 1]);
            }
        }
        if order[i].1 {
            world.bench.watches = true;
            world.bench.run(Duration::from_secs(10));
            world.bench.watches = false;
        }
    }
    world.bench.watches = true;
    world.bench.run(Duration::from_secs(60));
    world.check_owed();
    world.check_told();
    let waits = |service: &Service| {
        let said = service.announced.as_ref().filter(|_| service.shown().next().is_none());
        said.map(|said| format!("{}: {}", said.reason, said.message))
    };
    let waiting = world.services().filter_map(|(name, it)| Some((name.clone(), waits(it)?)));
    let ready = |eip: &porter_core::Eip| eip.status.ready.as_ref().unwrap().reason.clone();
    End {
        used: world.bench.used(),
        waiting: waiting.collect(),
        ready: world.eips().map(|(name, eip)| (name.clone(), ready(eip))).collect(),
    }
}

fn order() -> impl Strategy<Value = Vec<When>> {
    prop::collection::vec((any::<u32>(), any::<bool>()), 16)
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn those_who_name_free_addresses_get_them_in_any_order(
        all in prop::collection::btree_map((184..196u8, any::<bool>()), wish(Just(None)), 0..8),
        orders in (order(), order()),
    ) {
        let named = |((last, six), wish): ((u8, bool), Wish)| Wish { address: Some(last), six, ..wish };
        let wishes: Vec<_> = all.into_iter().map(named).collect();
        prop_assert_eq!(end(&wishes, &orders.0), end(&wishes, &orders.1));
    }

    #[test]
    fn those_who_may_share_do_in_any_order(
        lasts in prop::collection::vec(188..190u8, 1..6),
        orders in (order(), order()),
    ) {
        let wish = |(port, last): (u16, u8)| {
            Wish { address: Some(last), six: false, port, local: false, app: false }
        };
        let wishes: Vec<_> = (1..).zip(lasts).map(wish).collect();
        prop_assert_eq!(end(&wishes, &orders.0), end(&wishes, &orders.1));
    }

    #[test]
    fn as_many_addresses_are_in_use_in_any_order_when_nobody_names_one(
        wishes in prop::collection::vec(wish(Just(None)), 0..10),
        orders in (order(), order()),
    ) {
        let (one, other) = (end(&wishes, &orders.0), end(&wishes, &orders.1));
        let n_used = |end: &End, family| end.used.keys().filter(|at| Family::of(**at) == family).count();
        for family in [Family::V4, Family::V6] {
            prop_assert_eq!(n_used(&one, family), n_used(&other, family), "{:?} {:?}", one, other);
        }
        prop_assert_eq!(one.waiting.len(), other.waiting.len());
    }
}
