//! Nobody waits for ever, and nobody gets what is not there.

use std::time::Duration;

use futures::FutureExt as _;
use proptest::prelude::*;

use super::state::STANDSTILL;
use super::*;

const HANG: Duration = Duration::from_secs(20);

fn budget(bytes: u64) -> Arc<Budget> {
    Budget::new(ByteSize(bytes))
}

/// What comes of something that must not hang.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, work)
        .await
        .expect("nobody waits for ever")
}

async fn holder(budget: &Arc<Budget>, bytes: u64) -> Reservation {
    budget.reserve(ByteSize(bytes), None).await.unwrap()
}

#[tokio::test]
async fn bytes_come_back_when_a_reservation_is_dropped_or_shrunk() {
    let budget = budget(80);
    let one = holder(&budget, 10).await;
    one.grow(ByteSize(50), None).await.unwrap();
    assert_eq!((one.bytes(), budget.used()), (ByteSize(60), ByteSize(60)));
    one.shrink_to(ByteSize(20));
    assert_eq!(budget.used(), ByteSize(20));
    one.grow_to(ByteSize(30), None).await.unwrap();
    drop(one);
    assert_eq!(budget.used(), ByteSize(0));
}

#[tokio::test]
async fn more_than_one_holder_can_have_is_refused_at_once() {
    let budget = budget(80);
    let one = holder(&budget, 10).await;
    let refused = Err(Refused::TooLarge(ByteSize(70)));
    assert_eq!(one.grow(ByteSize(61), None).await, refused);
    one.grow(ByteSize(60), None).await.unwrap();
    let reserved = budget.reserve(ByteSize(71), None).await;
    assert_eq!(reserved.map(|_| ()), refused);
}

#[tokio::test]
async fn a_wait_ends_at_its_deadline_and_leaves_no_trace() {
    let budget = budget(80);
    let large = holder(&budget, 70).await;
    let small = holder(&budget, 10).await;
    let soon = Some(Instant::now() + Duration::from_millis(5));
    assert_eq!(small.grow(ByteSize(1), soon).await, Err(Refused::Busy));
    let late = budget.reserve(ByteSize(1), soon).await;
    assert_eq!(late.map(|_| ()), Err(Refused::Busy));
    drop(large);
    drop(small);
    let state = budget.lock();
    assert_eq!((state.used, state.active), (0, 0));
    assert!(state.arriving.is_empty() && state.growing.is_empty());
}

#[tokio::test]
async fn newcomers_find_place_where_growth_does_not() {
    let budget = budget(80);
    let large = holder(&budget, 10).await;
    large.grow(ByteSize(60), None).await.unwrap();
    let small = holder(&budget, 10).await;
    assert_eq!(small.bytes(), ByteSize(10));
    assert!(budget.reserve(ByteSize(1), None).now_or_never().is_none());
}

#[tokio::test]
async fn when_all_wait_for_growth_the_largest_gives_way() {
    let budget = budget(80);
    let (small, large) = (holder(&budget, 20).await, holder(&budget, 50).await);
    let mut waits = Box::pin(small.grow(ByteSize(5), None));
    assert!((&mut waits).now_or_never().is_none());
    assert_eq!(
        soon(large.grow(ByteSize(5), None)).await,
        Err(Refused::GivesWay)
    );
    assert!((&mut waits).now_or_never().is_none());
    drop(large);
    assert_eq!(waits.await, Ok(()));
}

#[tokio::test]
async fn who_waits_for_another_holder_does_not_count_as_one_that_goes_on() {
    let budget = budget(80);
    let (request, call) = (holder(&budget, 40).await, holder(&budget, 30).await);
    let _blocked = request.waits_for_others();
    let grown = soon(call.grow(ByteSize(5), None)).await;
    assert_eq!(grown, Err(Refused::GivesWay));
}

#[tokio::test]
async fn who_is_refused_although_the_others_hold_next_to_nothing_needs_too_much() {
    let budget = budget(80);
    let (request, call) = (holder(&budget, 5).await, holder(&budget, 60).await);
    let _blocked = request.waits_for_others();
    let refused = Err(Refused::TooLarge(ByteSize(70)));
    assert_eq!(soon(call.grow(ByteSize(8), None)).await, refused);
}

#[tokio::test]
async fn a_budget_that_grows_lets_waiting_ones_in_and_one_that_shrinks_takes_nothing_away() {
    let budget = budget(8);
    let _one = holder(&budget, 7).await;
    let mut waits = Box::pin(budget.reserve(ByteSize(7), None));
    assert!((&mut waits).now_or_never().is_none());
    budget.resize(ByteSize(16));
    let two = waits.await.unwrap();
    budget.resize(ByteSize(8));
    assert_eq!((two.bytes(), budget.used()), (ByteSize(7), ByteSize(14)));
    assert!(budget.reserve(ByteSize(1), None).now_or_never().is_none());
}

