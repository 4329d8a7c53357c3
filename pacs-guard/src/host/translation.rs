//! Port translation on this host: NAT, redirect and TPROXY rules, as nft(8) and iptables-save(8) print them, and IPVS.

use std::{io, net::IpAddr, ops::RangeInclusive};

use serde_json::Value;

use super::{ipvs, run};

/// What one program says of its rules.
#[derive(Debug)]
pub struct Rules {
    /// The program.
    pub program: &'static str,
    /// The rules that lead to another port, or why they are not known.
    pub found: io::Result<Vec<Translation>>,
}

/// A rule that leads TCP connections to another port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Where the rule is and what it says, for people.
    pub rule: String,
    /// The ports that it takes; empty means any.
    pub from: Vec<RangeInclusive<u16>>,
    /// The port that it leads to; `None` where it depends on the packet.
    pub to: Option<RangeInclusive<u16>>,
    /// The address that it leads to; `None` means this host, or that it depends on the packet.
    pub address: Option<IpAddr>,
}

/// Asks each program; needs CAP_NET_ADMIN.
pub fn translations() -> Vec<Rules> {
    let read_nft = |text: String| Ok(nft(&serde_json::from_str(&text)?));
    let read_iptables = |text: String| Ok(text.lines().filter_map(iptables).collect());
    vec![
        Rules { program: "nft", found: run("nft", &["-j", "list", "ruleset"]).and_then(read_nft) },
        Rules {
            program: "iptables-save",
            found: run("iptables-save", &["-t", "nat"]).and_then(read_iptables),
        },
        Rules {
            program: "ip6tables-save",
            found: run("ip6tables-save", &["-t", "nat"]).and_then(read_iptables),
        },
        Rules { program: "ip_vs", found: ipvs::translations() },
    ]
}

/// Reads the rules of libnftables-json(5).
fn nft(ruleset: &Value) -> Vec<Translation> {
    let objects = || ruleset.get("nftables").and_then(Value::as_array).into_iter().flatten();
    // What this host sends itself comes by no interface.
    let own: Vec<_> = objects()
        .filter_map(|object| object.get("chain"))
        .filter(|chain| word(chain, "hook") == "output")
        .map(|chain| (word(chain, "family"), word(chain, "table"), word(chain, "name")))
        .collect();
    let rules = objects().filter_map(|object| object.get("rule"));
    let rules =
        rules.filter(|rule| !own.contains(&(word(rule, "family"), word(rule, "table"), word(rule, "chain"))));
    rules.filter_map(nft_rule).collect()
}

fn word<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn nft_rule(rule: &Value) -> Option<Translation> {
    let statements = rule.get("expr")?.as_array()?;
    let find =
        |name: &'static str| statements.iter().find_map(move |statement| Some((name, statement.get(name)?)));
    let (verb, target) = find("redirect").or_else(|| find("dnat")).or_else(|| find("tproxy"))?;
    let map =
        ["port", "addr"].iter().any(|key| target.get(key).is_some_and(|value| value.get("map").is_some()));
    // Without a port in it the rule keeps the port, and XDP sees it as the listener does.
    let to = target.get("port").filter(|_| !map).and_then(ports);
    if to.is_none() && !map {
        return None;
    }
    let matches = || statements.iter().filter_map(|statement| statement.get("match"));
    let is = |found: &Value, field: &str, text: &str| {
        found.pointer(&format!("/left/payload/{field}")).and_then(Value::as_str) == Some(text)
    };
    if matches().any(|found| is(found, "protocol", "udp")) {
        return None;
    }
    let port = matches().find(|found| is(found, "field", "dport"));
    let plain = port.filter(|found| word(found, "op") != "!=");
    let from = plain.and_then(|found| found.get("right")).map(port_set).unwrap_or_default();
    Some(Translation {
        rule: format!("nft {} {} {}: {verb}", word(rule, "family"), word(rule, "table"), word(rule, "chain")),
        from,
        to,
        address: target.get("addr").and_then(Value::as_str).and_then(|text| text.parse().ok()),
    })
}

/// A port, a range of ports, or a set of both.
fn port_set(value: &Value) -> Vec<RangeInclusive<u16>> {
    match value.get("set").and_then(Value::as_array) {
        Some(set) => set.iter().filter_map(ports).collect(),
        None => ports(value).into_iter().collect(),
    }
}

fn ports(value: &Value) -> Option<RangeInclusive<u16>> {
    let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    match value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        Some([first, last]) => Some(port(first)?..=port(last)?),
        _ => port(value).map(|port| port..=port),
    }
}

