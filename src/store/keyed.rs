//! Commands that belong to keys: sent to the shard that owns each key, with redirects and the deadline seen to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::model::UnavailableReason;
use crate::shard::{Cluster, Command, Confirm, KeyFault, PipelineFault, Reply, Target};
use crate::slot::{KeyNumber, KeySet};

use super::Engine;
use super::fan_out::{Effect, FanOut, Outcome, Settled, ShardOperation};
use super::gates::Admission;

/// What a key's commands brought: a reply for each, or why there is none.
pub(super) type KeyReplies = Result<Vec<Reply>, UnavailableReason>;

/// What is to be run.
pub(super) struct Commands<'a> {
    /// The commands of a key, in order.
    pub(super) of: &'a (dyn Fn(KeyNumber) -> Vec<Command> + Sync),
    /// How many they are: those of pipelines that wait for their turn are not made yet.
    pub(super) count: &'a (dyn Fn(KeyNumber) -> usize + Sync),
    pub(super) effect: Effect,
    /// A key whose commands replicas did not confirm is refused.
    pub(super) confirm: Option<Confirm>,
    /// Is made true when the first pipeline is sent.
    pub(super) sent: Option<&'a AtomicBool>,
}

impl Engine {
    /// Runs the commands of every key; a key's commands share a pipeline. The answer has one entry per key number.
    pub(super) async fn run_commands(
        &self,
        keys: &KeySet,
        commands: Commands<'_>,
        timeout: Duration,
    ) -> Vec<KeyReplies> {
        let count: usize = keys.numbers().map(commands.count).sum();
        let gates = match (commands.effect, commands.confirm) {
            (Effect::None, _) => &self.admin_gates,
            (_, Some(_)) => &self.confirm_gates,
            (_, None) => &self.write_gates,
        };
        let operation = KeyedCommands { cluster: &self.cluster, commands };
        let fan_out = FanOut {
            operation: &operation,
            transport: &*self.transport,
            gates,
            keys,
            chunk_keys_max: (self.options.pipeline_commands_max * keys.len() / count.max(1)).max(1),
            deadline: Instant::now() + timeout,
            longest_wait: AtomicU64::new(0),
        };
        let mut results: Vec<Option<KeyReplies>> = vec![None; keys.len()];
        let mut settle = |key: KeyNumber, result| {
            if let Some(slot) = results.get_mut(key as usize) {
                *slot = Some(result);
            }
        };
        fan_out
            .run(|settled| match settled {
                Settled::Failed { keys, reason } => {
                    keys.iter().for_each(|key| settle(*key, Err(reason.clone())));
                }
                Settled::Answered { keys, output, .. } => {
                    for (key, replies) in keys.iter().zip(output) {
                        if let Some(replies) = replies {
                            settle(*key, Ok(replies));
                        }
                    }
                }
            })
            .await;
        let open = UnavailableReason::DeadlineExceeded(None);
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(open.clone()))).collect()
    }

    /// Runs commands that all belong to `key`.
    pub(super) async fn run_key(
        &self,
        key: &[u8],
        commands: Vec<Command>,
        effect: Effect,
        timeout: Duration,
    ) -> KeyReplies {
        self.run_key_noting(key, commands, effect, timeout, None).await
    }

    /// The same; `sent` is made true when they are sent.
    pub(super) async fn run_key_noting(
        &self,
        key: &[u8],
        commands: Vec<Command>,
        effect: Effect,
        timeout: Duration,
        sent: Option<&AtomicBool>,
    ) -> KeyReplies {
        let too_large = |_| UnavailableReason::Refused("the key is too large".into());
        let keys = KeySet::of_keys(&[key]).map_err(too_large)?;
        let (of, count) = (|_| commands.clone(), |_| commands.len());
        let commands = Commands { of: &of, count: &count, effect, confirm: None, sent };
        let mut results = self.run_commands(&keys, commands, timeout).await;
        results.pop().unwrap_or(Err(UnavailableReason::DeadlineExceeded(None)))
    }
}

struct KeyedCommands<'a> {
    cluster: &'a Cluster,
    commands: Commands<'a>,
}

