"""AWS as far as a signed Prometheus needs it, with a real Prometheus behind it (tests/harness/servers/aws.rs).

    server.py PORT PROMETHEUS

* `/workspaces/…` is Prometheus' API for requests whose signature botocore computes as well.
* `POST /sts` is the Security Token Service, `/container` the endpoint for containers, `/latest/…` that of instances.
* `PUT /control` sets what the fields of `Control` say, and `GET /control` counts what happened.
"""

import dataclasses
import datetime
import email.utils
import http.client
import http.server
import json
import secrets
import sys
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

import botocore.auth
import botocore.awsrequest
import botocore.credentials

REGION = "eu-central-1"
SKEW = 300
STATIC = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


@dataclasses.dataclass
class Control:
    # How long keys last, in seconds.
    life: float = 3600
    # Whoever has keys answers 503.
    down: bool = False
    # Signed requests are answered with 403, as without permission.
    denied: bool = False
    # How many seconds the clock is ahead.
    ahead: float = 0
    # The tokens of a web identity, and of a container, that are good. None: any.
    tokens: list | None = None

    def knows(self, token):
        return self.tokens is None or token in self.tokens


@dataclasses.dataclass
class Counts:
    served: int = 0
    posted: int = 0
    # Signatures that differ, keys that are over, clocks that are off: by AWS's name for it.
    refused: dict = dataclasses.field(default_factory=dict)
    # Keys that were given, and asked for in vain.
    given: int = 0
    failed: int = 0
    # The most that were asked for at the same time.
    at_once: int = 0
    # As whom the last request was signed, and what its session is called.
    identity: str = ""


control, counts = Control(), Counts()
sessions, asking, lock = {}, 0, threading.Lock()


class Refused(Exception):
    def __init__(self, status, kind, message):
        super().__init__(message)
        self.status, self.kind = status, kind


def now():
    return time.time() + control.ahead


