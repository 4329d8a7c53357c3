//! `cargo xtask demo`: three hosts, a real DICOM archive, and who may talk to it. A story whose claims are checked.

mod scene;
mod teller;

use std::fs;
use std::io::Write;
use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::lab::{self, Daemon, Finished, Host, Lab, Process};
use crate::{build, setup};
use scene::{IMAGE, PATIENT, PORT, policy};
use teller::Teller;

/// Sets up, builds, tells. Whatever happens, nothing of it stays on the machine.
pub(crate) fn run() -> Result<()> {
    ensure!(
        lab::is_root(),
        "the demo loads a program into the kernel and makes network namespaces: run it as root"
    );
    setup::run(false)?;
    let binary = build::run()?;
    let teller = Teller::new()?;
    // The lab cleans up when this ends, by an error and by Ctrl-C too: every command has a deadline, and after each
    // one the teller looks whether somebody wants to leave.
    let mut lab = Lab::new()?;
    let story = Story::open(&mut lab, &teller)?;
    story.without_guard()?;
    let mut daemon = story.guard(&binary)?;
    story.modality_works()?;
    story.stranger_is_refused()?;
    story.drops_are_seen(&daemon)?;
    story.policy_changes(&daemon)?;
    story.daemon_dies(&mut daemon)?;
    teller.end();
    Ok(())
}

/// Answers every connection as an SSH server would begin, until it is killed.
pub(crate) fn greet(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).context("cannot listen")?;
    for peer in listener.incoming() {
        // A peer that hangs up early is no reason to stop.
        let _ = peer.and_then(|mut peer| peer.write_all(b"SSH-2.0-demo\r\n"));
    }
    Ok(())
}

/// The hosts, and what runs on the archive.
struct Story<'a> {
    teller: &'a Teller,
    pacs: Host,
    modality: Host,
    stranger: Host,
    _servers: [Process; 2],
}

impl<'a> Story<'a> {
    fn open(lab: &mut Lab, teller: &'a Teller) -> Result<Self> {
        teller.chapter("A hospital in one machine");
        let (pacs, modality, stranger) = (lab.host("pacs")?, lab.host("modality")?, lab.host("stranger")?);
        teller.say("Three hosts on one switch, each a network namespace:");
        teller.say(&format!(
            "  pacs      {}   an image archive (DCMTK's storescp) on port {PORT}",
            pacs.addr4()
        ));
        teller.say(&format!("  modality  {}   a CT scanner that sends its images there", modality.addr4()));
        teller.say(&format!("  stranger  {}   has no business with it", stranger.addr4()));
        fs::create_dir_all(pacs.dir().join("received"))?;
        let mut archive = pacs.command("storescp");
        archive.args(["-aet", "PACS", "-od", "received", PORT]);
        let mut greeter = pacs.command(std::env::current_exe()?);
        greeter.args(["greet", "22"]);
        teller.prompt(&pacs, &archive, " &");
        let mut servers = [pacs.spawn("storescp", archive)?, pacs.spawn("ssh", greeter)?];
        let [archive, greeter] = &mut servers;
        pacs.wait_listening(scene::port()?, archive)?;
        pacs.wait_listening(22, greeter)?;
        Ok(Self { teller, pacs, modality, stranger, _servers: servers })
    }

    fn without_guard(&self) -> Result<()> {
        self.teller.chapter("Without a guard");
        self.teller.say("Whoever finds the port is served. No password, no trick:");
        let done = self.echo(&self.stranger)?;
        self.teller.claim("the stranger's C-ECHO is answered", done.success())
    }

    fn guard(&self, binary: &Path) -> Result<Daemon> {
        self.teller.chapter("A guard, and its policy");
        self.write_policy(&[("modalities", &self.modality)])?;
        let mut cat = self.pacs.command("cat");
        cat.arg("policy.yaml");
        self.teller.tell(&self.pacs, cat)?;
        let arguments = ["run", "--policy", "policy.yaml"];
        let mut shown = self.pacs.command(binary);
        self.teller.prompt(&self.pacs, shown.args(arguments), " &");
        let daemon = Daemon::start(binary, &self.pacs, "policy.yaml".as_ref(), &[])?;
        self.teller.quote(&daemon.log());
        self.teller.claim("the daemon says that it is ready", true)?;
        Ok(daemon)
    }

    fn modality_works(&self) -> Result<()> {
        self.teller.chapter("The modality works as before");
        let done = self.echo(&self.modality)?;
        self.teller.claim("the modality's C-ECHO is answered", done.success())?;
        fs::write(self.modality.dir().join("image.dump"), IMAGE)?;
        let mut make = self.modality.command("dump2dcm");
        make.args(["+te", "image.dump", "image.dcm"]);
        self.teller.tell(&self.modality, make)?;
        let mut store = self.modality.command("storescu");
        store
            .args(["-v", "-to", "5", "-aec", "PACS"])
            .arg(self.pacs.addr4().to_string())
            .args([PORT, "image.dcm"]);
        let done = self.teller.tell(&self.modality, store)?;
        self.teller.claim("the modality's C-STORE succeeds", done.success())?;
        let mut dump = self.pacs.command("dcmdump");
        dump.args(["+P", "PatientName", "+P", "Modality", "+sd", "received"]);
        let done = self.teller.tell(&self.pacs, dump)?;
        self.teller.claim("the image is in the archive", done.success() && done.stdout.contains(PATIENT))
    }