impl ShardOperation for KeyedCommands<'_> {
    /// The replies of each key; `None` where one of its commands met a fault.
    type Output = Vec<Option<Vec<Reply>>>;

    fn run<'a>(
        &'a self,
        target: &'a Target,
        keys: &'a [KeyNumber],
        admission: &'a Admission<'a>,
    ) -> BoxFuture<'a, Result<Outcome<Self::Output>, PipelineFault>> {
        Box::pin(async move {
            let Commands { of, count, confirm, sent, .. } = &self.commands;
            let waits = usize::from(confirm.is_some());
            let count = keys.iter().map(|key| count(*key)).sum::<usize>() + waits;
            let (passage, _place) = admission.pass(target.node(), count).await;
            if let Some(sent) = sent {
                sent.store(true, Ordering::Relaxed);
            }
            let commands: Vec<Vec<Command>> = keys.iter().map(|key| of(*key)).collect();
            let counts: Vec<usize> = commands.iter().map(Vec::len).collect();
            let answer = self.cluster.send(target, commands.into_iter().flatten(), *confirm).await;
            let mut answer = match answer {
                Ok(answer) => answer,
                Err(fault) => {
                    passage.fault(fault.kind);
                    return Err(fault);
                }
            };
            passage.answered();
            let confirmed = confirm.map(|confirm| confirmed(confirm, answer.replies.pop()));
            let mut replies = answer.replies.into_iter();
            let mut output = Vec::with_capacity(keys.len());
            let mut faults = Vec::new();
            for (place, count) in counts.into_iter().enumerate() {
                let replies = worst_fault_or_all(replies.by_ref().take(count));
                match replies.and_then(|replies| confirmed.clone().unwrap_or(Ok(())).map(|()| replies)) {
                    Ok(replies) => output.push(Some(replies)),
                    Err(fault) => {
                        output.push(None);
                        faults.push((place, fault));
                    }
                }
            }
            Ok(Outcome { node: answer.node, output, faults })
        })
    }

    fn effect(&self) -> Effect {
        self.commands.effect
    }
}

/// Whether enough replicas have confirmed a pipeline, going by the reply to `WAIT`.
fn confirmed(confirm: Confirm, reply: Option<Result<Reply, KeyFault>>) -> Result<(), KeyFault> {
    let replicas = match reply {
        Some(Ok(reply)) => reply.as_i64(),
        Some(Err(fault)) => return Err(fault),
        None => None,
    };
    match replicas {
        Some(replicas) if replicas >= i64::from(confirm.replicas) => Ok(()),
        replicas => Err(KeyFault::Unconfirmed(
            format!(
                "{} of {} replicas confirmed it within {:?}",
                replicas.unwrap_or(0),
                confirm.replicas,
                confirm.within
            )
            .into(),
        )),
    }
}

/// All replies of one key; or the fault that decides what becomes of it: one that sending again mends before one
/// that it does not, since a redirect inside a transaction shows as an aborted `EXEC` too. Takes every reply, so
/// that the next one is the next key's.
fn worst_fault_or_all(
    replies: impl Iterator<Item = Result<Reply, KeyFault>>,
) -> Result<Vec<Reply>, KeyFault> {
    let mut all = Vec::new();
    let (mut mendable, mut refused) = (None, None);
    for reply in replies {
        match reply {
            Ok(reply) => all.push(reply),
            Err(fault @ KeyFault::Refused(_)) => {
                refused.get_or_insert(fault);
            }
            Err(fault) => {
                mendable.get_or_insert(fault);
            }
        }
    }
    mendable.or(refused).map_or(Ok(all), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::NodeAddr;

    #[test]
    fn a_redirect_inside_a_transaction_outweighs_the_aborted_exec() {
        let moved = KeyFault::Moved(NodeAddr::new("h", 1));
        let aborted = KeyFault::Refused("EXECABORT Transaction discarded because of previous errors.".into());
        let ok = || Ok(Reply::Text("OK".into()));
        assert_eq!(
            worst_fault_or_all([ok(), Err(aborted.clone()), Err(moved.clone())].into_iter()),
            Err(moved.clone())
        );
        assert_eq!(worst_fault_or_all([ok(), Err(aborted.clone()), ok()].into_iter()), Err(aborted));
        assert_eq!(worst_fault_or_all([ok(), ok()].into_iter()).map(|all| all.len()), Ok(2));

        let mut replies = [Err(moved.clone()), Err(moved.clone()), ok()].into_iter();
        assert_eq!(worst_fault_or_all(replies.by_ref().take(2)), Err(moved));
        assert_eq!(replies.count(), 1, "the next key's reply is left, and only that");
    }
}
