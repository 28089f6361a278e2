//! Code with holes.

use proc_macro::{Group, Span, TokenStream, TokenTree};

/// Returns the code of `template`, with each `$name` replaced by the tokens of that name in
/// `holes`.
///
/// Those tokens keep their spans, and what they see. Only `$foster`, the path of foster, gets the
/// place of `span`. All others get it, too, and see the names that the user of the attribute sees.
pub(crate) fn fill(template: &str, span: Span, holes: &[(&str, TokenStream)]) -> TokenStream {
    let template: TokenStream = template.parse().expect("a template is valid code");
    replace(template, Span::call_site().located_at(span), holes)
}

fn replace(template: TokenStream, span: Span, holes: &[(&str, TokenStream)]) -> TokenStream {
    let mut filled = TokenStream::new();
    let mut tokens = template.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(dollar) if dollar.as_char() == '$' => {
                let name = tokens.next().map(|name| name.to_string());
                let hole = holes.iter().find(|hole| name.as_deref() == Some(hole.0));
                let (name, tokens) = hole.expect("a template names its holes").clone();
                filled.extend(if name == "foster" { located(tokens, span) } else { tokens });
            }
            TokenTree::Group(group) => {
                let mut group = Group::new(group.delimiter(), replace(group.stream(), span, holes));
                group.set_span(span);
                filled.extend([TokenTree::from(group)]);
            }
            mut token => {
                token.set_span(span);
                filled.extend([token]);
            }
        }
    }
    filled
}

/// Moves tokens to the place of `span`. Each goes on to see what it saw, as `$crate` must.
fn located(tokens: TokenStream, span: Span) -> TokenStream {
    let located = |mut token: TokenTree| {
        token.set_span(token.span().located_at(span));
        token
    };
    tokens.into_iter().map(located).collect()
}