    fn stranger_is_refused(&self) -> Result<()> {
        self.teller.chapter("The stranger is refused, and only there");
        self.refused("the stranger's C-ECHO gets no answer")?;
        self.teller.say("Everything that is not DICOM is left alone:");
        for address in [self.pacs.addr4().to_string(), self.pacs.addr6().to_string()] {
            let mut ping = self.stranger.command("ping");
            ping.args(["-q", "-c", "1", "-W", "2", &address]);
            let done = self.teller.tell(&self.stranger, ping)?;
            self.teller.claim(&format!("{address} still answers the stranger's ping"), done.success())?;
        }
        let mut ssh = self.stranger.command("timeout");
        ssh.args(["5", "bash", "-c"]).arg(format!("head -n 1 </dev/tcp/{}/22", self.pacs.addr4()));
        let done = self.teller.tell(&self.stranger, ssh)?;
        self.teller.claim("SSH's port still answers the stranger", done.stdout.starts_with("SSH-2.0"))
    }

    fn drops_are_seen(&self, daemon: &Daemon) -> Result<()> {
        self.teller.chapter("Who was refused, and why");
        let source = self.stranger.addr4().to_string();
        // Events reach the daemon a moment after the packet was dropped.
        lab::wait_for("the event of the drop", lab::PATIENCE, || {
            Ok(daemon.ask(&["events", "--recent"])?.stdout.contains(&source))
        })?;
        let done = self.teller.tell(&self.pacs, daemon.cli(&["counters"]))?;
        self.teller
            .claim("the drops are counted under their reason", done.stdout.contains("not-in-segment"))?;
        let done = self.teller.tell(&self.pacs, daemon.cli(&["events", "--recent"]))?;
        let named = done.stdout.contains(&source) && done.stdout.contains("not-in-segment");
        self.teller.claim("an event names the stranger and the reason", named)
    }

    fn policy_changes(&self, daemon: &Daemon) -> Result<()> {
        self.teller.chapter("The policy changes, nothing restarts");
        self.teller
            .say("The stranger turns out to be the new viewer of ward 3. It gets a segment of its own:");
        self.write_policy(&[("modalities", &self.modality), ("viewers", &self.stranger)])?;
        let mut tail = self.pacs.command("tail");
        tail.args(["-n", "3", "policy.yaml"]);
        self.teller.tell(&self.pacs, tail)?;
        let done = self.teller.tell(&self.pacs, daemon.cli(&["reload"]))?;
        self.teller.claim("the new policy is taken", done.success())?;
        let done = self.echo(&self.stranger)?;
        self.teller.claim("the stranger's C-ECHO is answered", done.success())?;
        self.teller.say("And back:");
        self.write_policy(&[("modalities", &self.modality)])?;
        let done = self.teller.tell(&self.pacs, daemon.cli(&["reload"]))?;
        self.teller.claim("the old policy is taken again", done.success())?;
        self.refused("the stranger's C-ECHO gets no answer again")
    }

    fn daemon_dies(&self, daemon: &mut Daemon) -> Result<()> {
        self.teller.chapter("The daemon is killed");
        let mut kill = self.pacs.command("kill");
        kill.arg("-9").arg(daemon.process().id().to_string());
        let done = self.teller.tell(&self.pacs, kill)?;
        self.teller.claim("kill -9 reaches the daemon", done.success())?;
        daemon.process().wait()?;
        let done = self.echo(&self.modality)?;
        self.teller.claim("the modality's C-ECHO is still answered", done.success())?;
        self.refused("the stranger's C-ECHO still gets no answer")?;
        let done = self.teller.tell(&self.pacs, daemon.cli(&["status"]))?;
        self.teller
            .claim("the status says that the daemon is not running", done.text().contains("not running"))
    }

    /// A C-ECHO from `host`, given up after two seconds.
    fn echo(&self, host: &Host) -> Result<Finished> {
        let mut echo = host.command("echoscu");
        echo.args(["-v", "-to", "2", "-aec", "PACS"]).arg(self.pacs.addr4().to_string()).arg(PORT);
        self.teller.tell(host, echo)
    }

    fn refused(&self, claim: &str) -> Result<()> {
        let done = self.echo(&self.stranger)?;
        self.teller.claim(claim, !done.success() && done.text().contains("Timeout"))
    }

    fn write_policy(&self, segments: &[(&str, &Host)]) -> Result<()> {
        // Renamed into place, as an editor does: nobody ever reads half a policy.
        let (draft, policy_file) = (self.pacs.dir().join("policy.new"), self.pacs.dir().join("policy.yaml"));
        fs::write(&draft, policy(segments))?;
        Ok(fs::rename(draft, policy_file)?)
    }
}
