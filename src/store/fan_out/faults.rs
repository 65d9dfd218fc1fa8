//! What a fault means for a key: followed, put off, or given up with a reason.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::model::UnavailableReason;
use crate::model::limits::{KEY_ATTEMPTS_MAX, KEY_REDIRECTS_AT_ONCE_MAX};
use crate::shard::{KeyFault, Target};
use crate::slot::{KeyNumber, NodeAddr};

use super::{Effect, Redirect, Run, Settled, ShardOperation, Trouble, UnderWay, Unsettled};

impl<O: ShardOperation, S: FnMut(Settled<'_, O::Output>)> Run<'_, O, S> {
    pub(super) fn sort_fault(
        &mut self,
        key: KeyNumber,
        fault: KeyFault,
        target: &Target,
        answered_by: &NodeAddr,
        unsettled: &mut Unsettled,
    ) {
        let (node, asking, kind) = match fault {
            KeyFault::Refused(answer) => return self.fail(&[key], UnavailableReason::Refused(answer)),
            KeyFault::Unconfirmed(replicas) => {
                return self.fail(&[key], UnavailableReason::Unconfirmed(replicas));
            }
            KeyFault::NotReady(answer) => {
                unsettled.kinds[Redirect::NotReady as usize] += 1;
                self.fan_out.transport.request_refresh();
                let text: Arc<str> = format!("{answered_by}: {answer}").into();
                return self.try_again(key, &text, &mut unsettled.put_off);
            }
            KeyFault::Moved(node) => (node, false, Redirect::Moved),
            KeyFault::Ask(node) => (node, true, Redirect::Ask),
        };
        unsettled.kinds[kind as usize] += 1;
        if !asking {
            self.fan_out.transport.request_refresh();
        }
        if matches!(target, Target::Shard(_)) {
            self.fan_out.gates.gate(target.node()).health.redirected();
        }
        // A node that stands in for the wanted one can only send us back to where nobody answers.
        let back_to_start = node == *target.node() && node != *answered_by;
        let text: Arc<str> = if back_to_start {
            format!("{node} is not connected")
        } else {
            format!("{} to {node}", kind.as_str())
        }
        .into();
        // The answer to a planned pipeline is always followed; what it leads to may lead on a few times only.
        let planned = matches!(target, Target::Shard(_));
        let at_once = !back_to_start && (planned || self.attempts(key) < KEY_REDIRECTS_AT_ONCE_MAX);
        if at_once {
            self.trouble(key, &text);
            unsettled.redirected.entry(Target::Redirect { node, asking }).or_default().push(key);
        } else {
            self.try_again(key, &text, &mut unsettled.put_off);
        }
    }

    /// Puts a key among those to be planned again, or gives it up where it was sent too often.
    pub(super) fn try_again(&mut self, key: KeyNumber, text: &Arc<str>, put_off: &mut Vec<KeyNumber>) {
        if self.trouble(key, text) < KEY_ATTEMPTS_MAX {
            put_off.push(key);
        } else {
            self.fail(&[key], UnavailableReason::AttemptsExhausted(Arc::clone(text)));
        }
    }

    /// Notes a key's trouble; returns how often it was sent.
    pub(super) fn trouble(&mut self, key: KeyNumber, text: &Arc<str>) -> u32 {
        let trouble = self.troubles.entry(key).or_insert_with(|| Trouble {
            attempts: 0,
            last: Arc::clone(text),
            may_have_run: false,
        });
        trouble.attempts += 1;
        trouble.last = Arc::clone(text);
        trouble.attempts
    }

    pub(super) fn attempts(&self, key: KeyNumber) -> u32 {
        self.troubles.get(&key).map_or(0, |trouble| trouble.attempts)
    }

    pub(super) fn fail(&mut self, keys: &[KeyNumber], reason: UnavailableReason) {
        if keys.is_empty() {
            return;
        }
        let is_of_the_last_try = matches!(
            reason,
            UnavailableReason::Refused(_)
                | UnavailableReason::OutcomeUnknown(_)
                | UnavailableReason::Unconfirmed(_)
        );
        if self.fan_out.operation.effect() == Effect::None || is_of_the_last_try {
            return (self.settle)(Settled::Failed { keys, reason });
        }
        // A write that got lost once may have been applied, whatever became of it later.
        for key in keys {
            let reason = match self.troubles.get(key) {
                Some(trouble) if trouble.may_have_run => {
                    UnavailableReason::OutcomeUnknown(Arc::clone(&trouble.last))
                }
                _ => reason.clone(),
            };
            (self.settle)(Settled::Failed { keys: &[*key], reason });
        }
    }

    /// The deadline is there: whatever is under way is given up, with what is known about it.
    pub(super) fn give_up(&mut self) {
        let mut silent = false;
        for (_, UnderWay { keys, node, since, alone, sent }) in std::mem::take(&mut self.under_way) {
            let sent = sent.load(Ordering::Relaxed);
            silent |= sent;
            if let (true, Some(node)) = (sent && alone, &node) {
                self.fan_out.gates.gate(node).health.silent_since(since.into_std());
            }
            let state: Option<Arc<str>> = node.map(|node| match sent {
                true => format!("no answer from {node}").into(),
                false => format!("too many commands in flight to {node}").into(),
            });
            let may_have_run = sent && self.fan_out.operation.effect() != Effect::None;
            for key in keys.iter().copied() {
                let trouble = || self.troubles.get(&key).map(|trouble| Arc::clone(&trouble.last));
                let reason = match state.clone().or_else(trouble) {
                    Some(state) if may_have_run => UnavailableReason::OutcomeUnknown(state),
                    state => UnavailableReason::DeadlineExceeded(state),
                };
                self.fail(&[key], reason);
            }
        }
        if silent {
            self.fan_out.transport.request_refresh();
        }
    }
}
