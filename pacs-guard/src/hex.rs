//! Bytes in hexadecimal digits.

/// Two lower-case digits a byte, in the order of the bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
