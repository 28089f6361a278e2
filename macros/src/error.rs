//! Complaints about some of the user's tokens.

use proc_macro::{Literal, Span, TokenStream, TokenTree};

use crate::template::fill;

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What is wrong, and from which token to which.
pub(crate) struct Error {
    message: String,
    first: Span,
    last: Span,
}

impl Error {
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Self {
        Error { message: message.into(), first: span, last: span }
    }

    /// About all of `tokens`, or about `place` where there are none.
    pub(crate) fn about(tokens: &[TokenTree], place: Span, message: impl Into<String>) -> Self {
        let first = tokens.first().map_or(place, TokenTree::span);
        let last = tokens.last().map_or(place, TokenTree::span);
        Error { message: message.into(), first, last }
    }

    /// A `compile_error!` that the compiler reports at those tokens: it looks at the first and the last one.
    pub(crate) fn into_tokens(self) -> TokenStream {
        let message = TokenTree::from(Literal::string(&self.message)).into();
        let path = fill("::core::compile_error!", self.first, &[]);
        path.into_iter().chain(fill("{ $message }", self.last, &[("message", message)])).collect()
    }
}

/// `a, b and c`
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
