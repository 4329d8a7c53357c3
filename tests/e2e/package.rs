//! Both packages in a clean Debian that systemd itself has booted: `cargo xtask package --check` runs this. The RPM goes
//! in by `rpm` itself, with its own database: Debian's packages can't answer for what it requires, hence `--nodeps`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    lab::{self, Finished, PATIENCE, Process, wait_for},
    site::{DICOM, Site, policy},
    wire::{Listener, RawSocket, connects, is_met_with_silence, syn},
};

/// Boots a root folder: new namespaces for all but the network, and systemd as their first process.
const BOOT: &str = r#"
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --rbind /sys "$root/sys"
mount -o remount,bind,ro "$root/sys"
mount -t bpf bpf "$root/sys/fs/bpf"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/run"
umount -R "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd systemd.unified_cgroup_hierarchy=1
"#;

struct Debian {
    // Ends with its last guard: the namespace's first process is killed with this one.
    _unshare: Process,
    first: String,
    cgroup: PathBuf,
}

impl Debian {
    fn boot(site: &Site, root: &Path) -> Self {
        // A group of its own, for what systemd makes must not lie beside the host's.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut cgroups = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let cgroups =
            cgroups.find(|words| words[2] == "cgroup2").expect("no cgroup2 is mounted")[1].to_owned();
        let cgroup = Path::new(&cgroups).join(site.pacs.netns());
        fs::create_dir_all(&cgroup).unwrap();
        let mut command = site.pacs.command("sh");
        let line = format!(
            "echo $$ >{}/cgroup.procs; exec unshare --mount --pid --fork --ipc --uts --cgroup --kill-child sh -ec \"$0\" sh \"$1\"",
            cgroup.display()
        );
        command.args(["-ec", &line, BOOT]).arg(root);
        let unshare = site.pacs.spawn("debian", command).unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let mut first = String::new();
        wait_for("the first process", PATIENCE, || {
            first = fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
            Ok(!first.is_empty())
        })
        .unwrap();
        let this = Self { _unshare: unshare, first, cgroup };
        wait_for("systemd to be up", PATIENCE * 3, || {
            let name = fs::read_to_string(format!("/proc/{}/comm", this.first)).unwrap_or_default();
            Ok(name == "systemd\n" && this.run("systemctl is-system-running").stdout == "running\n")
        })
        .unwrap();
        this
    }

    /// Runs a line of shell in it, to its end.
    fn run(&self, line: &str) -> Finished {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--all", "sh", "-ec", line]);
        lab::run(command, PATIENCE * 3).unwrap()
    }

    fn sh(&self, line: &str) -> String {
        let done = self.run(line);
        assert!(
            done.success(),
            "`{line}`: {}\n{}",
            done.text(),
            self.run("journalctl --no-pager | tail -40").stdout
        );
        done.text()
    }

    /// Packets of strangers that were judged.
    fn refused(&self) -> u64 {
        let text = self.sh("pacs-guard counters --json");
        let counters: serde_json::Value = serde_json::from_str(&text).unwrap();
        let rows = counters["counters"].as_array().unwrap().iter();
        rows.filter(|row| row["reason"] == "not-in-segment").map(|row| row["packets"].as_u64().unwrap()).sum()
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = self._unshare.kill();
        // Empty once the kernel has buried the last process.
        let gone = wait_for("the group to be empty", PATIENCE, || {
            remove_groups(&self.cgroup);
            Ok(!self.cgroup.exists())
        });
        if let Err(why) = gone {
            eprintln!("{why}");
        }
    }
}

