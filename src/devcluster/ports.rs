//! Which ports a cluster takes. Every port is tried before any server is started.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use super::error::DevClusterError;
use super::limits::{BUS_PORT_OFFSET, FREE_PORT_TRIES_PER_PORT, FREE_PORTS};

/// The two ports of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodePorts {
    pub(super) client: u16,
    pub(super) bus: u16,
}

const FOR_CLIENTS: &str = "for clients";
const FOR_BUS: &str = "for the cluster bus";

/// Consecutive ports from `first`, each known to be free.
pub(super) fn given(first: u16, nodes: usize) -> Result<Vec<NodePorts>, DevClusterError> {
    let ports = consecutive(first, nodes)?;
    for port in &ports {
        try_port(port.client, FOR_CLIENTS)?;
    }
    for port in &ports {
        try_port(port.bus, FOR_BUS)?;
    }
    Ok(ports)
}

/// Consecutive ports from `first`, in range.
pub(super) fn consecutive(first: u16, nodes: usize) -> Result<Vec<NodePorts>, DevClusterError> {
    let too_high = || {
        let highest = usize::from(u16::MAX - BUS_PORT_OFFSET).saturating_sub(nodes.saturating_sub(1));
        DevClusterError::Spec(format!(
            "first port {first}: {nodes} nodes need ports up to {}, and each one's bus port is {BUS_PORT_OFFSET} \
             higher; the first port may be 1 to {highest}",
            usize::from(first) + nodes.saturating_sub(1)
        ))
    };
    if first == 0 {
        return Err(too_high());
    }
    (0..nodes)
        .map(|i| {
            let client = u16::try_from(i).ok().and_then(|i| first.checked_add(i));
            let bus = client.and_then(|port| port.checked_add(BUS_PORT_OFFSET));
            client.zip(bus).map(|(client, bus)| NodePorts { client, bus }).ok_or_else(too_high)
        })
        .collect()
}

/// Ports that nobody uses now.
pub(super) fn free(nodes: usize) -> Result<Vec<NodePorts>, DevClusterError> {
    let wanted = nodes * 2;
    let mut found = Vec::with_capacity(wanted);
    let mut seen = BTreeSet::new();
    for _ in 0..wanted * FREE_PORT_TRIES_PER_PORT {
        if found.len() == wanted {
            break;
        }
        let port = rand::random_range(FREE_PORTS);
        if seen.insert(port) && try_port(port, FOR_CLIENTS).is_ok() {
            found.push(port);
        }
    }
    if found.len() < wanted {
        return Err(DevClusterError::NoFreePorts { wanted, low: FREE_PORTS.start, high: FREE_PORTS.end });
    }
    let (clients, buses) = found.split_at(nodes);
    Ok(clients.iter().zip(buses).map(|(&client, &bus)| NodePorts { client, bus }).collect())
}

fn try_port(port: u16, what: &'static str) -> Result<(), DevClusterError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(DevClusterError::PortTaken { port, what }),
        Err(reason) => Err(DevClusterError::PortUnusable { port, what, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_all_different() {
        let ports = free(20).unwrap();
        let all: BTreeSet<u16> = ports.iter().flat_map(|p| [p.client, p.bus]).collect();
        assert_eq!(all.len(), 40);
    }

    #[test]
    fn ports_beyond_the_range_are_refused_with_the_highest_that_would_do() {
        assert_eq!(consecutive(55_535, 1).unwrap()[0].bus, 65_535);
        for (first, nodes) in [(0, 1), (55_536, 1), (55_534, 3), (65_535, 2)] {
            assert!(consecutive(first, nodes).is_err(), "{first} {nodes}");
        }
        assert!(consecutive(55_534, 3).unwrap_err().to_string().contains("1 to 55533"));
    }
}
