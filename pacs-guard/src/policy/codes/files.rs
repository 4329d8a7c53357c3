//! PG0001 to PG0199: files, YAML and the shape of a document.

use super::{Entry, Example, Fault, piece};

const fn file(
    code: &'static str,
    file: &'static str,
    fault: fn() -> Fault,
    right: &'static str,
    meaning: &'static str,
) -> Entry {
    Entry { code, meaning, example: Example::File { file, fault, right } }
}

#[rustfmt::skip]
pub(super) const ENTRIES: &[Entry] = &[
    file("PG0001", "/etc/pacs-guard/policy.yml",
        || Fault::Unreadable { error: "No such file or directory (os error 2)".to_owned() },
        "pacs-guard check /etc/pacs-guard/policy.yaml",
        "The file or folder can't be read, and the system says why. Look at its name, its owner and its mode."),
    file("PG0002", "/etc/pacs-guard/policies.d/10-ct.yaml",
        || Fault::NotAFile { kind: "FIFO" },
        "rm /etc/pacs-guard/policies.d/10-ct.yaml   # and write a regular file there",
        "Reading a FIFO or a device could wait for ever, never end, or give other text to the check than to the load."),
    file("PG0003", "/etc/pacs-guard/policy.yaml",
        || Fault::WorldWritable { what: "file", path: "/etc/pacs-guard/policy.yaml".into(), mode: 0o666 },
        "chmod o-w /etc/pacs-guard/policy.yaml",
        "Whoever may write the policy, or put a file into its folder, decides who reaches the archive. That should be \
         root and nobody else."),
    file("PG0004", "/etc/pacs-guard/policy.yaml",
        || Fault::TooLarge { limit: super::super::MAX_BYTES },
        "pacs-guard check /etc/pacs-guard/policy.yaml   # after joining neighbouring sources to wider prefixes",
        "A million prefixes take about 15 MB. What is over the limit is likely another kind of file."),
    file("PG0005", "/etc/pacs-guard/policy.yaml", || Fault::NotUtf8,
        "iconv -f latin1 -t utf-8 old.yaml > /etc/pacs-guard/policy.yaml",
        "The file is in another encoding, such as Latin-1 or UTF-16. The place is that of the first byte that is not \
         UTF-8."),
    piece("PG0006", "name: st-elsewhere", "name: st-\0elsewhere",
        "A NUL byte ends a text for some programs and not for others, so that they read two different policies. It \
         is often the mark of a file that was not written to its end."),
    file("PG0007", "/etc/pacs-guard/policies.d/10-ct.yaml", || Fault::LeadsOut,
        "cp --remove-destination /srv/shared/ct.yaml /etc/pacs-guard/policies.d/10-ct.yaml",
        "A symlink in a folder of policy files may lead to a file of the same folder only, by a relative path. \
         Otherwise write access elsewhere would be enough to change the policy."),
    file("PG0008", "/etc/pacs-guard", || Fault::EmptyFolder,
        "cp /usr/share/doc/pacs-guard/examples/policies/audit-first.yaml /etc/pacs-guard/policy.yaml",
        "A folder stands for all its files with a name that ends in `.yaml` and does not begin with a dot. Without \
         any there is no policy, which is never the same as a policy that admits nobody."),
    file("PG0009", "/etc/pacs-guard/policies.d", || Fault::NotAFolder,
        "mv /etc/pacs-guard/policies.d /etc/pacs-guard/not-a-folder   # and make the folder, where parts are to lie in it",
        "`policies.d` beside a policy file is a folder with more parts of the policy. Something else has that name."),

    piece("PG0101", "name: st-elsewhere", "name: st: elsewhere",
        "The text is not YAML. Often a colon or a quotation mark in a value needs quotes around the whole value, or a \
         bracket was not closed; in the latter case the place is where the reader gave up, and the cause is above it."),
    piece("PG0102", "  web:", "\tweb:",
        "YAML is indented with spaces. A tab looks like some number of them, and each editor shows another."),
    piece("PG0103", "mode: enforce\n", "mode: enforce\n---\nname: second\n",
        "`---` begins a new document, and which of the two would count? Put the second into a file of its own, in \
         `policies.d`."),
    file("PG0104", "/etc/pacs-guard/policy.yaml",
        || Fault::OverBudget { reason: "its aliases repeat too much".to_owned() },
        "sources: [10.20.0.0/24]   # in place of *everything",
        "Aliases that repeat lists of aliases, or thousands of nested brackets, make a small file cost gigabytes to \
         read. A million prefixes fit in the budget."),
    piece("PG0105", "mode: enforce\n", "mode: enforce\nname: other\n",
        "In YAML a key may be there once in its mapping. Some readers would take the first, others the last."),
    piece("PG0106", "interfaces:", "interface:",
        "A key that is not known does nothing, and so the policy would not do what it seems to say. It is likely \
         misspelt, or stands one level too high or too low."),
    piece("PG0107", "[eth0]", "eth0",
        "A list is written with brackets or with a `-` before each item, also when there is one item only; a mapping \
         is written as `key: value`."),
    piece("PG0108", "mode: enforce", "mode:",
        "The key is there and its value is not: a line left unfinished. Write the value, or take the key out."),
    piece("PG0109", "    except: [10.20.0.66]", "    <<: { except: [10.20.0.66] }",
        "`<<` takes keys over from elsewhere, so a line could grant what it doesn't show. Write out what is meant."),
    piece("PG0110", "mode: enforce\n", "",
        "Something is not said that only the author can decide. Each file of a policy states `version: 1`; name and \
         mode are stated once, in any of them."),
];