#[tokio::test]
async fn bytes_that_only_rest_do_not_either() {
    let budget = budget(80);
    let (answer, call) = (holder(&budget, 40).await, holder(&budget, 30).await);
    answer.rests();
    let grown = soon(call.grow(ByteSize(5), None)).await;
    assert_eq!(grown, Err(Refused::GivesWay));
    drop(answer);
    assert_eq!(call.grow(ByteSize(5), None).await, Ok(()));
}

#[tokio::test]
async fn large_ones_grow_in_turn_and_small_ones_pass_them() {
    // Growth may use 7,000: a group is small up to 109, and 1,750 may be used together.
    let budget = budget(8_000);
    let (first, second) = (holder(&budget, 10).await, holder(&budget, 10).await);
    first.grow(ByteSize(1_500), None).await.unwrap();
    first.grow(ByteSize(3_000), None).await.unwrap();
    let mut waits = Box::pin(second.grow(ByteSize(200), None));
    assert!((&mut waits).now_or_never().is_none());
    let small = holder(&budget, 10).await;
    small.grow(ByteSize(90), None).await.unwrap();
    first.grow(ByteSize(2_000), None).await.unwrap();
    drop(first);
    assert_eq!(waits.await, Ok(()));
}

#[tokio::test]
async fn small_ones_grow_even_beside_one_that_has_all() {
    let budget = budget(8_000);
    let (large, small) = (holder(&budget, 10).await, holder(&budget, 10).await);
    large.grow(ByteSize(6_980), None).await.unwrap();
    let grown = small.grow(ByteSize(90), None);
    assert_eq!(grown.now_or_never(), Some(Ok(())));
    let _newcomer = holder(&budget, 500).await;
    assert_eq!(budget.used(), ByteSize(7_590));
}

#[tokio::test]
async fn what_is_spent_is_taken_from_what_is_held_first() {
    let budget = budget(80);
    let (large, small) = (holder(&budget, 10).await, holder(&budget, 10).await);
    large.grow(ByteSize(50), None).await.unwrap();
    for _ in 0..2 {
        let spent = small.spend(ByteSize(5), None);
        assert_eq!(spent.now_or_never(), Some(Ok(())));
    }
    assert!(small.spend(ByteSize(5), None).now_or_never().is_none());
    assert_eq!(small.bytes(), ByteSize(10));
}

#[tokio::test]
async fn who_gave_way_holds_next_to_nothing_until_its_turn() {
    let budget = budget(8_000);
    let first = holder(&budget, 2_000).await;
    first.grow(ByteSize(10), None).await.unwrap();
    let mut waits = Box::pin(budget.reserve_in_turn(ByteSize(10), None));
    assert!((&mut waits).now_or_never().is_none());
    assert_eq!(budget.used(), ByteSize(2_020));
    drop(first);
    let again = soon(waits).await.unwrap();
    again.grow(ByteSize(6_000), None).await.unwrap();
}

#[tokio::test]
async fn a_request_keeps_its_turn_while_its_call_begins() {
    let budget = budget(8_000);
    let (first, next) = (holder(&budget, 10).await, holder(&budget, 10).await);
    let call = first.account();
    let _blocked = first.waits_for_others();
    first.grow(ByteSize(3_000), None).await.unwrap();
    let mut waits = Box::pin(next.grow(ByteSize(2_000), None));
    assert!((&mut waits).now_or_never().is_none());
    let call = call.reserve(ByteSize(10), None).await.unwrap();
    assert!((&mut waits).now_or_never().is_none());
    call.rests();
    assert_eq!(soon(waits).await, Ok(()));
}

#[tokio::test]
async fn the_calls_of_a_request_have_its_turn() {
    let budget = budget(8_000);
    let (first, second) = (holder(&budget, 2_000).await, holder(&budget, 10).await);
    first.grow(ByteSize(1_000), None).await.unwrap();
    let mut waits = Box::pin(second.grow(ByteSize(200), None));
    assert!((&mut waits).now_or_never().is_none());
    let call = first.account().reserve(ByteSize(10), None).await.unwrap();
    call.grow(ByteSize(2_000), None).await.unwrap();
    drop(first);
    assert!((&mut waits).now_or_never().is_none());
    drop(call);
    assert_eq!(waits.await, Ok(()));
}

#[tokio::test]
async fn a_turn_passes_to_the_next_where_nobody_else_can_go_on() {
    let budget = budget(8_000);
    let (first, next) = (holder(&budget, 2_000).await, holder(&budget, 10).await);
    first.grow(ByteSize(1_000), None).await.unwrap();
    // Its call waits for the place of one of the others.
    let _blocked = first.waits_for_others();
    assert_eq!(soon(next.grow(ByteSize(2_000), None)).await, Ok(()));
}

