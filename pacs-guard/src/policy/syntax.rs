//! The YAML reader's errors as faults of a policy.

use serde_saphyr::{Error, ExternalMessageSource, budget::BudgetBreach, granit_parser::ErrorKind};

use super::{fault::Fault, mark::Mark};

/// Why a policy is over the budget that has too many values.
pub(super) const TOO_MANY: &str = "it has more values than a million prefixes need";
const TOO_DEEP: &str = "it is nested too deep";

/// What `error` says, and where.
pub(super) fn fault(error: &Error) -> (Mark, Fault) {
    let mark = error.location().map(Mark::from).unwrap_or_default();
    (mark, translate(error.without_snippet()))
}

fn translate(error: &Error) -> Fault {
    match error {
        Error::AliasError { error, .. } => translate(error.without_snippet()),
        Error::MultipleDocuments { .. } => Fault::SeveralDocuments,
        Error::MergeKeyNotAllowed { .. } => Fault::MergeKey,
        Error::NullIntoString { .. } => Fault::NoValue,
        Error::Unexpected { expected, .. } => shape(expected),
        Error::SerdeInvalidType { expected, .. } => shape(expected),
        Error::Budget { breach, .. } => Fault::OverBudget { reason: budget(breach) },
        Error::AliasReplayLimitExceeded { .. } => {
            Fault::OverBudget { reason: "its aliases repeat too much".to_owned() }
        }
        Error::AliasReplayStackDepthExceeded { .. } => {
            Fault::OverBudget { reason: "its aliases are nested too deep".to_owned() }
        }
        Error::ExternalMessage { source, msg, .. } => match source.as_ref() {
            // The scanner looks ahead, and so may meet its own limit before the budget's.
            ExternalMessageSource::Parser(error) if *error.kind() == ErrorKind::RecursionLimitExceeded => {
                Fault::OverBudget { reason: TOO_DEEP.to_owned() }
            }
            _ => syntax(msg),
        },
        other => syntax(&other.to_string()),
    }
}

fn shape(expected: &str) -> Fault {
    if expected.contains("sequence") {
        Fault::NO_LIST
    } else if expected.contains("mapping") {
        Fault::NO_MAPPING
    } else {
        Fault::NO_SCALAR
    }
}

fn budget(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => TOO_DEEP,
        BudgetBreach::Aliases { .. }
        | BudgetBreach::Anchors { .. }
        | BudgetBreach::AliasAnchorRatio { .. }
        | BudgetBreach::RecordedAnchorEvents { .. }
        | BudgetBreach::RecordedAnchorBytes { .. } => "its aliases repeat too much",
        BudgetBreach::Documents { .. } => "it has too many documents",
        _ => TOO_MANY,
    }
    .to_owned()
}

/// The reader's own words, without the place at their end: the diagnostic has that.
fn syntax(text: &str) -> Fault {
    let reason = text.split(" at line ").next().unwrap_or(text);
    let reason: String = reason.chars().take(200).collect();
    Fault::Syntax { reason: reason.escape_debug().to_string() }
}
