//! The doctor, on real namespaces: what it finds, and that the line it gives to paste ends it.

use std::path::Path;

use serde_json::Value;

use crate::{
    lab::{self, PATIENCE, Process},
    site::{BINARY, DICOM, Site, policy},
    wire::Listener,
};

/// An archive that listens, with a policy in order, and no setting of this machine left in its namespace.
fn archive() -> (Site, Listener) {
    let site = Site::new();
    site.pacs
        .sh("echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding")
        .unwrap();
    site.pacs.sh("for f in /proc/sys/net/ipv4/conf/*/accept_source_route; do echo 0 >$f; done").unwrap();
    site.write(&policy("enforce", &[&site.modality]));
    let listener = Listener::open(&site.pacs, DICOM);
    (site, listener)
}

/// The exit code and the findings that ask for something.
fn doctor(site: &Site) -> (Option<i32>, Vec<Value>) {
    let done = site.ask(&["doctor", "--policy", "policy.yaml", "--json"]);
    let report: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.text()));
    assert_eq!(report["schema"], "pacs-guard/doctor/1");
    assert_eq!(report["would_enforce"], done.status.code() != Some(4));
    let asks = |finding: &&Value| finding["severity"] == "warn" || finding["severity"] == "fail";
    let findings = report["findings"].as_array().unwrap();
    (done.status.code(), findings.iter().filter(asks).cloned().collect())
}

/// The doctor finds this one thing; its text and its line to paste.
fn only(site: &Site, code: i32, id: &str) -> (String, String) {
    let (exit, findings) = doctor(site);
    let ids: Vec<&Value> = findings.iter().map(|finding| &finding["id"]).collect();
    assert_eq!((exit, ids.as_slice()), (Some(code), &[&Value::from(id)][..]), "{findings:#?}");
    let text = |key: &str| findings[0][key].as_str().unwrap_or_default().to_owned();
    (text("what"), text("fix"))
}

fn assert_nothing_to_do(site: &Site) {
    let (exit, findings) = doctor(site);
    assert_eq!((exit, findings.as_slice()), (Some(0), &[][..]), "{findings:#?}");
}

fn storescp(site: &Site, port: u16) -> Process {
    let mut command = site.pacs.command("storescp");
    command.args(["--ignore", &port.to_string()]);
    let mut process = site.pacs.spawn("storescp", command).unwrap();
    site.pacs.wait_listening(port, &mut process).unwrap();
    process
}

#[test]
fn a_host_in_good_order_has_nothing_to_do() {
    let (site, _listener) = archive();
    assert_nothing_to_do(&site);
    let _daemon = site.start(&[]);
    assert_nothing_to_do(&site);
    let done = site.ask(&["doctor", "--policy", "policy.yaml"]);
    for words in [
        "kernel\n",
        "takes the XDP program",
        "eth0: up, Ethernet, native XDP",
        "under guard",
        "nothing to do",
    ] {
        assert!(done.stdout.contains(words), "no {words:?} in:\n{}", done.stdout);
    }
    assert!(!site.status()["uncovered_interfaces"].as_array().unwrap().iter().any(|_| true));
}

