use super::*;

const TIME: Duration = Duration::from_secs(2);
const NOW: Duration = Duration::from_secs(1000);

fn reconnect(mode: Mode) -> Reconnect {
    Reconnect::new(mode, Backoff::new(TIME).with_seed(1))
}

fn response(status: u16, is_event_stream: bool, retry_after: Option<u64>) -> Outcome {
    Outcome::Response {
        status: StatusCode::from_u16(status).unwrap(),
        is_event_stream,
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// Returns the delay of a `Step::Wait`.
fn wait(step: Step) -> Duration {
    match step {
        Step::Wait(wait) => wait,
        step => panic!("{step:?}"),
    }
}

#[test]
fn only_200_with_the_right_type_opens() {
    for mode in [Mode::Spec, Mode::Resilient] {
        assert_eq!(reconnect(mode).next_step(response(200, true, None), NOW), Step::Read);
        for (status, is_event_stream) in
            [(200, false), (205, true), (210, true), (302, true), (401, true), (404, true)]
        {
            let step = reconnect(mode).next_step(response(status, is_event_stream, None), NOW);
            assert_eq!(step, Step::GiveUp(GiveUp::Fatal), "{status}");
        }
    }
}

#[test]
fn a_204_is_the_end() {
    for mode in [Mode::Spec, Mode::Resilient] {
        assert_eq!(reconnect(mode).next_step(response(204, false, None), NOW), Step::Finish);
    }
}

#[test]
fn an_ended_stream_and_a_missing_response_wait_for_the_reconnection_time() {
    for mode in [Mode::Spec, Mode::Resilient] {
        for outcome in [Outcome::Ended, Outcome::NoResponse] {
            let wait = wait(reconnect(mode).next_step(outcome, NOW));
            assert!((TIME..=TIME * 3 / 2).contains(&wait), "{wait:?}");
        }
    }
}

#[test]
fn the_stream_sets_the_reconnection_time() {
    let mut reconnect = reconnect(Mode::Spec);
    reconnect.set_reconnection_time(Duration::from_millis(70));
    let wait = wait(reconnect.next_step(Outcome::Ended, NOW));
    assert!((70..=105).contains(&wait.as_millis()), "{wait:?}");
}

#[test]
fn transient_errors_are_retried_after_the_delay_that_the_server_requests() {
    for status in [429, 500, 502, 503, 504, 599] {
        let requested =
            wait(reconnect(Mode::Resilient).next_step(response(status, false, Some(90)), NOW));
        assert!((90..=120).contains(&requested.as_secs()), "{status}: {requested:?}");
        let plain = wait(reconnect(Mode::Resilient).next_step(response(status, false, None), NOW));
        assert!((TIME..=TIME * 3 / 2).contains(&plain), "{status}: {plain:?}");
    }
}

#[test]
fn no_error_is_transient_in_spec_mode() {
    for status in [429, 500, 503] {
        let step = reconnect(Mode::Spec).next_step(response(status, false, Some(1)), NOW);
        assert_eq!(step, Step::GiveUp(GiveUp::Fatal), "{status}");
    }
    let step = reconnect(Mode::Spec).next_step(Outcome::Unauthorized, NOW);
    assert_eq!(step, Step::GiveUp(GiveUp::Fatal));
}

#[test]
fn credentials_are_not_renewed_twice_in_a_row() {
    let mut reconnect = reconnect(Mode::Resilient);
    assert_eq!(reconnect.next_step(Outcome::Unauthorized, NOW), Step::Renew);
    assert_eq!(reconnect.next_step(Outcome::Unauthorized, NOW), Step::GiveUp(GiveUp::Unauthorized));
}

#[test]
fn credentials_are_renewed_again_after_another_response() {
    let mut reconnect = reconnect(Mode::Resilient);
    for between in [response(200, true, None), response(503, false, None)] {
        assert_eq!(reconnect.next_step(Outcome::Unauthorized, NOW), Step::Renew);
        reconnect.next_step(between, NOW);
    }
    assert_eq!(reconnect.next_step(Outcome::Unauthorized, NOW), Step::Renew);
}

/// Returns the longest delay after the second loss in a row, over many seeds.
fn longest_second_wait(between: impl Fn(&mut Reconnect), ended: Duration) -> Duration {
    let waits = (0..50).map(|seed| {
        let mut reconnect = Reconnect::new(Mode::Resilient, Backoff::new(TIME).with_seed(seed));
        reconnect.next_step(Outcome::NoResponse, NOW);
        reconnect.next_step(response(200, true, None), NOW);
        between(&mut reconnect);
        wait(reconnect.next_step(Outcome::Ended, ended))
    });
    waits.max().unwrap()
}

#[test]
fn an_open_stream_without_a_new_id_is_not_progress() {
    assert!(longest_second_wait(|_| (), NOW) > TIME * 2);
    assert!(longest_second_wait(Reconnect::progressed, NOW) <= TIME * 3 / 2);
}

#[test]
fn a_stream_that_stayed_open_is_progress() {
    let long = Reconnect::HEALTHY_AFTER;
    assert!(longest_second_wait(|_| (), NOW + long) <= TIME * 3 / 2);
    assert!(longest_second_wait(|_| (), NOW + long * 9 / 10) > TIME * 2);
}

#[test]
fn the_limit_counts_attempts_in_a_row_without_progress() {
    let mut reconnect = reconnect(Mode::Resilient).with_attempts_max(3);
    for _ in 0..3 {
        assert_eq!(reconnect.attempt(), 1);
        wait(reconnect.next_step(Outcome::NoResponse, NOW));
        assert_eq!(reconnect.attempt(), 2);
        wait(reconnect.next_step(response(503, false, None), NOW));
        assert_eq!(reconnect.attempt(), 3);
        reconnect.next_step(response(200, true, None), NOW);
        reconnect.progressed();
        wait(reconnect.next_step(Outcome::Ended, NOW));
    }
    wait(reconnect.next_step(Outcome::NoResponse, NOW));
    reconnect.next_step(response(200, true, None), NOW);
    wait(reconnect.next_step(Outcome::Ended, NOW));
    assert_eq!(reconnect.next_step(Outcome::NoResponse, NOW), Step::GiveUp(GiveUp::Attempts(3)));
}

#[test]
fn at_least_one_attempt_is_made() {
    for attempts_max in [0, 1] {
        let mut reconnect = reconnect(Mode::Resilient).with_attempts_max(attempts_max);
        let step = reconnect.next_step(Outcome::NoResponse, NOW);
        assert_eq!(step, Step::GiveUp(GiveUp::Attempts(1)));
    }
}