fn remove_groups(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

fn from_environment(name: &str) -> PathBuf {
    env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask package --check`")).into()
}

/// How a family of distributions takes a package, upgrades and loses it.
struct Manager {
    /// How its files end.
    ending: &'static str,
    install: &'static str,
    upgrade: &'static str,
    /// Says the version and the revision.
    query: &'static str,
    /// Says nothing where each file is as the package has it.
    verify: &'static str,
    remove: &'static str,
    /// Takes what removing leaves.
    purge: &'static str,
}

const DPKG: Manager = Manager {
    ending: "deb",
    install: "dpkg --install /root/first.deb",
    upgrade: "dpkg --install /root/second.deb",
    query: "dpkg-query --showformat '${Version}' --show pacs-guard",
    verify: "dpkg --verify pacs-guard",
    remove: "dpkg --remove pacs-guard",
    purge: "dpkg --purge pacs-guard",
};

const RPM: Manager = Manager {
    ending: "rpm",
    install: "rpm --dbpath /var/lib/rpm --install --nodeps /root/first.rpm",
    upgrade: "rpm --dbpath /var/lib/rpm --upgrade --nodeps /root/second.rpm",
    query: "rpm --dbpath /var/lib/rpm --query --queryformat '%{VERSION}-%{RELEASE}' pacs-guard",
    verify: "rpm --dbpath /var/lib/rpm --verify --nodeps pacs-guard",
    remove: "rpm --dbpath /var/lib/rpm --erase pacs-guard",
    // An RPM has no word for it.
    purge: "rm -rf /etc/pacs-guard /var/lib/pacs-guard",
};

#[test]
#[ignore = "needs packages and a clean Debian: `cargo xtask package --check`"]
fn package_for_debian_is_installed_run_upgraded_removed_and_purged() {
    live(&DPKG);
}

#[test]
#[ignore = "needs packages and a clean Debian: `cargo xtask package --check`"]
fn package_for_rpm_is_installed_run_upgraded_and_erased() {
    live(&RPM);
}

fn live(manager: &Manager) {
    let site = Site::new();
    let root = site.pacs.dir().join("root");
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--reflink=auto"]).arg(from_environment("PACS_GUARD_DEBIAN")).arg(&root);
    assert!(lab::run(copy, PATIENCE * 6).unwrap().success());
    let packages = from_environment("PACS_GUARD_PACKAGES");
    for which in ["first", "second"] {
        let name = format!("{which}.{}", manager.ending);
        fs::copy(packages.join(&name), root.join("root").join(name)).unwrap();
    }

    // As an image is made: where no systemd runs.
    for line in [manager.install, manager.verify, manager.remove, manager.purge] {
        let mut command = Command::new("chroot");
        command.arg(&root).args(["sh", "-ec", line]);
        let done = lab::run(command, PATIENCE * 3).unwrap();
        assert!(done.success(), "`{line}` in an image: {}", done.text());
    }
    let debian = Debian::boot(&site, &root);

    // Installed: it says what comes next, and does nothing.
    let words = debian.sh(manager.install);
    assert!(
        words.contains("nothing is enabled or refused") && words.contains("pacs-guard doctor"),
        "{words}"
    );
    assert_eq!(debian.sh(manager.verify), "");
    assert_eq!(debian.run("systemctl is-enabled pacs-guard").stdout, "disabled\n");
    assert_eq!(debian.run("systemctl is-active pacs-guard").stdout, "inactive\n");
    assert_eq!(debian.run("pacs-guard status").status.code(), Some(4));
    debian.sh("pacs-guard check /usr/share/doc/pacs-guard/examples/policies/*.yaml");
    debian.sh("getent passwd pacs-guard; stat -c '%a %U %G' /etc/pacs-guard | grep '750 root pacs-guard'");

    // Run, by the unit.
    let _archive = Listener::open(&site.pacs, DICOM);
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    fs::write(root.join("etc/pacs-guard/policy.yaml"), policy("enforce", &[&site.modality])).unwrap();
    debian.sh("chmod 644 /etc/pacs-guard/policy.yaml; systemctl enable --now pacs-guard pacs-guard-early");
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    assert!(debian.sh("pacs-guard check-nagios").starts_with("PACS-GUARD OK"));
    let who = debian.sh("stat -c %U /proc/$(systemctl show -P MainPID pacs-guard)");
    assert_eq!(who.trim(), "pacs-guard");
    let capabilities = debian.sh("grep CapEff /proc/$(systemctl show -P MainPID pacs-guard)/status");
    // CAP_NET_ADMIN is 12, CAP_PERFMON 38, CAP_BPF 39.
    let three: u64 = 1 << 12 | 1 << 38 | 1 << 39;
    assert_eq!(capabilities.split_whitespace().last().unwrap(), format!("{three:016x}"));

    // A reload is synchronous, and fails where the old policy stays.
    debian.sh("systemctl reload pacs-guard; pacs-guard status | grep 'generation 2'");
    fs::write(root.join("etc/pacs-guard/policy.yaml"), "version: 1\n").unwrap();
    assert!(!debian.run("systemctl reload pacs-guard").success());
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    fs::write(root.join("etc/pacs-guard/policy.yaml"), policy("enforce", &[&site.modality])).unwrap();
    debian.sh("systemctl reload pacs-guard");

    // Upgraded while a stranger sends: each frame is judged.
    let (pacs, stranger) = (RawSocket::open(&site.pacs), RawSocket::open(&site.stranger));
    let frame =
        syn(stranger.mac(), pacs.mac(), site.stranger.addr4().into(), site.pacs.addr4().into(), DICOM);
    let before = debian.refused();
    let pid = debian.sh("systemctl show -P MainPID pacs-guard");
    let (upgrading, sent) = (AtomicBool::new(true), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // In step with the counter, for a veth holds few frames for a busy reader.
            while upgrading.load(Ordering::SeqCst) {
                (0..20).for_each(|_| stranger.send(&frame));
                let all = before + sent.fetch_add(20, Ordering::SeqCst) + 20;
                wait_for("the frames to be counted", PATIENCE, || Ok(debian.refused() == all)).unwrap();
            }
        });
        let words = debian.sh(manager.upgrade);
        assert!(!words.contains("What comes next"), "{words}");
        upgrading.store(false, Ordering::SeqCst);
    });
    let sent = sent.into_inner();
    assert!(sent >= 20);
    assert_eq!(debian.refused(), before + sent, "a frame went unjudged");
    assert_ne!(debian.sh("systemctl show -P MainPID pacs-guard"), pid, "the old daemon runs on");
    assert!(debian.sh("journalctl -u pacs-guard --no-pager").contains("adopted without a gap"));
    assert_eq!(debian.sh(manager.query), concat!(env!("CARGO_PKG_VERSION"), "-2"));
    assert_eq!(debian.sh(manager.verify), "");
    println!("upgraded under {sent} frames of a stranger, each of them counted");

    // As after a boot: nothing pinned, then the early unit, then the daemon.
    debian.sh("systemctl stop pacs-guard pacs-guard-early; pacs-guard detach");
    connects(&site.stranger, site.pacs.addr4(), DICOM);
    debian.sh("systemctl start pacs-guard-early");
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    debian.sh("systemctl start pacs-guard; systemctl is-active pacs-guard-early");
    assert!(debian.sh("pacs-guard check-nagios").starts_with("PACS-GUARD OK"));

    // Root ran it by hand in between, with another policy: the unit takes over what that left.
    let other = policy("enforce", &[&site.modality]) + "# another one\n";
    fs::write(root.join("etc/pacs-guard/policy.yaml"), other).unwrap();
    debian.sh("systemctl stop pacs-guard; pacs-guard run & daemon=$!; \
         until pacs-guard status | grep -q 'running, process'; do kill -0 $daemon; done; kill $daemon; wait $daemon; \
         systemctl start pacs-guard");
    assert!(debian.sh("pacs-guard check-nagios").starts_with("PACS-GUARD OK"));

    // A loop that hangs is ended by the watchdog, and the next daemon adopts.
    let pid = debian.sh("systemctl show -P MainPID pacs-guard").trim().to_owned();
    debian.sh("mkdir -p /run/systemd/system/pacs-guard.service.d; printf '[Service]\\nWatchdogSec=2\\nRestartSec=0\\n' >/run/systemd/system/pacs-guard.service.d/quick.conf; systemctl daemon-reload; systemctl restart pacs-guard");
    let hung = debian.sh("systemctl show -P MainPID pacs-guard").trim().to_owned();
    assert_ne!(pid, hung);
    debian.sh(&format!("kill -STOP {hung}"));
    wait_for("another daemon", PATIENCE * 3, || {
        assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
        let now = debian.run("systemctl show -P MainPID pacs-guard").stdout.trim().to_owned();
        Ok(now != hung && now != "0" && debian.run("systemctl is-active pacs-guard").success())
    })
    .unwrap();

    // Removed: enforcement stays, and that is said.
    let words = debian.sh(manager.remove);
    assert!(words.contains("STAYS IN FORCE") && words.contains("rm -r /sys/fs/bpf/pacs-guard"), "{words}");
    assert!(debian.run("ls -l /proc/[0-9]*/exe | grep bin/pacs-guard").stdout.is_empty());
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));
    assert!(root.join("etc/pacs-guard/policy.yaml").exists());
    debian.sh("rm -r /sys/fs/bpf/pacs-guard");
    connects(&site.stranger, site.pacs.addr4(), DICOM);

    // Purged: nothing of it is left.
    debian.sh(manager.purge);
    let left = debian.sh("find / -xdev -name '*pacs-guard*' -not -path '/proc/*' -not -path '/root/*' -not -path '/var/lib/dpkg/*'");
    let left: Vec<&str> =
        left.lines().filter(|line| !line.contains("/var/log/") && !line.contains("/run/")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(debian.sh("systemctl --failed --no-legend"), "");
}