def give(identity):
    """Keys of a session, which last until a whole second as AWS's do."""
    end = int(now() + control.life)
    keys = {
        "AccessKeyId": "ASIA" + secrets.token_hex(8).upper(),
        "SecretAccessKey": secrets.token_urlsafe(30),
        "Token": secrets.token_urlsafe(90) + "+/=",
        "Expiration": datetime.datetime.fromtimestamp(end, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    with lock:
        sessions[keys["AccessKeyId"]] = ({**keys}, end, identity)
        counts.given += 1
    return keys


def strictly(text):
    return urllib.parse.quote(text, safe="-_.~")


def one_encoding(target):
    """Whether decoding and encoding again leaves a request target as it is, whichever way a server goes."""
    path, _, query = target.partition("?")
    again = "/".join(strictly(urllib.parse.unquote(part)) for part in path.split("/"))
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    return path == again and query == "&".join(f"{strictly(name)}={strictly(value)}" for name, value in pairs)


def verify(handler, body, service):
    """Who signed a request, by botocore's own computation."""
    scheme, _, rest = handler.headers.get("authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        raise Refused(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    fields = dict(field.strip().split("=", 1) for field in rest.split(","))
    key, date, *scope = fields["Credential"].split("/")
    if scope != [REGION, service, "aws4_request"]:
        raise Refused(403, "InvalidSignatureException", f"Credential should be scoped to correct service: '{service}'.")
    token = handler.headers.get("x-amz-security-token")
    with lock:
        session, end, identity = sessions.get(key, (None, 0, "user"))
    if session is None and key not in STATIC or session is not None and token != session["Token"]:
        message = "The security token included in the request is invalid."
        raise Refused(403, "UnrecognizedClientException", message)
    if session is not None and end <= now():
        raise Refused(403, "ExpiredTokenException", "The security token included in the request is expired")
    signed = fields["SignedHeaders"].split(";")
    if missing := {"host", *(name.lower() for name in handler.headers if name.lower().startswith("x-amz-"))} - {*signed}:
        raise Refused(403, "InvalidSignatureException", f"not signed: {missing}")
    at = handler.headers["x-amz-date"]
    sent = datetime.datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC).timestamp()
    if abs(sent - now()) > SKEW or not at.startswith(date):
        raise Refused(403, "InvalidSignatureException", f"Signature expired: {at} is now earlier than the time of AWS")
    secret = session["SecretAccessKey"] if session else STATIC[key]
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(key, secret, token), service, REGION)
    request = botocore.awsrequest.AWSRequest(
        handler.command,
        f"http://{handler.headers['host']}{handler.path}",
        {name: handler.headers[name] for name in signed},
        body,
    )
    request.context["timestamp"] = at
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    if signature != fields["Signature"]:
        message = (
            "The request signature we calculated does not match the signature you provided. "
            f"The Canonical String for this request should have been '{canonical}'"
        )
        raise Refused(403, "InvalidSignatureException", message)
    if not one_encoding(handler.path):
        raise Refused(403, "InvalidSignatureException", f"two encodings of {handler.path}")
    return identity


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(now(), usegmt=True)

    def answer(self, status, body, kind="application/json", error=None):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if error:
            self.send_header("x-amzn-errortype", error)
        self.end_headers()
        self.wfile.write(body)

    def json(self, value, status=200, error=None):
        self.answer(status, json.dumps(value).encode(), error=error)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        if path == "/control":
            self.controlled(body)
        elif path.startswith("/workspaces/"):
            self.workspace(body)
        else:
            self.keys(path, body)

    do_GET = do_POST = do_PUT = handle_any

    def controlled(self, body):
        if self.command == "PUT":
            for name, value in json.loads(body).items():
                if name == "revoke":
                    sessions.clear()
                else:
                    setattr(control, name, value)
        self.json(dataclasses.asdict(counts))

    def workspace(self, body):
        try:
            identity = verify(self, body, "aps")
            if control.denied:
                raise Refused(403, "AccessDeniedException", f"User: {identity} is not authorized to perform: aps:QueryMetrics")
        except Refused as refused:
            with lock:
                counts.refused[refused.kind] = counts.refused.get(refused.kind, 0) + 1
            self.json({"message": str(refused)}, refused.status, refused.kind)
            return
        with lock:
            counts.served += 1
            counts.posted += self.command == "POST"
            counts.identity = identity
        # Behind the workspace's name, whatever it is.
        behind = http.client.HTTPConnection(sys.argv[2].removeprefix("http://"))
        headers = {name: self.headers[name] for name in ["content-type"] if name in self.headers}
        behind.request(self.command, self.path[self.path.index("/api/v1/") :], body, headers)
        answer = behind.getresponse()
        self.answer(answer.status, answer.read(), answer.headers["content-type"])
        behind.close()

    def keys(self, path, body):
        global asking
        with lock:
            asking += 1
            counts.at_once = max(counts.at_once, asking)
        # Long enough to be met by another one.
        time.sleep(0.05)
        try:
            if control.down:
                raise Refused(503, "ServiceUnavailable", "down on purpose")
            if path == "/sts":
                self.sts(body)
            elif path == "/container":
                if not control.knows(self.headers["authorization"]):
                    raise Refused(401, "Unauthorized", f"token {self.headers['authorization']} is not known")
                self.json(give("container"))
            else:
                self.instance(path)
        except Refused as refused:
            with lock:
                counts.failed += 1
            code, message = escape(refused.kind), escape(str(refused))
            error = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            self.answer(refused.status, error.encode(), "text/xml")
        finally:
            with lock:
                asking -= 1

    def sts(self, body):
        form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
        action, role, session = form["Action"], form["RoleArn"], form["RoleSessionName"]
        if form["Version"] != "2011-06-15":
            raise Refused(400, "InvalidAction", "no such version")
        if action == "AssumeRole":
            base = verify(self, body, "sts")
        elif action == "AssumeRoleWithWebIdentity":
            base = "web"
            if not control.knows(form["WebIdentityToken"]):
                raise Refused(400, "ExpiredTokenException", f"Token {form['WebIdentityToken']} is expired")
        else:
            raise Refused(400, "InvalidAction", action)
        if "forbidden" in role:
            raise Refused(403, "AccessDenied", f"User: {base} is not authorized to perform: sts:{action} on resource: {role}")
        keys = give(f"{base} > {role} as {session}")
        keys["SessionToken"] = keys.pop("Token")
        fields = "".join(f"\n    <{name}>{escape(value)}</{name}>" for name, value in keys.items())
        result = f"<{action}Result>\n  <Credentials>{fields}\n  </Credentials>\n</{action}Result>"
        namespace = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
        self.answer(200, f"<{action}Response {namespace}>{result}</{action}Response>".encode(), "text/xml")

    def instance(self, path):
        if path == "/latest/api/token" and self.command == "PUT" and self.headers["x-aws-ec2-metadata-token-ttl-seconds"]:
            self.answer(200, b"instance-token", "text/plain")
        elif self.headers["x-aws-ec2-metadata-token"] != "instance-token":
            raise Refused(401, "Unauthorized", "no token")
        elif path == "/latest/meta-data/iam/security-credentials/":
            self.answer(200, b"node-role", "text/plain")
        elif path == "/latest/meta-data/iam/security-credentials/node-role":
            self.json({"Code": "Success", **give("instance")})
        else:
            raise Refused(404, "NotFound", path)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
