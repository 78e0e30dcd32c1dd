use std::time::Duration;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;

use super::lane::Displaced;
use super::pool::Place;
use super::*;

const A: Caller = Caller::Client(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
const B: Caller = Caller::Client(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

fn lanes(workers: usize, count: usize) -> (Arc<Pool>, Vec<Arc<Lane>>) {
    let workers = NonZeroUsize::new(workers).unwrap();
    let pool = Arc::new(Pool::new(workers, count));
    let lanes = (0..count)
        .map(|_| Arc::new(Lane::new(&pool, workers, count, Gauge::default())))
        .collect();
    (pool, lanes)
}

fn waiting(lane: &Lane) -> usize {
    lane.pool.lock().lanes[&lane.id].queue.len()
}

/// Takes every place that `lane` gives without waiting.
fn fill(lane: &Arc<Lane>) -> Vec<Place> {
    std::iter::from_fn(|| {
        let owner = lane.pool.lock().try_take(lane.id)?;
        let pool = Arc::clone(&lane.pool);
        Some(Place { pool, owner })
    })
    .collect()
}

#[test]
fn a_lane_that_takes_all_it_can_leaves_the_others_their_share() {
    for (workers, count, most, share) in [
        (20, 1, 20, 10),
        (20, 2, 15, 5),
        (20, 3, 14, 3),
        (1, 1, 1, 1),
        (2, 5, 1, 1),
    ] {
        let (_pool, lanes) = lanes(workers, count);
        let taken = fill(&lanes[0]);
        let others: Vec<_> = lanes[1..].iter().map(fill).collect();
        assert_eq!(taken.len(), most, "{workers} workers, {count} lanes");
        assert!(
            others.iter().all(|places| places.len() == share),
            "{workers} workers, {count} lanes"
        );
    }
}

#[test]
fn the_queue_is_bounded_and_lets_the_admitted_in() {
    let (_pool, lanes) = lanes(1, 1);
    let _taken = fill(&lanes[0]);
    let mut calls: Vec<_> = (0..10).map(|_| lanes[0].enter(A, false).unwrap()).collect();
    assert!(lanes[0].enter(A, false).is_none());
    assert!(lanes[0].enter(A, true).is_some());
    calls.pop();
    assert!(lanes[0].enter(A, false).is_some());
    drop(calls);
    assert_eq!((waiting(&lanes[0]), lanes[0].depth.get()), (0, 0));
}

#[tokio::test]
async fn a_waiting_call_takes_whichever_place_frees_first() {
    let (_pool, lanes) = lanes(4, 1);
    let mut taken = fill(&lanes[0]);
    let own = taken.remove(0);
    let pooled = taken.pop().unwrap();
    for place in [own, pooled] {
        let ticket = lanes[0].enter(A, false).unwrap();
        let (_, served) = tokio::join!(async { drop(place) }, ticket.served());
        taken.push(served.unwrap());
    }
    assert_eq!(taken.len(), 4);
}

#[tokio::test]
async fn a_caller_that_leaves_the_queue_gives_its_turn_to_the_next() {
    let (_pool, lanes) = lanes(1, 1);
    let taken = fill(&lanes[0]);
    let first = lanes[0].enter(A, false).unwrap();
    let second = lanes[0].enter(A, false).unwrap();
    let gone = tokio::time::timeout(Duration::from_millis(1), first.served()).await;
    assert!(gone.is_err());
    drop(taken);
    drop(second.served().await.unwrap());
    assert_eq!(waiting(&lanes[0]), 0);
}

#[test]
fn fewer_workers_take_effect_as_calls_end_and_more_at_once() {
    let workers = |count| NonZeroUsize::new(count).unwrap();
    let (pool, lanes) = lanes(20, 2);
    let mut taken = fill(&lanes[0]);
    assert_eq!(taken.len(), 15);
    pool.resize(workers(8), 2);
    lanes[0].resize(workers(8), 2);
    lanes[1].resize(workers(8), 2);
    // Of the 15, 6 may stay: 2 of its own and 4 of the pool.
    for left in (6..15).rev() {
        taken.pop();
        assert_eq!(taken.len(), left);
    }
    let more = fill(&lanes[0]);
    assert!(more.len() <= 3, "{}", more.len());
    drop(more);
    taken.clear();
    assert_eq!(fill(&lanes[0]).len(), 6);
    pool.resize(workers(20), 2);
    lanes[0].resize(workers(20), 2);
    assert_eq!(fill(&lanes[0]).len(), 15);
}

#[tokio::test]
async fn a_client_with_many_calls_makes_another_wait_for_one_of_them() {
    let (_pool, lanes) = lanes(2, 1);
    let mut taken = fill(&lanes[0]);
    let mut many: VecDeque<_> = (0..20).map(|_| lanes[0].enter(A, false).unwrap()).collect();
    assert!(lanes[0].enter(A, false).is_none(), "the queue is full");
    let other = lanes[0].enter(B, false).unwrap();
    let last = many.pop_back().unwrap().served().await;
    assert_eq!(last.unwrap_err(), Displaced);
    taken.pop();
    let first = many.pop_front().unwrap().served().await.unwrap();
    taken.pop();
    drop(other.served().await.unwrap());
    drop(first);
    assert_eq!(waiting(&lanes[0]), 16);
}

#[tokio::test]
async fn a_target_with_many_calls_makes_another_wait_for_one_of_them() {
    let (_pool, lanes) = lanes(4, 2);
    let mut pooled = fill(&lanes[0]);
    let _own = (pooled.remove(0), fill(&lanes[1]));
    let mut many: VecDeque<_> = (0..9).map(|_| lanes[0].enter(A, false).unwrap()).collect();
    let other = lanes[1].enter(A, false).unwrap();
    pooled.pop();
    let _first = many.pop_front().unwrap().served().await.unwrap();
    pooled.pop();
    let waited = tokio::time::timeout(Duration::from_secs(10), other.served()).await;
    assert!(waited.is_ok());
}

#[test]
fn a_lane_that_goes_leaves_nothing_behind() {
    let (pool, mut lanes) = lanes(4, 2);
    let places = fill(&lanes[0]);
    let waiting = lanes[0].enter(A, false).unwrap();
    lanes.remove(0);
    assert_eq!(pool.lock().lanes.len(), 2, "somebody waits in it");
    drop(waiting);
    assert_eq!(pool.lock().lanes.len(), 1);
    drop(places);
    assert_eq!(fill(&lanes[0]).len(), 3);
}
