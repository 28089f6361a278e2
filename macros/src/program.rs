//! Expands `#[foster::main]`.

use proc_macro::{Ident, Literal, Span, TokenStream, TokenTree};

use crate::arguments::{Argument, Value};
use crate::error::{Error, Result, enumerated};
use crate::function::Function;
use crate::template::fill;

const RUNTIMES: [&str; 4] = ["tokio", "smol", "async_std", "basic"];

/// How many threads there are if the attribute does not say so.
const EVERY_CORE: &str = "::std::thread::available_parallelism().map_or(1, ::std::num::NonZero::get)";

/// Makes a `main` that runs the `async fn main` on a runtime.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let mut arguments = Argument::parse_all(arguments)?;
    let foster = Argument::take_foster(&mut arguments)?;
    let runtime = runtime(foster, &arguments)?;
    let function = Function::parse("foster::main", item)?;
    let holes = [
        ("attributes", function.attributes(|_| true)),
        ("visibility", function.visibility.clone()),
        ("name", function.name()),
        ("output", function.output.clone()),
        ("body", function.body.clone()),
        ("runtime", runtime),
    ];
    // This is an inner function and not an `async` block, because a block cannot name its output
    // type.
    let template = "
        $attributes $visibility fn $name() $output {
            async fn $name() $output $body
            $runtime.run($name())
        }";
    Ok(fill(template, function.name.span(), &holes))
}

/// Returns the expression for the runtime, with the span of its name. So the compiler points there
/// if the feature is off.
fn runtime(foster: TokenStream, arguments: &[Argument]) -> Result<TokenStream> {
    let Some((runtime, others)) = arguments.split_first() else {
        let message = format!("on which runtime? There are {}", runtimes());
        return Err(Error::at(Span::call_site(), message));
    };
    if !matches!(runtime.value, Value::None) {
        return Err(Error::at(runtime.name.span(), format!("the runtime comes first: one of {}", runtimes())));
    }
    let name = runtime.name.to_string();
    let template = match name.as_str() {
        "tokio" => "Tokio::multi_thread($threads).expect(\"a tokio runtime\")",
        "basic" => "Basic::thread_pool($threads).expect(\"a thread pool\")",
        "smol" => "Smol::global()",
        "async_std" => "AsyncStd::global()",
        "sim" => return Err(Error::at(runtime.name.span(), "`sim` is for tests: `#[foster::test(runtimes(sim))]`")),
        _ => {
            let message = format!("unknown runtime `{name}`: there are {}", runtimes());
            return Err(Error::at(runtime.name.span(), message));
        }
    };
    let threads = threads(&runtime.name, others)?;
    let template = format!("$foster::runtimes::{template}");
    Ok(fill(&template, runtime.name.span(), &[("foster", foster), ("threads", threads)]))
}

fn runtimes() -> String {
    enumerated(&RUNTIMES)
}

/// Returns the number of threads, from `threads = 4`.
fn threads(runtime: &Ident, arguments: &[Argument]) -> Result<TokenStream> {
    let mut threads = fill(EVERY_CORE, runtime.span(), &[]);
    for argument in arguments {
        let (name, span) = (argument.name.to_string(), argument.name.span());
        if name != "threads" {
            return Err(Error::at(
                span,
                format!("unknown argument `{name}`: after the runtime there is `threads = 4`"),
            ));
        }
        let variable = match runtime.to_string().as_str() {
            "smol" => Some("SMOL_THREADS"),
            "async_std" => Some("ASYNC_STD_THREAD_COUNT"),
            _ => None,
        };
        if let Some(variable) = variable {
            let message = format!("the threads of `{runtime}` are the environment's to set: `{variable}=4`");
            return Err(Error::at(span, message));
        }
        let count = usize::try_from(argument.count()?).map_err(|_| argument.expected("fewer threads"))?;
        threads = TokenTree::from(Literal::usize_unsuffixed(count)).into();
    }
    Ok(threads)
}
