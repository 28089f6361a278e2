//! Code with holes.

use proc_macro::{Group, Span, TokenStream, TokenTree};

/// Returns the code of `template`, with each `$name` replaced by the tokens of that name in
/// `holes`.
///
/// Those tokens keep their spans. All others get the place of `span`, and see the names that the
/// user of the attribute sees.
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
                filled.extend(hole.expect("a template names its holes").1.clone());
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
