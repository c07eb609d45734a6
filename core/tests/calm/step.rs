//! What can happen, and how likely.

use porter_core::{Family, Kind, TrafficPolicy, WriteError};
use proptest::prelude::*;

use crate::{bench::Verdict, world::KINDS};

/// What an Eip may have as its range: overlapping, malformed, off the link, of nodes' addresses, of
/// either family.
pub(crate) const RANGES: [&str; 9] = [
    "172.22.0.188/31",
    "172.22.0.189-172.22.0.191",
    "172.22.0.200",
    "172.22.0.9-172.22.0.11",
    "10.9.9.9",
    "nonsense",
    "fd00::188-fd00::189",
    "fd00::189-fd00::18a",
    "fd00::200",
];

/// What a Service may ask for by address.
pub(crate) const ADDRESSES: [&str; 9] = [
    "172.22.0.188",
    "172.22.0.189",
    "172.22.0.190",
    "172.22.0.9",
    "172.22.0.77",
    "fd00::188",
    "FD00:0::189",
    "fd00::77",
    "172.22.0.300",
];

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A Service is made, or edited if it is there.
    Service(usize, Edit),
    Eip(usize, Change),
    Endpoints(usize, Family, Vec<usize>),
    Node(usize, NodeIs),
    Label(usize, bool),
    Link(bool),
    Hear(usize),
    List(Kind),
    Lost(Kind),
    Judge(usize, Verdict),
    Read(bool),
    Acknowledge,
    Usurp,
    Restart,
    Land,
    /// All is well for a while.
    Rest,
    Wait(u64),
}

