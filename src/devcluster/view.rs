//! One node's view of the cluster, and whether all views agree. Pure: text in, verdict out.

use std::collections::BTreeMap;

use crate::slot::NodeAddr;

/// Slots of a Redis Cluster.
pub(super) const SLOTS: u16 = 16_384;

/// What a node says of another one, or of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SeenNode {
    pub(super) addr: String,
    pub(super) is_me: bool,
    pub(super) replica_of: Option<String>,
    /// First and last slot of each range, in order.
    pub(super) slots: Vec<(u16, u16)>,
    /// Why it can't be counted on yet: `handshake`, `fail?`, a link that is down.
    pub(super) trouble: Option<String>,
}

impl SeenNode {
    pub(super) fn slot_count(&self) -> usize {
        self.slots.iter().map(|&(low, high)| usize::from(high) + 1 - usize::from(low)).sum()
    }
}

/// A node's id, its slots and the primary it follows.
type Owner<'a> = (&'a str, &'a [(u16, u16)], Option<&'a str>);

/// What one node says of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) state: String,
    pub(super) nodes: BTreeMap<String, SeenNode>,
    /// `master_link_status` of a replica.
    pub(super) primary_link: Option<String>,
}

impl View {
    /// Reads the answers of `CLUSTER INFO`, `CLUSTER NODES` and `INFO replication`.
    pub(super) fn parse(info: &str, nodes: &str, replication: &str) -> Self {
        Self {
            state: info_field(info, "cluster_state").unwrap_or("unknown").to_owned(),
            nodes: nodes.lines().filter_map(parse_node).collect(),
            primary_link: info_field(replication, "master_link_status").map(str::to_owned),
        }
    }

    /// Id and entry of the node that was asked.
    pub(super) fn me(&self) -> Option<(&str, &SeenNode)> {
        self.nodes.iter().find(|(_, node)| node.is_me).map(|(id, node)| (id.as_str(), node))
    }

    /// Does it know `expected` nodes, itself included, with no handshake under way?
    pub(super) fn knows_all(&self, expected: usize) -> Result<(), String> {
        if self.nodes.len() != expected {
            return Err(format!("it knows {} of {expected} nodes", self.nodes.len()));
        }
        match self.nodes.values().find_map(|node| Some((node, node.trouble.as_ref()?))) {
            Some((node, trouble)) => Err(format!("it sees {} as {trouble}", node.addr)),
            None => Ok(()),
        }
    }

    fn is_ready(&self, expected: usize) -> Result<(), String> {
        self.knows_all(expected)?;
        let assigned: usize = self.nodes.values().map(SeenNode::slot_count).sum();
        if assigned != usize::from(SLOTS) {
            return Err(format!("it sees {assigned} of {SLOTS} slots assigned"));
        }
        if self.state != "ok" {
            return Err(format!("its cluster_state is {}", self.state));
        }
        let me = self.me().map(|(_, me)| me).ok_or("it does not list itself")?;
        match (&me.replica_of, self.primary_link.as_deref()) {
            (Some(_), Some("up")) | (None, _) => Ok(()),
            (Some(_), link) => Err(format!("its link to its primary is {}", link.unwrap_or("not there"))),
        }
    }

    /// Who owns which slots, and who follows whom.
    fn assignment(&self) -> Vec<Owner<'_>> {
        self.nodes
            .iter()
            .map(|(id, node)| (id.as_str(), node.slots.as_slice(), node.replica_of.as_deref()))
            .collect()
    }
}

/// Do all nodes say that the cluster is ok, and the same of who owns what? Otherwise who does not, and why.
pub(super) fn agreement(views: &[(NodeAddr, View)]) -> Result<(), String> {
    for (addr, view) in views {
        view.is_ready(views.len()).map_err(|why| format!("{addr}: {why}"))?;
    }
    let Some(((first_addr, first), others)) = views.split_first() else {
        return Ok(());
    };
    match others.iter().find(|(_, view)| view.assignment() != first.assignment()) {
        Some((addr, _)) => Err(format!("{addr} and {first_addr} see different owners")),
        None => Ok(()),
    }
}