/// Reads one line such as `-A DOCKER -p tcp -m tcp --dport 8104 -j DNAT --to-destination 172.17.0.2:104`.
fn iptables(line: &str) -> Option<Translation> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let target = after("-j").filter(|target| ["REDIRECT", "DNAT", "TPROXY"].contains(target))?;
    let chain = after("-A").filter(|chain| *chain != "OUTPUT")?;
    if after("-p").is_some_and(|protocol| protocol != "tcp") {
        return None;
    }
    let (address, port) = match after("--to-destination") {
        Some(destination) => destination.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?,
        None => ("", after("--to-ports").or_else(|| after("--on-port"))?),
    };
    Some(Translation {
        rule: format!("iptables {chain}: {target}"),
        from: after("--dport").or_else(|| after("--dports")).map(iptables_ports).unwrap_or_default(),
        to: Some(iptables_range(port, '-')?),
        address: address.trim_matches(['[', ']']).parse().ok(),
    })
}

fn iptables_ports(text: &str) -> Vec<RangeInclusive<u16>> {
    text.split(',').filter_map(|item| iptables_range(item, ':')).collect()
}

fn iptables_range(text: &str, between: char) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once(between).unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn rule(expr: Value) -> Option<Translation> {
        let rule = json!({ "family": "ip", "table": "nat", "chain": "pre", "expr": expr });
        nft(&json!({ "nftables": [{ "metainfo": {} }, { "rule": rule }] })).pop()
    }

    fn dport(right: Value) -> Value {
        let left = json!({ "payload": { "protocol": "tcp", "field": "dport" } });
        json!({ "match": { "op": "==", "left": left, "right": right } })
    }

    #[test]
    fn nft_rules_are_read() {
        let found = rule(json!([dport(json!(1104)), { "redirect": { "port": 104 } }])).unwrap();
        assert_eq!(found.rule, "nft ip nat pre: redirect");
        assert_eq!((found.from, found.to, found.address), (vec![1104..=1104], Some(104..=104), None));

        let set = json!({ "set": [80, { "range": [8000, 8010] }] });
        let found = rule(json!([dport(set), { "dnat": { "addr": "10.0.0.1", "port": 104 } }])).unwrap();
        assert_eq!((found.from, found.to), (vec![80..=80, 8000..=8010], Some(104..=104)));
        assert_eq!(found.address, "10.0.0.1".parse().ok());

        let any = rule(json!([{ "redirect": { "port": { "range": [104, 105] } } }])).unwrap();
        assert_eq!((any.from, any.to), (vec![], Some(104..=105)));

        let map = json!({ "map": { "key": {}, "data": {} } });
        assert_eq!(rule(json!([{ "dnat": { "addr": map } }])).unwrap().to, None);
    }

    #[test]
    fn nft_rules_that_keep_the_port_are_left_out() {
        assert_eq!(rule(json!([dport(json!(104)), { "dnat": { "addr": "10.0.0.1" } }])), None);
        assert_eq!(rule(json!([dport(json!(104)), { "accept": null }])), None);
    }

    #[test]
    fn what_this_host_sends_itself_is_left_out() {
        let of = |kind: &str, rest: Value| {
            let mut object = json!({ "family": "ip", "table": "nat" });
            object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            json!({ kind: object })
        };
        let ruleset = |hook| {
            let chain = of("chain", json!({ "name": "c", "hook": hook }));
            json!({ "nftables": [chain, of("rule", json!({ "chain": "c", "expr": [{ "redirect": { "port": 104 } }] }))] })
        };
        assert_eq!(nft(&ruleset("prerouting")).len(), 1);
        assert_eq!(nft(&ruleset("output")), []);
    }

    #[test]
    fn iptables_rules_are_read() {
        let line =
            "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8104 -j DNAT --to-destination 172.17.0.2:104";
        let found = iptables(line).unwrap();
        assert_eq!(found.rule, "iptables DOCKER: DNAT");
        assert_eq!((found.from, found.to), (vec![8104..=8104], Some(104..=104)));
        assert_eq!(found.address, "172.17.0.2".parse().ok());

        let found =
            iptables("-A PREROUTING -p tcp -m multiport --dports 80,90:95 -j REDIRECT --to-ports 104")
                .unwrap();
        assert_eq!((found.from, found.to), (vec![80..=80, 90..=95], Some(104..=104)));

        let found = iptables("-A P -p tcp --dport 1 -j DNAT --to-destination [fd00::1]:104").unwrap();
        assert_eq!((found.to, found.address), (Some(104..=104), "fd00::1".parse().ok()));

        for line in [
            "-A P -p udp --dport 1 -j REDIRECT --to-ports 104",
            "-A P -p tcp -j DNAT --to-destination 10.0.0.1",
            "-A P -p tcp -j DNAT --to-destination [fd00::1]",
            "-A P -p tcp --dport 104 -j ACCEPT",
            "-A OUTPUT -p tcp --dport 1 -j REDIRECT --to-ports 104",
        ] {
            assert_eq!(iptables(line), None, "{line}");
        }
    }
}
