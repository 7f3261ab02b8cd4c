"""What both ends of a stream must agree on besides the messages: the version, names of calls and roles, keepalive."""

from __future__ import annotations

# Raised when a message changes its meaning; README.md says when that is.
PROTOCOL = 5

# Agents and operators verify the controller's certificate against this name, whatever address they reach it by: a
# tunnel, a NAT, a load balancer. Nothing but the controller gets a certificate with it.
SERVER_NAME = "heyfleet-controller"

# The common name of a client's certificate is its role, a colon, and its name.
ROLE_JOIN = "join"
ROLE_AGENT = "agent"
ROLE_OPERATOR = "operator"

LOCAL_PREFIX = "unix:"  # of an address on this very host, whose folder's permissions are the protection
DEFAULT_PORT = 7700
MESSAGE_BYTES_AT_MOST = 16 << 20
TRACE_BYTES_A_SNAPSHOT = 1 << 20  # of a finished run's rows, so that every message stays small

_KEEPALIVE_MS = 2000
# A dead link shows within two of these on both ends; gRPC's own default is two hours.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_AT_MOST),
    ("grpc.max_send_message_length", MESSAGE_BYTES_AT_MOST),
)


# Paths of the calls as gRPC puts them on the wire. Written out, and held against the schema by a test: to import the
# schema of the control plane only for these would slow down runs that need none.
JOIN, ATTACH = "/heyfleet.Fleet/Join", "/heyfleet.Fleet/Attach"
RUN, COLLECT, ROSTER = "/heyfleet.Control/Run", "/heyfleet.Control/Collect", "/heyfleet.Control/Roster"