/// The value of `name:value` in the answer of an `INFO`.
pub(super) fn info_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

/// Reads `id addr@bus[,…] flags primary ping pong epoch link slots…`.
fn parse_node(line: &str) -> Option<(String, SeenNode)> {
    let mut words = line.split_whitespace();
    let id = words.next()?.to_owned();
    let addr = words.next()?.split('@').next()?.to_owned();
    let flags: Vec<&str> = words.next()?.split(',').collect();
    let replica_of = words.next().filter(|id| *id != "-").map(str::to_owned);
    let link = words.nth(3)?;
    let mut slots: Vec<(u16, u16)> = words.filter_map(parse_range).collect();
    slots.sort_unstable();
    let is_me = flags.contains(&"myself");
    let bad_flag = flags.iter().find(|flag| matches!(**flag, "handshake" | "fail" | "fail?" | "noaddr"));
    let trouble = match bad_flag {
        Some(flag) => Some((*flag).to_owned()),
        None if !is_me && link != "connected" => Some(link.to_owned()),
        None => None,
    };
    Some((id, SeenNode { addr, is_me, replica_of, slots, trouble }))
}

/// Reads `5` and `0-5460`; a slot on its way (`[5->-id]`) is none.
fn parse_range(word: &str) -> Option<(u16, u16)> {
    let (low, high) = word.split_once('-').unwrap_or((word, word));
    let range = (low.parse().ok()?, high.parse().ok()?);
    (range.0 <= range.1 && range.1 < SLOTS).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{aa}` becomes the flag of the node that is asked.
    const NODES: &str = "aa h:1@11,,shard-id=x {aa}master - 0 0 1 connected 0-8191 [7->-bb]\n\
                         bb h:2@12 {bb}master - 0 1 2 connected 8192-16382 16383\n";

    fn seen_by(me: &str, nodes: &str) -> (NodeAddr, View) {
        let mark = |id: &str| if id == me { "myself," } else { "" };
        let text = nodes.replace("{aa}", mark("aa")).replace("{bb}", mark("bb"));
        (NodeAddr::new(me, 1), View::parse("cluster_state:ok\r\n", &text, ""))
    }

    #[test]
    fn nodes_that_see_the_same_agree() {
        assert_eq!(agreement(&[seen_by("aa", NODES), seen_by("bb", NODES)]), Ok(()));
    }

    #[test]
    fn whatever_is_missing_is_named() {
        let cases = [
            (NODES.replace("16383\n", "\n"), "16383 of 16384 slots"),
            (NODES.replace("connected 8192", "disconnected 8192"), "as disconnected"),
            (NODES.replace("{bb}master", "master,fail?"), "as fail?"),
            (NODES.replace("{bb}master", "handshake"), "as handshake"),
            (NODES.lines().take(1).map(|l| format!("{l}\n")).collect(), "knows 1 of 2"),
        ];
        for (nodes, says) in cases {
            let error = agreement(&[seen_by("aa", &nodes), seen_by("bb", NODES)]).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let other = NODES.replace("0-8191", "0-8190").replace("8192-", "8191-");
        let error = agreement(&[seen_by("aa", NODES), seen_by("bb", &other)]).unwrap_err();
        assert!(error.contains("different owners"), "{error}");
    }

    #[test]
    fn a_replica_counts_once_its_link_is_up() {
        let nodes = "aa h:1@11 master - 0 0 1 connected 0-16383\nbb h:2@12 myself,slave aa 0 0 1 connected\n";
        let view = View::parse("cluster_state:ok", nodes, "master_link_status:down\r\n");
        assert_eq!(view.is_ready(2), Err("its link to its primary is down".to_owned()));
        let view = View::parse("cluster_state:ok", nodes, "role:slave\r\nmaster_link_status:up\r\n");
        assert_eq!(view.is_ready(2), Ok(()));
        assert_eq!(view.me().unwrap().1.replica_of.as_deref(), Some("aa"));
    }
}
