//! What a policy change costs: compiled, written, read back and in force.

use std::{path::Path, time::Instant};

use anyhow::{Result, anyhow};
use pacs_guard::{
    datapath::Trial,
    image::{Card, Ledger, compile},
    policy,
};

use crate::policy::text;

/// Prints the times of each step, the median of some changes of one prefix included.
pub(crate) fn run(sizes: &[u64]) -> Result<()> {
    println!("prefixes  KiB in the kernel    read  compile  put in force  one prefix more (median of 5)");
    for count in sizes {
        let mut ledger = Ledger::default();
        let mut once = |prefixes: u64, generation: u64| -> Result<_> {
            let text = text(prefixes.div_ceil(2), prefixes / 2);
            let start = Instant::now();
            let checked = policy::parse(Path::new("bench.yaml"), text).map_err(|why| anyhow!("{why}"))?;
            let read = start.elapsed();
            let start = Instant::now();
            let card = Card::new(&checked, jiff::Timestamp::UNIX_EPOCH, None);
            let image = compile(&checked.policy, &mut ledger, generation, &card)?;
            Ok((image, ledger.clone(), read, start.elapsed()))
        };
        let (image, known, read, compiled) = once(*count, 1)?;
        let mut trial = Trial::new(&image, known)?;
        let (image, known, ..) = once(*count, 2)?;
        let start = Instant::now();
        trial.swap(&image, known)?;
        let put = start.elapsed();
        let mut changes = Vec::new();
        for change in 1..=5 {
            let (image, known, _, compiled) = once(count + change, 2 + change)?;
            let start = Instant::now();
            trial.swap(&image, known)?;
            changes.push(compiled + start.elapsed());
        }
        changes.sort_unstable();
        let seconds = |time: std::time::Duration| format!("{:.3} s", time.as_secs_f64());
        println!(
            "{count:>8} {:>18} {:>8} {:>8} {:>13} {:>30}",
            image.bytes() / 1024,
            seconds(read),
            seconds(compiled),
            seconds(put),
            seconds(changes[2])
        );
    }
    Ok(())
}
