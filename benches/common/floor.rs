//! The least that a batch can cost: bare blocking sockets, one write and one scan per shard. No deadlines, no
//! statuses, no redirects, no errors but panics. What it leaves out is what a store is for.

use std::io::{Read, Write};
use std::net::TcpStream;

use slotwise::model::{EntityId, FeatureName};
use slotwise::slot::{Slot, Topology};

/// Room for what one read brings.
const READ_BYTES: usize = 256 << 10;

/// One socket per shard.
pub(crate) struct Floor {
    shards: Vec<FloorShard>,
    shard_of_slot: Vec<usize>,
    prefix: &'static str,
    head: Vec<u8>,
    tail: Vec<u8>,
    width: usize,
}

struct FloorShard {
    socket: TcpStream,
    output: Vec<u8>,
    input: Vec<u8>,
    rows: Vec<usize>,
    cells: Vec<(usize, usize)>,
}

impl Floor {
    pub(crate) fn connect(topology: &Topology, prefix: &'static str, features: &[FeatureName]) -> Self {
        let connect = |addr: &str| {
            let socket = TcpStream::connect(addr).expect("a node");
            socket.set_nodelay(true).expect("a socket");
            FloorShard { socket, output: Vec::new(), input: Vec::new(), rows: Vec::new(), cells: Vec::new() }
        };
        let shards = topology.shards().iter().map(|shard| connect(&shard.primary.to_string())).collect();
        let owner = |slot| topology.owner(Slot::new(slot).expect("a slot")).expect("an owner").index();
        let mut tail = Vec::new();
        for name in features {
            write!(tail, "${}\r\n{}\r\n", name.len(), name.as_str()).expect("a Vec takes any write");
        }
        Self {
            shards,
            shard_of_slot: (0..16_384).map(owner).collect(),
            prefix,
            head: format!("*{}\r\n$5\r\nHMGET\r\n", features.len() + 2).into_bytes(),
            tail,
            width: features.len(),
        }
    }

    /// Reads one batch. What it brings is looked up with [`Floor::cell`] until the next one.
    pub(crate) fn read(&mut self, ids: &[EntityId]) {
        for shard in &mut self.shards {
            shard.output.clear();
            shard.rows.clear();
        }
        let mut key = Vec::new();
        for (row, id) in ids.iter().enumerate() {
            key.clear();
            key.extend_from_slice(self.prefix.as_bytes());
            key.extend_from_slice(id.as_bytes());
            let slot = crc16::State::<crc16::XMODEM>::calculate(&key) % 16_384;
            let shard = &mut self.shards[self.shard_of_slot[usize::from(slot)]];
            shard.rows.push(row);
            shard.output.extend_from_slice(&self.head);
            write!(shard.output, "${}\r\n", key.len()).expect("a Vec takes any write");
            shard.output.extend_from_slice(&key);
            shard.output.extend_from_slice(b"\r\n");
            shard.output.extend_from_slice(&self.tail);
        }
        for shard in &mut self.shards {
            shard.socket.write_all(&shard.output).expect("a node that reads");
        }
        for shard in &mut self.shards {
            shard.receive(self.width);
        }
    }

    /// The cell of an id at `row`; `None` where absent.
    pub(crate) fn cell(&self, row: usize, feature: usize) -> Option<&[u8]> {
        let found = self.shards.iter().find_map(|shard| Some((shard, shard.rows.binary_search(&row).ok()?)));
        let (shard, row) = found.expect("every row is on a shard");
        let (start, len) = shard.cells[row * self.width + feature];
        (len != usize::MAX).then(|| &shard.input[start..start + len])
    }
}

impl FloorShard {
    fn receive(&mut self, width: usize) {
        self.cells.clear();
        let wanted = self.rows.len() * width;
        let (mut have, mut at) = (0, 0);
        while self.cells.len() < wanted {
            if self.input.len() < have + READ_BYTES {
                self.input.resize(have + READ_BYTES, 0);
            }
            let read = self.socket.read(&mut self.input[have..]).expect("a node that answers");
            assert!(read > 0, "a node hung up");
            have += read;
            at = scan(&self.input[..have], at, &mut self.cells, wanted);
        }
    }
}

/// Scans whole lines and values, for as far as they have come; brings the first byte that was not taken.
fn scan(bytes: &[u8], mut at: usize, cells: &mut Vec<(usize, usize)>, wanted: usize) -> usize {
    while cells.len() < wanted {
        let Some(line) = bytes[at..].iter().position(|byte| *byte == b'\n') else { break };
        let (kind, digits) = (bytes[at], &bytes[at + 1..at + line - 1]);
        let start = at + line + 1;
        let number =
            digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit.wrapping_sub(b'0')));
        match kind {
            b'*' => at = start,
            b'$' if digits == b"-1" => {
                cells.push((0, usize::MAX));
                at = start;
            }
            b'$' if start + number + 2 <= bytes.len() => {
                cells.push((start, number));
                at = start + number + 2;
            }
            b'$' => break,
            kind => assert_eq!(kind, b'$', "not an answer to HMGET"),
        }
    }
    at
}
