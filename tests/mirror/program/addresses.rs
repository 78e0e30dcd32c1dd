//! The program on kernels and networks that lack something: each test has a network of its own.

// Helpers outside the test functions unwrap too.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use harness::servers::{MirrorConfig, mirror_binary};
use serde_json::json;

/// What a script prints, and its errors, in namespaces of its own for networks, mounts and users.
/// `$MIRROR` is the program, and the working directory has the document `mirror.yaml`.
fn in_own_network(config: &MirrorConfig, script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    config.write(folder.path()).unwrap();
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
            "--fork",
        ])
        .args(["bash", "-euc", script])
        .current_dir(folder.path())
        .env("MIRROR", mirror_binary().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    said
}

fn config() -> MirrorConfig {
    let mut config = MirrorConfig::for_targets(&[("cluster", "http://127.0.0.1:1")]);
    config.keys = vec![("apiKey".to_owned(), "the-key\n".to_owned())];
    config
}

/// Starts the program with its default addresses as `$START …`, and prints what each of the
/// addresses in `$1` answers on both ports.
const ASK: &str = r#"
ask() { # ask PORT ADDRESS…
  local port=$1 address answer
  for address in "${@:2}"; do
    exec 3<>"/dev/tcp/$address/$port"
    printf 'GET /%s HTTP/1.0\r\n\r\n' "$page" >&3
    answer=$(head -n 1 <&3)
    exec 3>&-
    echo "$address $port ${answer//$'\r'/}"
  done
}
serve() { # serve PROGRAM…
  "$@" serve -f mirror.yaml >log 2>&1 &
  until grep -q ready log; do
    kill -0 $! || { cat log >&2; exit 1; }
    sleep 0.05
  done
}
"#;

#[test]
fn by_default_a_mirror_answers_on_both_families() {
    let script = format!(
        "{ASK} ip link set lo up; serve $MIRROR; page= ask 9900 127.0.0.1 ::1; page=livez ask 9901 127.0.0.1 ::1"
    );
    let expected = "127.0.0.1 9900 HTTP/1.0 200 OK\n::1 9900 HTTP/1.0 200 OK\n127.0.0.1 9901 HTTP/1.0 200 OK\n::1 9901 HTTP/1.0 200 OK\n";
    assert_eq!(in_own_network(&config(), &script), expected);
}

#[test]
fn without_ipv6_a_mirror_answers_on_ipv4() {
    // Switched off for all interfaces, as it is on many nodes.
    let off = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip link set lo up; serve $MIRROR";
    // As if the kernel had been started with `ipv6.disable=1`: no socket of that family.
    let absent = r#"ip link set lo up
serve python3 -c '
import ctypes, os, platform, struct
call, audit = (41, 0xC000003E) if platform.machine() == "x86_64" else (198, 0xC00000B7)
rules = [(0x20, 0, 0, 4), (0x15, 0, 5, audit), (0x20, 0, 0, 0), (0x15, 0, 3, call),
         (0x20, 0, 0, 16), (0x15, 0, 1, 10), (6, 0, 0, 0x50000 | 97), (6, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program)) == 0
import sys
os.execv(os.environ["MIRROR"], sys.argv[0:1] + sys.argv[1:])'"#;
    for without in [off, absent] {
        let ask = "page= ask 9900 127.0.0.1; page=livez ask 9901 127.0.0.1";
        let said = in_own_network(&config(), &format!("{ASK} {without}\n{ask}"));
        let expected = "127.0.0.1 9900 HTTP/1.0 200 OK\n127.0.0.1 9901 HTTP/1.0 200 OK\n";
        assert_eq!(said, expected, "{without}");
    }
}

#[test]
fn a_dns_that_does_not_answer_is_named_in_time() {
    let config = MirrorConfig::for_targets(&[("cluster", "http://prometheus.monitoring.svc:9090")]);
    let mut config = config.with_target("requestTimeout", json!("2s"));
    config.keys = vec![("apiKey".to_owned(), "the-key\n".to_owned())];
    // Queries leave on a wire whose other end belongs to nobody.
    let script = r#"
ip link set lo up
ip link add wire type veth peer name end
ip address add 192.0.2.1/24 dev wire
ip link set dev wire up; ip link set dev end up
ip neighbour add 192.0.2.53 lladdr 02:00:00:00:00:01 dev wire nud permanent
echo nameserver 192.0.2.53 >resolv.conf
mount --bind resolv.conf /etc/resolv.conf
"$MIRROR" check -f mirror.yaml --probe 2>&1 || echo "failed with $?"
"#;
    let said = in_own_network(&config, script);
    let expected = "target cluster cannot be reached: cannot look up prometheus.monitoring.svc: no answer from DNS within 1.5s (hint: may this pod send to port 53 of the cluster's DNS? A NetworkPolicy that restricts Egress must allow it, UDP and TCP)";
    assert!(
        said.contains(expected) && said.ends_with("failed with 1\n"),
        "{said}"
    );
}
