//! The checker of histories, on small ones of which the truth is known.

mod support;

use support::history::{Action, History};
use support::linearizable::check;

/// Makes a history of lines such as `a: put 1`, `a = 0` (the answer) and `b: get`. A client that
/// calls again has not got an answer before.
fn history(lines: &[&str]) -> History {
    let history = History::default();
    let mut under_way = std::collections::BTreeMap::new();
    for line in lines {
        if let Some((client, call)) = line.split_once(": ") {
            let action = call.strip_prefix("put ").map_or(Action::Get, |value| Action::Put(value.to_string()));
            under_way.insert(client, history.call(u64::from(client.as_bytes()[0]), "x", action));
        } else {
            let (client, answer) = line.split_once(" = ").unwrap();
            let answer = Some(answer.to_string()).filter(|answer| answer != "-");
            history.answer(under_way.remove(client).unwrap(), answer);
        }
    }
    history
}

#[track_caller]
fn assert_is(linearizable: bool, lines: &[&str]) {
    let operations = history(lines).operations();
    assert_eq!(check(&operations).is_ok(), linearizable, "{:?}", check(&operations));
}

#[test]
fn what_one_client_does_is_linearizable_if_the_answers_are_right() {
    assert_is(true, &[]);
    assert_is(true, &["a: get", "a = -", "a: put 1", "a = -", "a: put 2", "a = 1", "a: get", "a = 2"]);
    assert_is(false, &["a: get", "a = 1"]);
    assert_is(false, &["a: put 1", "a = -", "a: get", "a = -"]);
    assert_is(false, &["a: put 1", "a = -", "a: put 2", "a = -"]);
}

#[test]
fn a_read_beside_a_write_sees_it_or_not() {
    assert_is(true, &["a: put 1", "b: get", "b = -", "a = -"]);
    assert_is(true, &["a: put 1", "b: get", "b = 1", "a = -"]);
    assert_is(true, &["a: put 1", "b: get", "b = -", "b: get", "b = 1", "a = -"]);
    assert_is(false, &["a: put 1", "b: get", "b = 1", "b: get", "b = -", "a = -"]);
}

#[test]
fn a_read_after_a_write_sees_it() {
    assert_is(false, &["a: put 1", "a = -", "b: get", "b = -"]);
    assert_is(true, &["b: get", "a: put 1", "a = -", "b = -"]);
}

#[test]
fn a_write_without_an_answer_happens_at_any_time_once_or_never() {
    assert_is(true, &["a: put 1", "b: get", "b = -"]);
    assert_is(true, &["a: put 1", "b: get", "b = -", "b: get", "b = 1", "b: put 2", "b = 1", "b: get", "b = 2"]);
    assert_is(false, &["a: put 1", "b: put 2", "b = 1", "b: get", "b = 2", "b: get", "b = 1"]);
    assert_is(false, &["a: put 1", "b: get", "b = 1", "b: get", "b = -"]);
}

#[test]
fn two_writes_at_once_happen_in_one_order_for_all() {
    let both = ["a: put 1", "b: put 2", "a = -", "b = 1"];
    assert_is(true, &[&both[..], &["c: get", "c = 2"]].concat());
    assert_is(false, &[&both[..], &["c: get", "c = 1"]].concat());
    assert_is(false, &["a: put 1", "b: put 2", "a = -", "b = -"]);
}

#[test]
fn keys_have_nothing_to_do_with_each_other() {
    let history = history(&["a: put 1", "a = -"]);
    let other = history.call(7, "y", Action::Get);
    history.answer(other, None);
    assert_eq!(check(&history.operations()), Ok(()));
    let wrong = history.call(7, "y", Action::Get);
    history.answer(wrong, Some("1".to_string()));
    let refused = check(&history.operations()).unwrap_err();
    assert!(refused.contains("key y") && refused.contains("from 5 to 6: get y → 1"), "{refused}");
}
