//! What the core costs: one frame, one change, and everything at once.
//!
//! `cargo bench -p porter-core --bench core [-- NAME]`

#![expect(clippy::print_stdout, reason = "what is measured is to be read")]

#[expect(clippy::unwrap_used, reason = "it is made for tests, which may")]
#[path = "../../../core/tests/bench/mod.rs"]
mod bench;
mod scene;

use std::{alloc::System, cell::RefCell, sync::Arc};

use bench::Bench;
use divan::{AllocProfiler, Bencher};
use porter_core::{Input, Kind};
use scene::{LARGE, Scale, Scene};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: AllocProfiler<&StatsAlloc<System>> = AllocProfiler::new(&INSTRUMENTED_SYSTEM);

/// As the largest cluster, but with fewer Services: the difference is theirs.
const SMALL: Scale = Scale { services: 1_000, ..LARGE };

fn main() {
    memory_per_service();
    divan::main();
}

/// What a leader keeps of each Service, its slice, its answer and its address included.
fn memory_per_service() {
    let kept = |scale| {
        let region = Region::new(&INSTRUMENTED_SYSTEM);
        let mut scene = Scene::serving(scale);
        scene.bench.answers = Arc::default();
        let before = live(&region);
        drop(std::mem::replace(&mut scene.bench.speaker, Bench::new().speaker));
        before - live(&region)
    };
    let services = LARGE.services - SMALL.services;
    let each = (kept(LARGE) - kept(SMALL)) / isize::try_from(services).expect("there are few");
    println!("a leader keeps {each} bytes of each Service");
}

fn live(region: &Region<'_, System>) -> isize {
    let stats = region.change();
    stats.bytes_allocated.cast_signed() - stats.bytes_deallocated.cast_signed()
}

/// Measures what happens to one leader again and again, which `does` so many writes and snapshots.
fn repeat(
    bencher: Bencher<'_, '_>,
    scene: Scene,
    does: (usize, usize),
    next: impl Fn(&mut Scene, usize) -> Option<Input>,
) {
    let scene = RefCell::new((scene, 0));
    let next = || {
        let (scene, round) = &mut *scene.borrow_mut();
        scene.perform();
        *round += 1;
        next(scene, *round)
    };
    bencher.with_inputs(next).bench_local_values(|input| scene.borrow_mut().0.react(input));
    assert_eq!(scene.borrow_mut().0.perform(), does, "writes and snapshots");
}

/// A replica takes over, and everything is on record already.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn first_plan_of_what_is_on_record(bencher: Bencher<'_, '_>) {
    repeat(bencher, Scene::serving(LARGE), (0, 1), |scene, _| Some(scene.restarts()));
}

/// Every Service is given its first address: what each costs does not grow with their number.
#[divan::bench(args = [1_000, 10_000], sample_count = 5, sample_size = 1)]
fn first_plan_of_what_is_new(bencher: Bencher<'_, '_>, services: usize) {
    let waiting = || {
        let mut scene = Scene::waiting(Scale { services, ..LARGE });
        let addresses = scene.addresses_come();
        (scene, addresses)
    };
    bencher.with_inputs(waiting).bench_local_values(|(mut scene, addresses)| {
        scene.react(Some(addresses));
        scene
    });
}

/// From the news that the pod of a Service is elsewhere to the write that puts the move on record.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn pod_moves(bencher: Bencher<'_, '_>) {
    repeat(bencher, Scene::serving(LARGE), (1, 0), |scene, round| Some(scene.pod_moves(round)));
}

/// From the verdict on that write to the snapshot with the new MAC.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn move_is_published(bencher: Bencher<'_, '_>) {
    repeat(bencher, Scene::serving(LARGE), (1, 1), |scene, round| {
        let slice = scene.pod_moves(round);
        scene.react(Some(slice));
        scene.hold_verdict();
        Some(scene.verdict())
    });
}

/// A node with a thousand EIPs is found dead, and all are to move.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn node_dies(bencher: Bencher<'_, '_>) {
    let mut scene = Scene::serving(LARGE);
    (1..=5).for_each(|number| scene.crowd(number));
    repeat(bencher, scene, (64, 1), |scene, round| {
        scene.dies(round);
        None
    });
}

/// Everything of a kind is told again, and nothing is new.
#[divan::bench(args = [Kind::Service, Kind::Slice, Kind::Node, Kind::Eip], sample_count = 5, sample_size = 1)]
fn list_without_news(bencher: Bencher<'_, '_>, kind: Kind) {
    repeat(bencher, Scene::serving(LARGE), (0, 0), |scene, _| Some(scene.list(kind)));
}
