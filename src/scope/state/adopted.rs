//! The futures that a scope has adopted: it finishes them, or leaves them to the enclosing scope.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::Machine;
use crate::cancel::token::Token;
use crate::context::ends::EndsWith;
use crate::context::{self, Ambient, Replaced, Swap};
use crate::engine::{Key, Set};
use crate::name::Name;
use crate::panic::{catch, discard};
use crate::scope::control::{Adopted, Control};
use crate::scope::kind::Kind;

pub(super) struct AdoptedMember {
    /// `None` once it has completed or was transferred.
    future: Option<Adopted>,
    token: Option<Token>,
}

impl<T, E, K: Kind> Machine<'_, T, E, K> {
    #[inline]
    pub(super) fn has_adopted(&self) -> bool {
        self.adopted.as_ref().is_some_and(|adopted| !adopted.is_empty())
    }

    pub(super) fn adopt(&mut self, future: Adopted) {
        let adopted = self.adopted.get_or_insert_with(|| Box::new(Set::new()));
        adopted.insert(AdoptedMember { future: Some(future), token: None });
    }

    #[inline]
    pub(super) fn poll_adopted(&mut self, ambient: &Ambient, cx: &mut Context<'_>) {
        if self.has_adopted() {
            ambient.without_deadline(|| self.poll_adopted_inside(ambient, cx));
        }
    }

    #[cold]
    fn poll_adopted_inside(&mut self, ambient: &Ambient, cx: &mut Context<'_>) {
        let _ends_with = Replaced::new(&ambient.ends_with, EndsWith::NOTHING);
        while let Some(adopted) = &mut self.adopted {
            let polled = adopted.poll_next(cx, |_, member, cx| {
                let AdoptedMember { future, token } = member.get_mut();
                let Some(running) = future else { return Poll::Ready(Ok(())) };
                let polled = {
                    let _token = Swap::new(&ambient.token, token);
                    catch(|| running.as_mut().poll(cx))
                };
                if let Ok(Poll::Pending) = polled {
                    return Poll::Pending;
                }
                let dropped = catch(|| context::outside(|| *future = None));
                Poll::Ready(match polled {
                    Ok(_) => dropped,
                    Err(payload) => {
                        discard(dropped);
                        Err(payload)
                    }
                })
            });
            match polled {
                Poll::Ready(Some((_, Ok(())))) => {}
                Poll::Ready(Some((_, Err(payload)))) => self.fail(&Name::from("an adopted future"), Some(payload)),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    pub(super) fn transfer_adopted(&mut self, enclosing: Option<&Arc<Control>>) {
        let Some(adopted) = &mut self.adopted else { return };
        let keys: Vec<Key> = adopted.keys().collect();
        for key in keys {
            if let Some(future) = adopted.get(key).and_then(|member| member.get_mut().future.take()) {
                adopted.remove(key);
                self.panics.run(|| context::adopt(enclosing, future));
            }
        }
    }

    /// Drops what no scope is left to finish.
    pub(super) fn lose_adopted(&mut self) {
        let Some(mut adopted) = self.adopted.take() else { return };
        let lose = || context::outside(|| adopted.clear());
        #[cfg(feature = "sim")]
        let lose = || crate::trace::living::losing(lose);
        self.panics.run(lose);
    }
}
