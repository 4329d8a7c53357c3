//! A real Prometheus scrapes a real daemon: rules, dashboard and runbook against what it finds.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::{
    lab::{self, PATIENCE, wait_for},
    metrics::PORT,
    site::{DICOM, Site, policy},
    wire::{connects, is_met_with_silence},
};

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// Every rule, from the file as Prometheus reads it.
fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&read("packaging/prometheus/pacs-guard.rules.yml")).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn alerts() -> BTreeSet<String> {
    rules().iter().filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect()
}

fn promtool(args: &[&str]) -> lab::Finished {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(repository("packaging/prometheus"));
    lab::run(command, PATIENCE).expect("promtool is missing: `cargo xtask setup` installs it")
}

#[test]
fn each_alert_fires_and_is_silent_where_it_should() {
    let done = promtool(&["check", "rules", "--lint-fatal", "pacs-guard.rules.yml"]);
    assert!(done.success(), "{}", done.text());
    let done = promtool(&["test", "rules", "tests.yml"]);
    assert!(done.success(), "{}", done.text());
    let tests: Value = serde_saphyr::from_str(&read("packaging/prometheus/tests.yml")).unwrap();
    for fires in [true, false] {
        let tests = tests["tests"].as_array().unwrap().iter();
        let tried = tests.flat_map(|test| test["alert_rule_test"].as_array().cloned().unwrap_or_default());
        let tried =
            tried.filter(|case| case["exp_alerts"].as_array().is_some_and(|all| all.is_empty()) != fires);
        let tried: BTreeSet<_> = tried.map(|case| case["alertname"].as_str().unwrap().to_owned()).collect();
        assert_eq!(tried, alerts(), "alerts that are tried, firing: {fires}");
    }
}

#[test]
fn the_runbook_has_a_section_for_each_alert() {
    let page = read("docs/runbook.md");
    let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## PacsGuard")).collect();
    let named: BTreeSet<_> = sections.iter().map(|name| format!("PacsGuard{name}")).collect();
    assert_eq!(named.len(), sections.len(), "a section is there twice");
    assert_eq!(named, alerts());
}

/// Expressions of the dashboard, with its variables as Grafana would fill them.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/pacs-guard.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression.replace("$instance", ".*").replace("$__rate_interval", "1m");
            assert!(!expression.contains('$'), "{expression}");
            queries.push((panel["title"].as_str().unwrap().to_owned(), expression));
        }
    }
    assert!(queries.len() > 15);
    queries
}

#[test]
fn the_dashboard_finds_what_it_asks_for() {
    let site = Site::new();
    let mut command = site.modality.command("storescp");
    command.args(["-aet", "CT1", &DICOM.to_string()]);
    let mut peer = site.modality.spawn("storescp", command).unwrap();
    site.modality.wait_listening(DICOM, &mut peer).unwrap();
    let peers = format!(
        "peers: [{{ name: CT1, address: {}, port: {DICOM}, ae_title: CT1, every: 10s }}]\n",
        site.modality.addr4()
    );
    site.write(&(policy("enforce", &[&site.modality]) + &peers));
    let _archive = crate::wire::Listener::open(&site.pacs, DICOM);
    let daemon = site.start(&[]);
    assert!(site.ask(&["reload"]).success(), "{}", daemon.log());
    connects(&site.modality, site.pacs.addr4(), DICOM);
    assert!(is_met_with_silence(&site.stranger, site.pacs.addr4(), DICOM));

    let rules = repository("packaging/prometheus/pacs-guard.rules.yml");
    let configuration = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{}']\n\
         scrape_configs: [{{ job_name: pacs-guard, static_configs: [{{ targets: ['127.0.0.1:{PORT}'] }}] }}]\n",
        rules.canonicalize().unwrap().display()
    );
    fs::write(site.pacs.dir().join("prometheus.yml"), configuration).unwrap();
    let mut command = site.pacs.command("prometheus");
    command.args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=tsdb",
        "--web.listen-address=127.0.0.1:9090",
    ]);
    let mut prometheus = site.pacs.spawn("prometheus", command).unwrap();
    site.pacs.wait_listening(9090, &mut prometheus).unwrap();

    // The answer to a query: its series.
    let query = |expression: &str| -> Vec<Value> {
        let mut command = site.pacs.command("promtool");
        command.args(["query", "instant", "-o", "json", "http://127.0.0.1:9090", expression]);
        let done = lab::run(command, PATIENCE).unwrap();
        assert!(done.success(), "{expression}: {}", done.text());
        serde_json::from_str::<Value>(&done.stdout).unwrap().as_array().unwrap().clone()
    };
    for (panel, expression) in dashboard() {
        wait_for(&format!("panel '{panel}' to find `{expression}`"), PATIENCE, || {
            Ok(!query(&expression).is_empty())
        })
        .unwrap();
    }
    for rule in rules_that_record() {
        wait_for(&format!("{rule} to be recorded"), PATIENCE, || Ok(!query(&rule).is_empty())).unwrap();
    }
    // Scraped as OpenMetrics: a counter that lost its type would have none.
    let mut command = site.pacs.command("promtool");
    command.args(["query", "series", "--match=pacs_guard_packets_total", "http://127.0.0.1:9090"]);
    let series = lab::run(command, PATIENCE).unwrap();
    assert!(series.stdout.contains("not-in-segment"), "{}", series.text());
    let value = |expression: &str| query(expression)[0]["value"][1].as_str().unwrap().to_owned();
    assert_eq!(value("pacs_guard_enforcing"), "1");
    assert_eq!(value("pacs_guard_echo_success{peer=\"CT1\"}"), "1");
    let refused = value("sum(pacs_guard_packets_total{reason=\"not-in-segment\"})").parse::<u64>().unwrap();
    assert!(refused > 0 && refused <= site.booked("not-in-segment"), "{refused}");
    // All is well here, so nothing is alerted.
    let alerting: Vec<_> = query("ALERTS").iter().map(|alert| alert["metric"]["alertname"].clone()).collect();
    assert_eq!(alerting, Vec::<Value>::new());
}

fn rules_that_record() -> Vec<String> {
    rules().iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())).collect()
}
