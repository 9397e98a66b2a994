//! The options that bound the idempotency keys.

use std::str::FromStr;

use stentor_hub::KeyLimits;

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// Maximum number of idempotency keys in use; beyond it, publishes with new keys get 429 (default: 1000000, or
    /// 100000 with --memory).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), env = "STENTOR_KEYS")]
    keys: Option<u64>,

    /// Maximum number of these keys for the publishers at one address; `none` for no bound (default: half of --keys).
    #[arg(long, value_name = "N", env = "STENTOR_KEYS_PER_ADDRESS")]
    keys_per_address: Option<PerAddress>,
}

/// A bound, or none.
#[derive(Clone, Copy, Debug)]
struct PerAddress(Option<u64>);

impl FromStr for PerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<PerAddress, String> {
        if text == "none" {
            return Ok(PerAddress(None));
        }
        match text.parse() {
            Ok(keys) if keys > 0 => Ok(PerAddress(Some(keys))),
            Ok(_) | Err(_) => Err("expected a number of keys from 1 on, or `none`".to_owned()),
        }
    }
}

impl KeyArgs {
    /// Returns the bounds of a log with these defaults.
    pub(crate) fn limits(&self, default: KeyLimits) -> KeyLimits {
        let mut limits = self.keys.map_or(default, |keys| default.with_keys(keys));
        if let Some(PerAddress(bound)) = self.keys_per_address {
            limits.keys_per_address = bound;
        }
        limits
    }
}
