//! The wire: two hosts joined by a veth pair, and a generator that floods it from one thread.

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader, TestRun, TestRunOptions,
    maps::{Array, PerCpuArray},
    programs::{TestRunAttrs, Xdp, XdpMode, xdp::XdpLinkId},
};
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, setns},
    unistd::Pid,
};

use crate::{
    build::{IPV4, MACS, SYN, TCP, V4, ethernet, tcp},
    lab::{Host, Lab},
    load::{FROM4, TO4},
    rig::OBJECT,
};

/// Its name at both ends.
pub(crate) const WIRE: &str = "wire0";
/// Frames that the kernel runs at once; larger batches lose some.
const BATCH: u32 = 64;
/// The shortest frame on a wire, with its checksum.
const FRAME: usize = 64;

pub(crate) struct Wire {
    pub(crate) sender: Host,
    pub(crate) receiver: Host,
    ebpf: Ebpf,
    outcomes: PerCpuArray<aya::maps::MapData, [u64; 4]>,
    _lab: Lab,
}

/// What floods; a thread may hold it while others go on.
#[derive(Clone, Copy)]
pub(crate) struct Generator<'a> {
    program: &'a Xdp,
    sender: &'a Host,
}

impl Wire {
    pub(crate) fn new() -> Result<Self> {
        let mut lab = Lab::new()?;
        let (sender, receiver) = (lab.host("sender")?, lab.host("receiver")?);
        let (from, to) = (sender.netns(), receiver.netns());
        // Two queues, as a card spreads flows: sockets use the first, and the generator that of its own processor, the
        // last. With one, what an XDP program at the end costs would be hidden by a queue that the flood keeps full.
        crate::lab::ip(&format!(
            "-n {from} link add {WIRE} numtxqueues 1 type veth peer name {WIRE} netns {to} numtxqueues 1 numrxqueues 2"
        ))?;
        for (host, mac, address) in [(&receiver, MACS[0], TO4), (&sender, MACS[1], FROM4)] {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            // Every source is to be heard, and nothing but the bench to speak.
            host.sh(&format!(
                "for f in all {WIRE}; do echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; done
                 echo 1 >/proc/sys/net/ipv6/conf/{WIRE}/disable_ipv6
                 ip link set {WIRE} address {mac} up
                 ip address add {address}/24 dev {WIRE}
                 ip route add default dev {WIRE}"
            ))?;
        }
        let mut ebpf = EbpfLoader::new().load(OBJECT)?;
        for name in ["flood", "bare", "bare_sieve", "empty_frags"] {
            let program: &mut Xdp = ebpf.program_mut(name).context(name)?.try_into()?;
            program.load()?;
        }
        let outcomes = ebpf.take_map("OUTCOMES").context("OUTCOMES")?.try_into()?;
        let mut flood: Array<_, [u64; 2]> = ebpf.take_map("FLOOD").context("FLOOD")?.try_into()?;
        let interface = on(&sender, || Ok(if_nametoindex(WIRE)?))?;
        flood.set(0, [u64::from(interface), header_sum(&frame())], 0)?;
        let mut wire = Self { sender, receiver, ebpf, outcomes, _lab: lab };
        // Without a program of its own, the sender's end takes no redirected frames.
        wire.attach("empty_frags", &wire.sender.clone())?;
        Ok(wire)
    }

    /// Puts a program of the bench on a host's end.
    pub(crate) fn attach(&mut self, name: &'static str, host: &Host) -> Result<XdpLinkId> {
        let program: &mut Xdp = self.ebpf.program_mut(name).context(name)?.try_into()?;
        on(host, || Ok(program.attach(WIRE, XdpMode::Driver)?))
    }

    /// Takes it off again.
    pub(crate) fn detach(&mut self, name: &'static str, link: XdpLinkId) -> Result<()> {
        let program: &mut Xdp = self.ebpf.program_mut(name).context(name)?.try_into()?;
        Ok(program.detach(link)?)
    }

    /// Packets that the bench's own programs dropped so far.
    pub(crate) fn dropped(&self) -> Result<u64> {
        Ok(self.outcomes.get(&0, 0)?.iter().map(|cpu| cpu[2]).sum())
    }

    pub(crate) fn generator(&self) -> Result<Generator<'_>> {
        let program = self.ebpf.program("flood").context("flood")?.try_into()?;
        Ok(Generator { program, sender: &self.sender })
    }
}

impl Generator<'_> {
    /// Sends so many packets at a time for as long as it is told to; returns when the other end has done with all but
    /// the last batch. How many times, and how long that took.
    pub(crate) fn send(self, packets: u32, mut more: impl FnMut() -> bool + Send) -> Result<(u32, Duration)> {
        on(self.sender, || {
            // One processor carries all of it: the receiving end runs where the frames come from.
            let own = sched_getaffinity(Pid::from_raw(0))?;
            let last = (0..CpuSet::count()).rev().find(|cpu| own.is_set(*cpu).unwrap_or(false));
            let mut one = CpuSet::new();
            one.set(last.unwrap_or(0))?;
            sched_setaffinity(Pid::from_raw(0), &one)?;
            let frame = frame();
            let (mut times, start) = (0, Instant::now());
            loop {
                self.program.test_run(TestRunOptions {
                    data_in: Some(&frame),
                    repeat: packets,
                    attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                    ..TestRunOptions::new()
                })?;
                times += 1;
                if !more() {
                    return Ok((times, start.elapsed()));
                }
            }
        })
    }
}

/// Works in a thread that lives in the host's namespace.
pub(crate) fn on<T: Send>(host: &Host, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let namespace = File::open(format!("/run/netns/{}", host.netns()))?;
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            work()
        });
        worker.join().map_err(|_| anyhow!("a thread of the bench ended early"))?
    })
}

/// A SYN to the protected port.
fn frame() -> Vec<u8> {
    let segment = tcp(FROM4.into(), TO4.into(), 104, SYN);
    let mut frame = ethernet(&[], IPV4, &V4::new(FROM4, TO4, TCP).packet(&segment));
    frame.resize(FRAME, 0);
    frame
}

/// The sum of the IPv4 header's words but those of checksum and source.
fn header_sum(frame: &[u8]) -> u64 {
    let words = frame.iter().skip(14).take(20).collect::<Vec<_>>();
    let words = words.chunks(2).map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u64::from(**byte)));
    words.enumerate().filter(|(at, _)| !(5..8).contains(at)).map(|(_, word)| word).sum()
}
