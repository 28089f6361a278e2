//! The attribute macros of [foster](https://docs.rs/foster), which re-exports and documents them.
//!
//! | file | job |
//! |---|---|
//! | `arguments.rs` | reads what stands in the parentheses of an attribute |
//! | `function.rs` | reads the `async fn` below it, and rejects what cannot be one |
//! | `settings.rs` | reads what the arguments of a test mean |
//! | `test.rs`, `program.rs` | make the code of each attribute |
//! | `template.rs` | fills code with holes |
//! | `error.rs` | reports errors about the user's tokens |

use proc_macro::TokenStream;

mod arguments;
mod error;
mod function;
mod program;
mod settings;
mod template;
mod test;

/// Makes one test for each runtime from an `async fn`. See `foster::test`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test::expand(arguments, item).unwrap_or_else(error::Error::into_tokens)
}

/// Runs an `async fn main` on a runtime. See `foster::main`.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    program::expand(arguments, item).unwrap_or_else(error::Error::into_tokens)
}
