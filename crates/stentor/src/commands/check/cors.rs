//! Checks of CORS: can pages of another origin read the stream?

use reqwest::Method;
use reqwest::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    CACHE_CONTROL, HeaderMap, ORIGIN, VARY,
};

use super::endpoint::Endpoint;
use super::finding::{Check, Finding, Outcome};
use super::response::value;

pub(super) const CHECKS: &[&Check] = &[&CORS, &PREFLIGHT];

const CORS: Check = Check {
    name: "cors",
    title: "Pages of another origin can read the stream",
    why: "A browser hides a response from a page of another origin unless the response allows that \
          origin. A response for one origin that a cache returns to another one is refused. `*` never \
          works together with credentials.",
    fix: "Send `Access-Control-Allow-Origin`: the origin of the request if it is on your list, with \
          `Vary: Origin`; or `*` for public data. Never echo every origin together with \
          `Access-Control-Allow-Credentials: true`.",
};
const PREFLIGHT: Check = Check {
    name: "cors-preflight",
    title: "The preflight for Last-Event-ID succeeds",
    why: "From another origin, subscribers send a preflight before a request with Last-Event-ID: clients \
          based on fetch always, browsers for long ids. If it is refused, the first connection works but \
          no reconnect does.",
    fix: "Respond to OPTIONS with 204, `Access-Control-Allow-Origin`, `Access-Control-Allow-Methods: \
          GET` and `Access-Control-Allow-Headers: Last-Event-ID` (and Authorization, if it is used). Do \
          not require credentials.",
};

/// The origin of a page.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) text: String,
    /// `true` if the user requires that it is allowed (`--origin`).
    pub(super) is_required: bool,
}

pub(super) async fn judge(endpoint: &Endpoint, origin: &Origin) -> Vec<Finding> {
    let request = endpoint.stream().header(ORIGIN, &origin.text);
    let cors = match endpoint.send(request).await {
        Ok(open) => simple(open.response.headers(), origin),
        Err(error) => CORS.not_observable(error.to_string()),
    };
    let preflight = match cors.outcome {
        Outcome::NotObservable => PREFLIGHT.not_observable("the stream does not allow this origin"),
        _ => preflight(endpoint, origin).await,
    };
    vec![cors, preflight]
}

fn simple(headers: &HeaderMap, origin: &Origin) -> Finding {
    let Some(allowed) = value(headers, &ACCESS_CONTROL_ALLOW_ORIGIN) else {
        let saw = format!("pages of {} cannot read the stream", origin.text);
        return if origin.is_required {
            CORS.fail(saw)
        } else {
            CORS.not_observable(format!(
                "{saw}; name an origin that should be allowed with --origin"
            ))
        };
    };
    let credentials = value(headers, &ACCESS_CONTROL_ALLOW_CREDENTIALS);
    let with_credentials = credentials.as_deref() == Some("true");
    if allowed == "*" && with_credentials {
        return CORS.fail("`*` together with credentials; browsers refuse this");
    }
    if allowed == "*" {
        return CORS.pass("`*`");
    }
    if allowed != origin.text {
        return CORS.fail(format!("`{allowed}` is allowed, but not {}", origin.text));
    }
    if with_credentials && !origin.is_required {
        return CORS.warn(format!(
            "{allowed} is echoed, with credentials; check that not every site is allowed"
        ));
    }
    let lists = |name, word| {
        let text = value(headers, &name).unwrap_or_default().to_ascii_lowercase();
        text.split(',').any(|part| part.trim() == word)
    };
    if !lists(VARY, "origin") && !lists(VARY, "*") && !lists(CACHE_CONTROL, "no-store") {
        return CORS.warn(format!("{allowed}, without `Vary: Origin`"));
    }
    CORS.pass(allowed)
}

async fn preflight(endpoint: &Endpoint, origin: &Origin) -> Finding {
    let request = endpoint
        .bare(Method::OPTIONS)
        .header(ORIGIN, &origin.text)
        .header(ACCESS_CONTROL_REQUEST_METHOD, "GET")
        .header(ACCESS_CONTROL_REQUEST_HEADERS, "last-event-id");
    let response = match endpoint.send(request).await {
        Ok(open) => open.response,
        Err(error) => return PREFLIGHT.fail(error.to_string()),
    };
    let (status, headers) = (response.status(), response.headers());
    if !status.is_success() {
        return PREFLIGHT.fail(format!("OPTIONS returns {status}"));
    }
    let allows = |name, wanted: &str| {
        let text = value(headers, &name).unwrap_or_default().to_ascii_lowercase();
        text.split(',').any(|part| part.trim() == "*" || part.trim() == wanted)
    };
    if !allows(ACCESS_CONTROL_ALLOW_ORIGIN, &origin.text.to_ascii_lowercase()) {
        return PREFLIGHT.fail(format!("{status}, but it does not allow {}", origin.text));
    }
    if !allows(ACCESS_CONTROL_ALLOW_HEADERS, "last-event-id") {
        return PREFLIGHT.fail(format!("{status}, but it does not allow Last-Event-ID"));
    }
    // GET is always allowed, so a missing GET is no fault.
    let methods = value(headers, &ACCESS_CONTROL_ALLOW_METHODS).unwrap_or_default();
    PREFLIGHT.pass(format!("{status} {methods}").trim_end())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn outcome(headers: &[(&'static str, &'static str)], is_required: bool) -> Outcome {
        let headers = headers
            .iter()
            .map(|(name, text)| (HeaderName::from_static(name), HeaderValue::from_static(text)));
        let origin = Origin { text: "https://a.example".to_owned(), is_required };
        simple(&headers.collect(), &origin).outcome
    }

    #[test]
    fn an_origin_is_allowed_by_the_rules() {
        let allow = |text| ("access-control-allow-origin", text);
        let credentials = ("access-control-allow-credentials", "true");
        let vary = ("vary", "Accept, Origin");
        assert_eq!(outcome(&[], false), Outcome::NotObservable);
        assert_eq!(outcome(&[], true), Outcome::Fail);
        assert_eq!(outcome(&[allow("*")], true), Outcome::Pass);
        assert_eq!(outcome(&[allow("*"), credentials], true), Outcome::Fail);
        assert_eq!(outcome(&[allow("https://b.example")], false), Outcome::Fail);
        assert_eq!(outcome(&[allow("https://a.example")], true), Outcome::Warning);
        assert_eq!(outcome(&[allow("https://a.example"), vary], true), Outcome::Pass);
        assert_eq!(outcome(&[allow("https://a.example"), vary, credentials], true), Outcome::Pass);
        assert_eq!(
            outcome(&[allow("https://a.example"), vary, credentials], false),
            Outcome::Warning
        );
    }
}
