//! Errors about some of the user's tokens.

use proc_macro::{Literal, Span, TokenStream, TokenTree};

use crate::template::fill;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What is wrong, and where: from the first token to the last one.
pub(crate) struct Error {
    message: String,
    first: Span,
    last: Span,
}

impl Error {
    /// Creates an error about one place.
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Self {
        Error { message: message.into(), first: span, last: span }
    }

    /// Creates an error about all of `tokens`, or about `place` if there are none.
    pub(crate) fn about(tokens: &[TokenTree], place: Span, message: impl Into<String>) -> Self {
        let first = tokens.first().map_or(place, TokenTree::span);
        let last = tokens.last().map_or(place, TokenTree::span);
        Error { message: message.into(), first, last }
    }

    /// Returns a `compile_error!` that the compiler reports at the tokens. The compiler looks at
    /// the first and the last token of the macro call, so these get the two spans.
    pub(crate) fn into_tokens(self) -> TokenStream {
        let message = TokenTree::from(Literal::string(&self.message)).into();
        let path = fill("::core::compile_error!", self.first, &[]);
        path.into_iter().chain(fill("{ $message }", self.last, &[("message", message)])).collect()
    }
}

/// Returns the names as a list for a sentence: `a`, `b` and `c`.
pub(crate) fn enumerated(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("`{name}`"),
        [names @ .., last] => {
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("{} and `{last}`", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::enumerated;

    #[test]
    fn names_are_enumerated() {
        assert_eq!(enumerated(&[]), "");
        assert_eq!(enumerated(&["a"]), "`a`");
        assert_eq!(enumerated(&["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
