//! `slotwise slots`: where ids lie, and how a list spreads over the shards.

use std::io::{BufWriter, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::ingest::{IdsFormat, IdsReader};
use crate::model::EntityId;
use crate::slot::{KeyLayout, KeySet, Plan, Slot, Topology};

use super::common::{Common, UsageError};

const EXAMPLES: &str = "\
Examples:
  slotwise slots u0001 u0002              id, key, slot and shard of each
  slotwise slots --ids ids.txt            how a list spreads over the shards
  slotwise slots                          the shards and the slots they own";

/// Ids of a list that are planned together.
const WINDOW_IDS: usize = 100_000;

/// Arguments of `slotwise slots`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SlotsArgs {
    /// Ids to locate
    #[arg(value_name = "ID")]
    located: Vec<String>,
    /// A list of ids, one a line; - is standard input
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// How the list is written: lines, or json (one JSON string a line)
    #[arg(long, default_value_t = IdsFormat::Lines)]
    ids_format: IdsFormat,
}

/// Runs the command.
pub(super) async fn run(common: &Common, args: SlotsArgs) -> anyhow::Result<ExitCode> {
    let parse = |(number, text): (usize, &String)| {
        EntityId::new(text.as_str()).map_err(|error| UsageError(format!("ID {}: {error}", number + 1)))
    };
    let located = args.located.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    let store = common.store().await?;
    let (layout, topology) = (store.layout(), store.topology());
    let mut out = BufWriter::new(stdout().lock());
    if located.is_empty() && args.ids.is_none() {
        shards(&mut out, &topology)?;
    }
    if !located.is_empty() {
        writeln!(out, "id\tkey\tslot\tshard")?;
        for id in &located {
            locate(&mut out, id, &layout, &topology)?;
        }
    }
    if let Some(file) = &args.ids {
        let chunk_keys_max = store.limits().pipeline_commands_max;
        spread(&mut out, &mut IdsReader::open(file, args.ids_format)?, &layout, &topology, chunk_keys_max)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn shards(out: &mut impl Write, topology: &Topology) -> std::io::Result<()> {
    writeln!(out, "shard\tslots\tranges\treplicas")?;
    for shard in topology.shards() {
        let ranges: Vec<String> =
            shard.ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let replicas: Vec<String> = shard.replicas.iter().map(ToString::to_string).collect();
        let replicas = if replicas.is_empty() { "-".to_owned() } else { replicas.join(",") };
        writeln!(out, "{}\t{}\t{}\t{replicas}", shard.primary, shard.slot_count(), ranges.join(","))?;
    }
    Ok(())
}

fn locate(
    out: &mut impl Write,
    id: &EntityId,
    layout: &KeyLayout,
    topology: &Topology,
) -> anyhow::Result<()> {
    let key = layout.key(id).map_err(|error| UsageError(error.to_string()))?;
    let slot = Slot::for_key(&key);
    let shard = topology.shard_of(slot).map_or_else(|| "none".to_owned(), |shard| shard.primary.to_string());
    // Tabs and line breaks in ids would break the table.
    writeln!(
        out,
        "{}\t{}\t{slot}\t{shard}",
        id.escape_debug(),
        String::from_utf8_lossy(&key).escape_debug()
    )?;
    Ok(())
}

fn spread(
    out: &mut impl Write,
    ids: &mut IdsReader,
    layout: &KeyLayout,
    topology: &Topology,
    chunk_keys_max: usize,
) -> anyhow::Result<()> {
    let mut keys_of_shard = vec![0usize; topology.shards().len()];
    let (mut total, mut distinct, mut uncovered) = (0usize, 0usize, 0usize);
    while let Some(window) = ids.next_window(WINDOW_IDS)? {
        let keys = KeySet::new(&window, layout).map_err(|error| UsageError(error.to_string()))?;
        let plan = Plan::new(&keys, keys.numbers(), topology, chunk_keys_max);
        total += window.len();
        distinct += keys.len();
        uncovered += plan.uncovered.len();
        for chunk in plan.chunks {
            keys_of_shard[chunk.shard.index()] += chunk.keys.len();
        }
    }
    writeln!(out, "shard\tkeys\tshare\tslots")?;
    for (shard, keys) in topology.shards().iter().zip(keys_of_shard) {
        let share = 1000 * keys / distinct.max(1);
        writeln!(out, "{}\t{keys}\t{}.{}%\t{}", shard.primary, share / 10, share % 10, shard.slot_count())?;
    }
    if uncovered > 0 {
        writeln!(out, "no shard\t{uncovered}\t-\t-")?;
    }
    writeln!(std::io::stderr(), "{total} ids; {distinct} keys, where {WINDOW_IDS} ids are read at a time")?;
    Ok(())
}
