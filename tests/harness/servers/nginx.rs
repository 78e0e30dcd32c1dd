//! nginx as a plain reverse proxy: what a bench compares the mirror with.

use anyhow::{Context as _, Result};

use super::{Process, free_port, program};

/// A running nginx that passes everything on to one upstream.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    port: u16,
}

impl Nginx {
    /// Starts nginx before `upstream` (`host:port`), with connections to it kept open, as the
    /// mirror keeps them.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start(upstream: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = free_port()?;
        let here = directory.path().display().to_string();
        let configuration = format!(
            "daemon off; worker_processes auto; pid {here}/nginx.pid; error_log {here}/error.log;
            events {{ worker_connections 1024; }}
            http {{
                access_log off;
                client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
                uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
                upstream store {{ server {upstream}; keepalive 64; }}
                server {{
                    listen 127.0.0.1:{port};
                    location / {{ proxy_pass http://store; proxy_http_version 1.1; proxy_set_header Connection \"\"; }}
                }}
            }}"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration)?;
        let arguments = [
            "-p".to_owned(),
            here.clone(),
            "-c".to_owned(),
            file.display().to_string(),
            "-e".to_owned(),
            format!("{here}/error.log"),
        ];
        let process = Process::start("nginx", &program("nginx", "nginx")?, arguments, directory)?;
        let nginx = Self { process, port };
        super::wait_until_ready(&nginx.process, &format!("{}/-/ready", nginx.url()))
            .await
            .context("nginx")?;
        Ok(nginx)
    }

    /// Base URL without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process, for memory.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}
