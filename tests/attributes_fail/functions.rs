#[foster::test]
fn not_async() {}

#[foster::test]
async fn an_argument(runtime: foster::Handle) {}

#[foster::test]
async fn generic<T: Default, const N: usize>() {}

#[foster::test]
async unsafe fn unsafe_one() {}

#[foster::test]
struct NoFunction;

#[foster::test]
#[should_panic(expected = "a text")]
async fn should_panic_and_may_fail() -> Result<(), String> {
    Ok(())
}

struct Methods;

impl Methods {
    #[foster::test]
    async fn method(&self) {}
}

fn main() {}
