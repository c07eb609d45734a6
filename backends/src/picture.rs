//! What a replica sees of the cluster and of the LAN, for people who look at its page.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use porter_core::{Instant, LeaseRecord, Move, Sight, Speaker, Station};
use serde::Serialize;

use crate::view::Record;

/// How many addresses are shown at most, so that the loop that is asked is not held up.
const ADDRESSES_MAX: usize = 1_000;

/// How many nodes are shown at most.
const NODES_MAX: usize = 1_000;

/// For how long a picture does for who asks next: however many ask, the loop makes no more.
const LASTS: Duration = Duration::from_millis(500);

/// How many moves are remembered.
const MOVES_KEPT: usize = 50;

/// What a replica sees.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// Whether this replica leads, and speaks.
    pub leads: bool,
    /// The Lease, as last seen.
    #[serde(skip)]
    pub lease: Option<LeaseRecord>,
    #[serde(flatten)]
    record: Record,
    /// The nodes, by name.
    nodes: Vec<Node>,
    /// How many more nodes there are.
    more_nodes: usize,
    /// The last moves that this replica made, the newest first.
    moves: Vec<Moved>,
}

/// A node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    name: String,
    /// What the API server says against it: a clause that follows its name.
    bar: Option<&'static str>,
    cordoned: bool,
    /// With how many of the addresses that are shown it is answered.
    announced: usize,
    sights: Vec<Seen>,
}

/// What is seen of a node on a link.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    interface: String,
    address: IpAddr,
    mac: Option<String>,
    /// What speaks against it: a clause that follows its name.
    obstacle: Option<&'static str>,
    held_down: bool,
}

/// A move, and when it was on record.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Moved {
    /// RFC 3339.
    at: String,
    service: String,
    from: String,
    to: String,
    cause: &'static str,
    took_seconds: f64,
}

/// Who makes pictures.
#[derive(Debug, Default)]
pub(crate) struct Camera {
    /// The last moves, the newest first.
    moves: VecDeque<Moved>,
    /// The last picture, and when it was made.
    last: Option<(Instant, Arc<Picture>)>,
}

impl Camera {
    /// Remembers a move that is on record now.
    pub(crate) fn handle_moved(&mut self, moved: &Move) {
        let Move { service, from, to, cause, took } = moved;
        self.moves.truncate(MOVES_KEPT - 1);
        self.moves.push_front(Moved {
            at: Timestamp::now().to_string(),
            service: service.to_string(),
            from: from.to_string(),
            to: to.to_string(),
            cause: cause.as_str(),
            took_seconds: took.as_secs_f64(),
        });
    }

    /// What is to be seen now, or was a moment ago.
    pub(crate) fn look(&mut self, speaker: &Speaker, now: Instant) -> Arc<Picture> {
        if let Some((made_at, picture)) = &self.last
            && now.since(*made_at) < LASTS
        {
            return Arc::clone(picture);
        }
        let picture = Arc::new(Picture::of(speaker, &self.moves, now));
        self.last = Some((now, Arc::clone(&picture)));
        picture
    }
}

impl Picture {
    fn of(speaker: &Speaker, moves: &VecDeque<Moved>, now: Instant) -> Self {
        let record = Record::of(&speaker.observe(), ADDRESSES_MAX);
        let mut announced = BTreeMap::<_, usize>::new();
        for node in record.nodes() {
            *announced.entry(node).or_default() += 1;
        }
        let mut stations = speaker.stations(now);
        let nodes = stations.by_ref().take(NODES_MAX).map(|station| {
            let count = announced.get(station.node.as_str()).copied().unwrap_or_default();
            Node::of(station, count)
        });
        let nodes = nodes.collect();
        Self {
            leads: speaker.leads(now),
            lease: speaker.lease().cloned(),
            nodes,
            more_nodes: stations.count(),
            moves: moves.iter().cloned().collect(),
            record,
        }
    }
}

impl Node {
    fn of(station: Station, announced: usize) -> Self {
        let Station { node, bar, cordoned, sights } = station;
        let sights = sights.into_iter().map(|sight| {
            let Sight { link, address, mac, obstacle, held_down } = sight;
            let (interface, mac) = (link.to_string(), mac.map(|mac| mac.to_string()));
            Seen { interface, address, mac, obstacle, held_down }
        });
        Self { name: node.to_string(), bar, cordoned, announced, sights: sights.collect() }
    }
}

#[cfg(test)]
mod tests {
    use porter_core::{MoveCause, NodeName, ServiceName};

    use super::*;
    use crate::drive::tests::speaker;

    #[test]
    fn the_newest_moves_are_remembered_and_no_more_than_there_is_room_for() {
        let mut camera = Camera::default();
        for number in 0..200 {
            camera.handle_moved(&Move {
                service: ServiceName::new("default", &format!("web-{number}")),
                from: NodeName::from("node1"),
                to: NodeName::from("node3"),
                cause: MoveCause::NodeSilent,
                took: Duration::from_millis(650),
            });
        }
        let picture = camera.look(&speaker(), Instant::ZERO);
        let names: Vec<_> = picture.moves.iter().map(|moved| moved.service.as_str()).collect();
        assert_eq!(names.len(), MOVES_KEPT);
        assert_eq!((names[0], names[49]), ("default/web-199", "default/web-150"));
    }

    #[test]
    fn who_asks_again_at_once_is_shown_the_same() {
        let (mut camera, speaker) = (Camera::default(), speaker());
        let mut look = |millis| camera.look(&speaker, Instant::from_millis(millis));
        let first = look(1_000);
        assert!(Arc::ptr_eq(&first, &look(1_499)));
        assert!(!Arc::ptr_eq(&first, &look(1_500)));
    }
}