#[test]
fn a_protected_port_that_is_given_out_is_found() {
    let (site, _listener) = archive();
    site.pacs.sh("echo 10000 20000 >/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    site.pacs.sh("echo 12000 >/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap();
    let (_, fix) = only(&site, 4, "port-in-local-range");
    assert_eq!(fix, format!("sysctl -w net.ipv4.ip_local_reserved_ports={DICOM},12000"));
    site.pacs.sh(&fix).unwrap();
    assert_nothing_to_do(&site);
}

#[test]
fn a_dicom_service_outside_the_policy_is_found() {
    let (site, _listener) = archive();
    let _storescp = storescp(&site, 4006);
    let (what, fix) = only(&site, 1, "dicom-listener-unprotected");
    assert_eq!(what, "storescp listens on 4006, and no service names it");
    assert_eq!(fix, "services: { dicom-4006: { ports: [4006] } }");
}

#[test]
fn a_second_interface_is_found_by_doctor_run_and_status() {
    let (site, _listener) = archive();
    site.pacs
        .sh("ip link add eth1 type veth peer name eth2; ip address add 10.5.0.1/24 dev eth1; ip link set eth1 up")
        .unwrap();
    let (what, fix) = only(&site, 1, "uncovered-interface");
    assert!(what.starts_with(&format!("eth1: port {DICOM} answers there")), "{what}");
    assert_eq!(fix, "interfaces: [eth0, eth1]");

    let daemon = site.start(&[]);
    assert!(daemon.log().contains(&format!("eth1: port {DICOM} answers there")), "{}", daemon.log());
    let uncovered = &site.status()["uncovered_interfaces"];
    assert_eq!(uncovered[0]["name"], "eth1");
    assert_eq!(uncovered[0]["reachable_ports"][0], DICOM);

    site.write(&policy("enforce", &[&site.modality]).replace("interfaces: [eth0]", &fix));
    assert!(site.ask(&["reload"]).success());
    assert_nothing_to_do(&site);
    assert_eq!(site.status()["uncovered_interfaces"].as_array().unwrap().len(), 0);
}

#[test]
fn a_tunnel_is_found() {
    let (site, _listener) = archive();
    site.pacs
        .sh("ip tuntap add tun0 mode tun; ip address add 10.6.0.1/24 dev tun0; ip link set tun0 up")
        .unwrap();
    let (what, fix) = only(&site, 1, "tunnel-ends-here");
    assert!(what.contains("tun0"), "{what}");
    // The line is one that nft takes.
    site.pacs.sh(&fix).unwrap();
    assert!(site.pacs.sh("nft list ruleset").unwrap().contains("iifname \"tun0\""));
}

#[test]
fn a_program_of_somebody_else_is_found() {
    let (site, _listener) = archive();
    let mut other = site.pacs.command("unshare");
    other.args(["--mount", "sh", "-ec"]).arg(
        "mount -t bpf bpf /sys/fs/bpf
         ip link set dev eth0 xdp obj /usr/lib/*/bpf/xdpfilt_alw_udp.o sec xdp",
    );
    let done = lab::run(other, PATIENCE).unwrap();
    assert!(done.success(), "{}", done.text());
    let (what, fix) = only(&site, 4, "other-xdp-program");
    assert!(what.contains("`xdpfilt_alw_udp`"), "{what}");
    site.pacs.sh(&fix).unwrap();
    assert_nothing_to_do(&site);
}

#[test]
fn a_redirect_to_a_protected_port_is_found() {
    let (site, _listener) = archive();
    let rule = format!(
        "nft 'add table ip nat; add chain ip nat pre {{ type nat hook prerouting priority -100; }}; \
         add rule ip nat pre tcp dport 1104 redirect to :{DICOM}'"
    );
    site.pacs.sh(&rule).unwrap();
    let (what, fix) = only(&site, 1, "translated-port");
    assert_eq!(what, format!("nft ip nat pre: redirect leads port 1104 to the protected port {DICOM}"));
    assert_eq!(fix, format!("services: {{ dicom: {{ ports: [{DICOM}, 1104] }} }}"));
    // With the first port protected too, the guard judges what comes by it.
    let ports = format!("ports: [{DICOM}]");
    let more = format!("ports: [{DICOM}, 1104]");
    site.write(&policy("enforce", &[&site.modality]).replace(&ports, &more));
    assert_nothing_to_do(&site);
}

#[test]
fn ipv6_without_sources_is_found() {
    let (site, _listener) = archive();
    let six = format!(", \"{}\"", site.modality.addr6());
    let text = policy("enforce", &[&site.modality]);
    assert!(text.contains(&six));
    site.write(&text.replace(&six, ""));
    only(&site, 1, "ipv6-without-sources");
}

#[test]
fn forwarding_is_found() {
    let (site, _listener) = archive();
    site.pacs.sh("echo 1 >/proc/sys/net/ipv4/ip_forward").unwrap();
    let (_, fix) = only(&site, 1, "forwards-packets");
    site.pacs.sh(&fix).unwrap();
    assert_nothing_to_do(&site);
}

#[test]
fn an_interface_that_is_not_there_is_found() {
    let (site, _listener) = archive();
    site.write(&policy("enforce", &[&site.modality]).replace("[eth0]", "[eth0, eth7]"));
    only(&site, 4, "interface-missing");
}

#[test]
fn without_a_policy_it_looks_at_what_it_can() {
    let (site, _listener) = archive();
    std::fs::remove_file(site.policy()).unwrap();
    let _storescp = storescp(&site, 4006);
    let (exit, findings) = doctor(&site);
    let ids: Vec<&str> = findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect();
    assert_eq!(exit, Some(4));
    assert_eq!(
        ids,
        ["no-policy", "dicom-listener-unprotected", "dicom-listener-unprotected"],
        "{findings:#?}"
    );
}

#[test]
fn without_capabilities_it_says_what_is_missing() {
    let (site, _listener) = archive();
    let mut command = lab::cli(Path::new("setpriv"), &site.pacs);
    command.args(["--bounding-set=-all", "--inh-caps=-all", BINARY, "doctor", "--policy", "policy.yaml"]);
    let done = lab::run(command, PATIENCE).unwrap();
    assert_eq!(done.status.code(), Some(4), "{}", done.text());
    for words in ["missing: CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON", "nft: "] {
        assert!(done.stdout.contains(words), "no {words:?} in:\n{}", done.stdout);
    }
}