/// What is done to a Service.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Delete,
    Retype(bool),
    Class(Option<&'static str>),
    Policy(TrafficPolicy),
    Name(Option<usize>),
    Ask(Option<usize>),
    AskByAnnotation(Option<usize>),
    Spell(&'static str),
    Respell,
    Protocol(Option<&'static str>),
    Families(Vec<Family>, bool),
    Ports(u16),
    Select(&'static str),
    ByHand(ByHand),
}

/// What is done to what is ours to write, or another controller's.
#[derive(Clone, Debug)]
pub(crate) enum ByHand {
    Record(Option<usize>),
    Relabel(Option<usize>),
    Unhold,
    Hold,
    Show(Option<usize>),
    ShowAnother(bool),
    Say(bool),
}

/// What is done to an Eip.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Delete,
    Range(usize),
    Disable(bool),
    Link(&'static str),
    Protocol(&'static str),
    Default(bool),
    Priority(i64),
    Bind(Option<&'static str>),
    Select(bool),
    Unhold,
    Unsay,
    Forget,
}

/// What becomes of a node.
#[derive(Clone, Debug)]
pub(crate) enum NodeIs {
    Gone,
    There { ready: bool, cordoned: bool, excluded: bool },
    OfOneFamily(Family),
}

fn policy() -> impl Strategy<Value = TrafficPolicy> {
    prop_oneof![Just(TrafficPolicy::Local), Just(TrafficPolicy::Cluster)]
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn edit() -> impl Strategy<Value = Edit> {
    let families = prop_oneof![
        3 => Just(vec![Family::V4]),
        1 => Just(vec![Family::V6]),
        2 => Just(vec![Family::V4, Family::V6]),
        1 => Just(vec![Family::V6, Family::V4]),
    ];
    prop_oneof![
        6 => Just(Edit::Delete),
        3 => any::<bool>().prop_map(Edit::Retype),
        2 => prop::option::of(prop_oneof![
            2 => Just("porter.kubesphere.io/layer2"),
            1 => Just("example.com/other"),
        ]).prop_map(Edit::Class),
        3 => policy().prop_map(Edit::Policy),
        4 => prop::option::of(0..4usize).prop_map(Edit::Name),
        8 => prop::option::of(0..ADDRESSES.len()).prop_map(Edit::Ask),
        24 => Just(Edit::Ask(Some(0))),
        2 => Just(Edit::Ask(Some(5))),
        3 => prop::option::of(0..ADDRESSES.len()).prop_map(Edit::AskByAnnotation),
        3 => prop_oneof![Just("porter"), Just("openelb"), Just("other")].prop_map(Edit::Spell),
        2 => Just(Edit::Respell),
        2 => prop::option::of(prop_oneof![2 => Just("layer2"), 1 => Just("bgp")])
            .prop_map(Edit::Protocol),
        6 => (families, any::<bool>()).prop_map(|(f, both)| {
            let both = both && f.len() == 2;
            Edit::Families(f, both)
        }),
        12 => (1..4u16).prop_map(Edit::Ports),
        3 => prop_oneof![Just("x"), Just("y"), Just("")].prop_map(Edit::Select),
        18 => by_hand().prop_map(Edit::ByHand),
    ]
}

fn by_hand() -> impl Strategy<Value = ByHand> {
    prop_oneof![
        4 => prop::option::of(0..4usize).prop_map(ByHand::Record),
        3 => prop::option::of(0..4usize).prop_map(ByHand::Relabel),
        2 => Just(ByHand::Unhold),
        2 => Just(ByHand::Hold),
        3 => prop::option::of(0..ADDRESSES.len() - 1).prop_map(ByHand::Show),
        2 => any::<bool>().prop_map(ByHand::ShowAnother),
        2 => any::<bool>().prop_map(ByHand::Say),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Delete),
        9 => (0..RANGES.len()).prop_map(Change::Range),
        2 => any::<bool>().prop_map(Change::Disable),
        2 => prop_oneof![2 => Just("eth0"), 1 => Just("eth1"), 1 => Just("a/b"), 1 => Just("")]
            .prop_map(Change::Link),
        2 => prop_oneof![Just("layer2"), Just("bgp")].prop_map(Change::Protocol),
        1 => any::<bool>().prop_map(Change::Default),
        1 => (-1..2i64).prop_map(Change::Priority),
        2 => prop::option::of(prop_oneof![Just("default"), Just("other")]).prop_map(Change::Bind),
        2 => any::<bool>().prop_map(Change::Select),
        1 => Just(Change::Unhold),
        1 => Just(Change::Unsay),
        1 => Just(Change::Forget),
    ]
}

fn node() -> impl Strategy<Value = NodeIs> {
    let often = || prop::bool::weighted(0.8);
    let seldom = || prop::bool::weighted(0.3);
    prop_oneof![
        1 => Just(NodeIs::Gone),
        4 => (often(), seldom(), seldom())
            .prop_map(|(ready, cordoned, excluded)| NodeIs::There { ready, cordoned, excluded }),
        1 => family().prop_map(NodeIs::OfOneFamily),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        12 => Just(Verdict::Done),
        1 => Just(Verdict::DoneUnheard),
        1 => Just(Verdict::DoneLate),
        1 => Just(Verdict::Failed(WriteError::Unknown)),
        1 => Just(Verdict::Failed(WriteError::Conflict)),
        1 => Just(Verdict::Failed(WriteError::Rejected("no".to_owned()))),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(KINDS.into_iter().chain([Kind::Lease]).collect::<Vec<_>>())
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..4usize, edit()).prop_map(|(i, edit)| Step::Service(i, edit)),
        5 => (0..3usize, change()).prop_map(|(i, change)| Step::Eip(i, change)),
        6 => (0..4usize, family(), prop::collection::vec(0..4usize, 0..3))
            .prop_map(|(i, family, nodes)| Step::Endpoints(i, family, nodes)),
        3 => (0..3usize, node()).prop_map(|(i, node)| Step::Node(i, node)),
        1 => (0..2usize, any::<bool>()).prop_map(|(i, labelled)| Step::Label(i, labelled)),
        1 => prop::bool::weighted(0.7).prop_map(Step::Link),
        16 => (1..8usize).prop_map(Step::Hear),
        2 => kind().prop_map(Step::List),
        1 => kind().prop_map(Step::Lost),
        30 => (0..4usize, verdict()).prop_map(|(i, verdict)| Step::Judge(i, verdict)),
        6 => prop::bool::weighted(0.8).prop_map(Step::Read),
        12 => Just(Step::Acknowledge),
        1 => Just(Step::Usurp),
        1 => Just(Step::Restart),
        1 => Just(Step::Land),
        12 => Just(Step::Rest),
        10 => prop_oneof![0..400u64, 0..4_000u64, 0..20_000u64].prop_map(Step::Wait),
    ]
}
