//! How a stream is asked for.

use anyhow::bail;
use stentor_client::{EventSource, EventSourceBuilder, Url};

use super::target::Target;

/// Where the token may be, so that it is in no list of processes.
const TOKEN_VARIABLE: &str = "STENTOR_TOKEN";

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The request")]
pub(super) struct RequestArgs {
    /// Send this header too, to the addresses named here and no other that they may redirect to.
    /// Repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// Send this bearer token as well. Without the option it is taken from the environment variable
    /// `STENTOR_TOKEN`, but only for the server at --url.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl RequestArgs {
    /// Refuses what would send secrets to more servers than one.
    pub(super) fn check(&self, targets: &[Target]) -> anyhow::Result<()> {
        let mut origins = targets.iter().map(|target| origin(&target.url));
        let first = origins.next();
        let has_own = !self.headers.is_empty() || self.token.is_some();
        if has_own && origins.any(|origin| Some(origin) != first) {
            bail!(
                "--header and --token are for one server; follow streams of several servers in a \
                 command each"
            );
        }
        Ok(())
    }

    /// The request for a target. `server` is the address of the topics.
    pub(super) fn request(&self, target: &Target, server: &str) -> EventSourceBuilder {
        let mut request = EventSource::builder(&target.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(token) = self.token_for(target, server) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request
    }

    fn token_for(&self, target: &Target, server: &str) -> Option<String> {
        if self.token.is_some() {
            return self.token.clone();
        }
        let is_told =
            self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if is_told || origin(&target.url) != origin(server) {
            return None;
        }
        std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())
    }
}

/// Whom an address belongs to; of what is no address, nobody.
fn origin(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}