#[tokio::test]
async fn a_turn_in_which_nothing_happens_passes_to_the_next() {
    let budget = budget(8_000);
    let (slow, next) = (holder(&budget, 2_000).await, holder(&budget, 10).await);
    slow.grow(ByteSize(1_000), None).await.unwrap();
    let began = Instant::now();
    soon(next.grow(ByteSize(2_000), None)).await.unwrap();
    assert!(began.elapsed() >= STANDSTILL);
    let mut waits = Box::pin(slow.grow(ByteSize(10), None));
    assert!((&mut waits).now_or_never().is_none());
    drop(next);
    assert_eq!(waits.await, Ok(()));
}

/// A request: its calls grow step by step while it waits for them.
#[derive(Clone, Debug)]
struct Plan {
    base: u64,
    calls: Vec<Vec<u64>>,
    gives_up_after: Option<u8>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let call = prop::collection::vec(1_u64..40, 0..5);
    let parts = (
        1_u64..8,
        prop::collection::vec(call, 1..3),
        prop::option::of(0_u8..20),
    );
    parts.prop_map(|(base, calls, gives_up_after)| Plan {
        base,
        calls,
        gives_up_after,
    })
}

async fn run(budget: Arc<Budget>, plan: Plan) -> Result<(), Refused> {
    let request = budget.reserve(ByteSize(plan.base), None).await?;
    let gives_up_after = plan.gives_up_after;
    let patience = async {
        match gives_up_after {
            None => std::future::pending().await,
            Some(turns) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    tokio::select! {
        result = evaluate(&request, plan) => result,
        () = patience => Ok(()),
    }
}

async fn evaluate(request: &Reservation, plan: Plan) -> Result<(), Refused> {
    for steps in plan.calls {
        let account = request.account();
        let blocked = request.waits_for_others();
        let call = account.reserve(ByteSize(2), None).await?;
        for step in steps {
            call.grow(ByteSize(step), None).await?;
            tokio::task::yield_now().await;
        }
        drop(blocked);
        call.rests();
        request.grow(ByteSize(1), None).await?;
    }
    Ok(())
}

/// What becomes of requests of one call each that grow by these steps at once. Those that give way
/// begin again.
fn all_end(capacity: u64, plans: Vec<Vec<u64>>) -> Vec<Result<(), Refused>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let budget = budget(capacity);
        let running = plans
            .into_iter()
            .map(|steps| tokio::spawn(ends(Arc::clone(&budget), steps)));
        let running: Vec<_> = running.collect();
        let all = tokio::time::timeout(HANG, futures::future::join_all(running)).await;
        let all = all.expect("nobody waits for ever").into_iter();
        all.map(|ended| ended.unwrap()).collect()
    })
}

/// A request that grows by these steps, as often as it has to.
async fn ends(budget: Arc<Budget>, steps: Vec<u64>) -> Result<(), Refused> {
    let plan = Plan {
        base: 2,
        calls: vec![steps],
        gives_up_after: None,
    };
    let mut request = budget.reserve(ByteSize(plan.base), None).await?;
    loop {
        match evaluate(&request, plan.clone()).await {
            Err(Refused::GivesWay) => {
                drop(request);
                request = budget.reserve_in_turn(ByteSize(plan.base), None).await?;
            }
            ended => return ended,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn every_request_ends_and_the_sum_stays_within_the_budget(
        plans in prop::collection::vec(plan(), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let budget = budget(100);
            let running = plans.into_iter().map(|plan| tokio::spawn(run(Arc::clone(&budget), plan)));
            let running: Vec<_> = running.collect();
            let watched = async {
                while running.iter().any(|task| !task.is_finished()) {
                    assert!(budget.used() <= budget.capacity());
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(HANG, watched).await.expect("nobody waits for ever");
            for task in running {
                // Refused or not: it has ended.
                let _ = task.await.unwrap();
            }
            let state = budget.lock();
            assert_eq!((state.used, state.active), (0, 0));
            assert!(state.arriving.is_empty() && state.growing.is_empty() && state.turns.is_empty());
        });
    }

    /// Whatever the order: requests each of which would get its memory if it came alone all get it.
    #[test]
    fn what_fits_one_after_the_other_is_answered_one_after_the_other(
        plans in prop::collection::vec(prop::collection::vec(1_u64..800, 1..9), 1..12),
    ) {
        for result in all_end(8_000, plans) {
            prop_assert_eq!(result, Ok(()));
        }
    }

    #[test]
    fn even_where_each_needs_nearly_all_of_it(
        plans in prop::collection::vec(prop::collection::vec(1_u64..20, 1..4), 1..12),
    ) {
        for result in all_end(100, plans) {
            prop_assert_eq!(result, Ok(()));
        }
    }
}
