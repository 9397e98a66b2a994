//! Refusals through reverse proxies.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::sockets::{Case, REFUSALS, refused_after_pause};
use super::{assert_none_fails, tries};
use crate::harness::{Server, TIMEOUT};

/// A proxy process that listens on a Unix socket in its own directory. Dropping it kills the process.
struct Proxy {
    directory: TempDir,
    process: Child,
}

impl Proxy {
    /// Starts a proxy with this configuration. `{dir}` in the arguments and in the configuration is its directory.
    async fn start(program: &str, arguments: &[&str], configuration: &str) -> Proxy {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let configuration = configuration.replace("{dir}", path);
        std::fs::write(directory.path().join("proxy.conf"), configuration).unwrap();
        let arguments = arguments.iter().map(|argument| argument.replace("{dir}", path));
        let process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; ./test installs it"));
        let mut proxy = Proxy { directory, process };
        let connects = async {
            while proxy.connect().await.is_err() {
                let ended = proxy.process.try_wait().unwrap();
                assert_eq!(ended, None, "{program} ended; it printed the reason");
                tokio::task::yield_now().await;
            }
        };
        timeout(TIMEOUT, connects).await.expect("the proxy listens in time");
        proxy
    }

    async fn nginx(server: &Server, request_buffering: &str) -> Proxy {
        let configuration = format!(
            "daemon off; master_process off; pid {{dir}}/pid; error_log stderr crit;
            events {{ worker_connections 1024; }}
            http {{
                access_log off;
                client_body_temp_path {{dir}}/body; proxy_temp_path {{dir}}/proxy;
                fastcgi_temp_path {{dir}}/fastcgi; uwsgi_temp_path {{dir}}/uwsgi; scgi_temp_path {{dir}}/scgi;
                upstream stentor {{ server {}; keepalive 8; }}
                server {{
                    listen unix:{{dir}}/socket;
                    client_max_body_size 0;
                    location / {{
                        proxy_pass http://stentor;
                        proxy_http_version 1.1;
                        proxy_set_header Host $http_host;
                        proxy_set_header Connection \"\";
                        proxy_request_buffering {request_buffering};
                    }}
                }}
            }}",
            server.address
        );
        let arguments = ["-p", "{dir}", "-c", "{dir}/proxy.conf", "-e", "stderr"];
        Proxy::start("nginx", &arguments, &configuration).await
    }

    async fn haproxy(server: &Server) -> Proxy {
        let configuration = format!(
            "defaults
                mode http
                timeout connect 60s
                timeout client 60s
                timeout server 60s
            listen stentor
                bind unix@{{dir}}/socket
                server stentor {}\n",
            server.address
        );
        Proxy::start("haproxy", &["-db", "-f", "{dir}/proxy.conf"], &configuration).await
    }

    fn socket(&self) -> std::path::PathBuf {
        Path::new(self.directory.path()).join("socket")
    }

    async fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.socket()).await
    }

    async fn assert_passes_refusals(&self) {
        assert_none_fails(&Case::all(&REFUSALS), tries(10), async |case| {
            // How the proxy closes its connections is not ours.
            refused_after_pause(self.connect().await.unwrap(), case, false).await
        })
        .await;
    }
}

#[tokio::test]
async fn a_refusal_passes_an_nginx_that_forwards_the_body_as_it_arrives() {
    let server = Server::in_memory().await;
    Proxy::nginx(&server, "off").await.assert_passes_refusals().await;
}

#[tokio::test]
async fn a_refusal_passes_an_nginx_that_buffers_the_body() {
    let server = Server::in_memory().await;
    Proxy::nginx(&server, "on").await.assert_passes_refusals().await;
}

#[tokio::test]
async fn a_refusal_passes_haproxy() {
    let server = Server::in_memory().await;
    Proxy::haproxy(&server).await.assert_passes_refusals().await;
}
