//! Five example apps, each a single file to copy as a starting point.
//!
//! An app is a set of routes over a hub, built only from the public API of the hub and server crates.
//! [`gallery`] serves all of them, [`App::alone`] serves one at the root.

mod audit_trail;
mod chat;
mod counter;
mod image_relay;
mod progress;
mod support;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use futures_util::future::{FutureExt, join_all};
use stentor_server::Stentor;

use self::support::{Demo, page, script, style};

/// One of the example apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum App {
    /// Send a picture to every open page (port 8081).
    ImageRelay,
    /// One counter shared by all pages (port 8080).
    Counter,
    /// A chat room with history for new members (port 8080).
    Chat,
    /// The progress of a job, which survives a reload (port 9090).
    Progress,
    /// An audit trail on disk: history, then live (port 8888).
    AuditTrail,
}

impl App {
    const ALL: [App; 5] =
        [App::ImageRelay, App::Counter, App::Chat, App::Progress, App::AuditTrail];

    /// Returns the name used in URLs, directories and topics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            App::ImageRelay => "image-relay",
            App::Counter => "counter",
            App::Chat => "chat",
            App::Progress => "progress",
            App::AuditTrail => "audit-trail",
        }
    }

    /// Returns the default port of the app when it is served by itself.
    pub(crate) fn port(self) -> u16 {
        match self {
            App::ImageRelay => 8081,
            App::Counter | App::Chat => 8080,
            App::Progress => 9090,
            App::AuditTrail => 8888,
        }
    }

    /// Returns only this app, served at the root.
    pub(crate) fn alone(self, stentor: &Stentor) -> Demo {
        let demo = match self {
            App::ImageRelay => image_relay::demo(stentor),
            App::Counter => counter::demo(stentor),
            App::Chat => chat::demo(stentor),
            App::Progress => progress::demo(stentor),
            App::AuditTrail => audit_trail::demo(stentor),
        };
        Demo { router: demo.router.merge(shared_assets()), ..demo }
    }
}

/// Returns all apps under `/demo/NAME/`, a page at the root that shows each of them live, and the server
/// itself: `/topics`, `/events`, the console at `/console`.
pub(crate) fn gallery(stentor: &Stentor) -> Demo {
    let mut router = Router::new()
        .route("/", get(|| page("index.html")))
        .route("/demo", get(|| async { Redirect::permanent("/") }))
        .route("/demo/", get(|| async { Redirect::permanent("/") }))
        .merge(shared_assets());
    let mut background = Vec::new();
    for app in App::ALL {
        let demo = app.alone(stentor);
        let root = format!("/demo/{}/", app.name());
        let with_slash = root.clone();
        router = router
            .route(
                root.trim_end_matches('/'),
                get(|| async move { Redirect::permanent(&with_slash) }),
            )
            .nest(&root, demo.router);
        background.push(demo.background);
    }
    Demo {
        router: router.fallback_service(stentor.clone()),
        background: join_all(background).map(drop).boxed(),
    }
}

fn shared_assets() -> Router {
    Router::new().route("/demo.css", get(style)).route("/connection.js", get(script))
}
