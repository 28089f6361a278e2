// The futures of a race have outputs of one type: for others there is `select!`.
use std::future::ready;

fn main() {
    drop(foster::race((ready(1), ready("one"))));
}
