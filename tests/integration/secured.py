"""A broker that lets nobody in unknown: TLS, every way to log in, ACLs on, and what a test needs to get past them."""

import asyncio
import base64
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import trustme
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from consumer.settings import Settings
from deploy.kafka import probe
from deploy.kafka.broker import Broker
from deploy.kafka.jars import DEFAULT_CACHE, find_java, resolve
from deploy.kafka.sources import java_broker
from schemas.connection import KafkaConnection
from schemas.topics import topic_specs

PASSWORD = "a-password-of-tests"
PLAIN_USERS = ("plain", *(f"limited{n}" for n in range(12)))
REAUTHENTICATE_SECONDS = 3
"""After so long the OAUTH listener hangs up on a client that did not log in again (KIP-368)."""

Resource = Literal["topic", "group", "transactional id"]
Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs"]
_RESOURCES: dict[Resource, int] = {"topic": 2, "group": 3, "transactional id": 5}
_OPERATIONS: dict[Operation, int] = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_ALLOW, _ANY = 3, 1


@dataclass(frozen=True, slots=True)
class Acl:
    """What a user may do; codes as in org.apache.kafka.common.acl and .resource."""

    resource: Resource
    name: str
    operation: Operation
    prefixed: bool = False


def acls_of_a_member(settings: Settings) -> list[Acl]:
    """Exactly the list in the README. Read and Write allow Describe, too."""
    names, group = settings.topics, settings.delivery.kafka_group_id
    read = [names.reviews, names.requests, names.by_group]
    write = [names.sentiment, names.totals, names.summary, names.strength, names.replies, names.dlq, names.by_group]
    own = f"{group}."
    return [
        *(Acl("topic", name, "Read") for name in read),
        *(Acl("topic", name, "Write") for name in write),
        *(Acl("topic", spec.name, "DescribeConfigs") for spec in topic_specs(names, group)[:9]),
        *(Acl("topic", own, operation, prefixed=True) for operation in ("Read", "Write", "DescribeConfigs")),
        Acl("group", group, "Read"),
        Acl("transactional id", own, "Write", prefixed=True),
    ]


class SecuredBroker:
    """One node with a plaintext listener for the superuser and one listener a way to log in."""

    def __init__(self, folder: Path) -> None:
        self.ca, self._folder = trustme.CA(), folder
        self.cafile = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.cafile))
        self._ports = _ports(5)
        self.broker: Broker = java_broker(DEFAULT_CACHE, port=self._ports[0], settings=self._settings())

    @property
    def superuser(self) -> str:
        """Address where nobody is asked who he is, and all is allowed."""
        return self.broker.bootstrap_servers

    def start(self) -> None:
        """Start it, and make the SCRAM user: a request for each mechanism, as one may not hold both."""
        self.broker.start()
        for bits in (256, 512):
            self._add_scram(f"SCRAM-SHA-{bits}=[iterations=4096,password={PASSWORD}]")

    def sasl(self, mechanism: str, username: str, **more: Any) -> KafkaConnection:
        """A connection by name and password over TLS."""
        return self._connection(1, "SASL_SSL", {"sasl_mechanism": mechanism, "sasl_username": username} | more)

    def oauth(self, **more: Any) -> KafkaConnection:
        """A connection by token over TLS."""
        return self._connection(2, "SASL_SSL", {"sasl_mechanism": "OAUTHBEARER"} | more)

    def tls(self, common_name: str | None, **more: Any) -> KafkaConnection:
        """A connection by the client's certificate; None: without one."""
        own: dict[str, Any] = {}
        if common_name:
            path = self._folder / f"{common_name}.pem"
            certificate = self.ca.issue_cert(f"{common_name}@example.org", common_name=common_name)
            certificate.private_key_and_cert_chain_pem.write_to_path(str(path))
            own = {"ssl_certfile": path}
        return self._connection(3, "SSL", own | more)

    async def allow(self, user: str, acls: list[Acl]) -> None:
        """Give a user ACLs, and wait until the broker goes by them."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.superuser)
        await admin.start()
        try:
            for acl in acls:
                pattern = 4 if acl.prefixed else 3
                what = (_RESOURCES[acl.resource], acl.name, pattern, f"User:{user}", "*", _OPERATIONS[acl.operation])
                answer = await admin._send_request(CreateAclsRequest(*what, _ALLOW))
                assert [code for code, _ in answer.creation_responses] == [0]
            wanted = {(_RESOURCES[acl.resource], acl.name, _OPERATIONS[acl.operation]) for acl in acls}
            async with asyncio.timeout(15):
                while not wanted <= await _known(admin, user):
                    await asyncio.sleep(0.05)
        finally:
            await admin.close()

    def _add_scram(self, credential: str) -> None:
        arguments = ["--bootstrap-server", self.superuser, "--alter", "--add-config", credential]
        who = ["--entity-type", "users", "--entity-name", "scram"]
        java = [find_java(), "-XX:TieredStopAtLevel=1", "-cp", f"{resolve(DEFAULT_CACHE)}/*"]
        command = [*java, "kafka.admin.ConfigCommand", *arguments, *who]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - Kafka's own
        assert done.returncode == 0, done.stdout + done.stderr

    def _connection(self, listener: int, protocol: str, more: dict[str, Any]) -> KafkaConnection:
        usual = {
            "bootstrap_servers": f"127.0.0.1:{self._ports[listener]}",
            "security_protocol": protocol,
            "ssl_cafile": self.cafile,
            "sasl_password": PASSWORD,
            "request_timeout_seconds": 15,
        }
        return KafkaConnection.model_validate(usual | more)

    def _settings(self) -> dict[str, str]:
        *own, controller = self._ports
        sites = dict(zip(("PLAINTEXT", "SASL", "OAUTH", "TLS"), own, strict=True))
        listening = ",".join(f"{name}://127.0.0.1:{port}" for name, port in sites.items())
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", "SASL": "SASL_SSL", "OAUTH": "SASL_SSL"}
        modules = "org.apache.kafka.common.security"
        users = " ".join(f'user_{name}="{PASSWORD}"' for name in PLAIN_USERS)
        return {
            "listeners": f"{listening},CONTROLLER://127.0.0.1:{controller}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "advertised.listeners": listening,
            "listener.security.protocol.map": ",".join(f"{k}:{v}" for k, v in (protocols | {"TLS": "SSL"}).items()),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:ANONYMOUS",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._keystore()),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.cafile),
            "listener.name.tls.ssl.client.auth": "required",
            "listener.name.tls.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "listener.name.sasl.plain.sasl.jaas.config": f"{modules}.plain.PlainLoginModule required {users};",
            "listener.name.sasl.scram-sha-256.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.oauth.oauthbearer.connections.max.reauth.ms": str(REAUTHENTICATE_SECONDS * 1000),
            "listener.name.oauth.oauthbearer.sasl.jaas.config": (
                f"{modules}.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker" unsecuredValidatorAllowableClockSkewMs="1000";'
            ),
        }

    def _keystore(self) -> Path:
        """The broker's key and certificate in one file, the key as PKCS #8: Kafka reads no other form."""
        issued = self.ca.issue_cert("127.0.0.1")
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self._folder / "broker.pem"
        path.write_bytes(pem + b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return path


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Hold one that runs."""
    made = SecuredBroker(folder)
    try:
        made.start()
        yield made
    finally:
        made.broker.close()


def unsecured_token(subject: str, seconds: float) -> str:
    """A JSON Web Token without signature, which Kafka's validator for development takes."""
    now = time.time()
    claims = {"sub": subject, "iat": now, "exp": now + seconds}
    return f"{_base64(json.dumps({'alg': 'none'}))}.{_base64(json.dumps(claims))}."


@contextmanager
def token_endpoint(subject: str, life: float) -> Iterator[tuple[str, list[str]]]:
    """An OAuth server that knows one client, `id:secret`; its address, and what it was asked."""
    asked: list[str] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            knows = self.headers["Authorization"] == "Basic " + base64.b64encode(b"id:se%2Fcret").decode()
            good = {"access_token": unsecured_token(subject, life), "expires_in": life, "token_type": "Bearer"}
            body = json.dumps(good if knows else {"error": "invalid_client"}).encode()
            self.send_response(200 if knows else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server, ExitStack() as stack:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield f"http://127.0.0.1:{server.server_address[1]}/token", asked


async def _known(admin: AIOKafkaAdminClient, user: str) -> set[tuple[int, str, int]]:
    """The ACLs that the broker goes by; it learns of them a moment after the controller."""
    every = DescribeAclsRequest(_ANY, None, _ANY, f"User:{user}", None, _ANY, _ANY)
    answer = await admin._send_request(every)
    return {(kind, name, acl[2]) for kind, name, _, acls in answer.resources for acl in acls}


def _ports(count: int) -> list[int]:
    found: set[int] = set()
    while len(found) < count:
        found.add(probe.free_port())
    return list(found)


def _base64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
