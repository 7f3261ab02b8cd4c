"""What both ends of a stream must agree on besides the messages: version, names of calls and roles, keepalive."""

from __future__ import annotations

# Raised when a message changes its meaning; see README.md.
PROTOCOL = 5

# Agents and operators verify the controller's certificate against this name, whatever address they dial: a tunnel,
# a NAT or a load balancer. Only controllers get a certificate with this name.
SERVER_NAME = "heyfleet-controller"

# The common name of a client's certificate is ROLE:NAME.
ROLE_JOIN = "join"
ROLE_AGENT = "agent"
ROLE_OPERATOR = "operator"

LOCAL_PREFIX = "unix:"  # of a socket file on this host, which is protected by the permissions of its folder
DEFAULT_PORT = 7700
MESSAGE_BYTES_AT_MOST = 16 << 20
# The lease that a controller may grant: an agent that hears nothing for this long stops its load.
LEASE_NS_AT_LEAST, LEASE_NS_AT_MOST = 100_000_000, 3600_000_000_000
OFFERS_AT_MOST = 16  # of held runs in one hello; later ones wait for the release of others
TRACE_BYTES_A_SNAPSHOT = 1 << 20  # of per-request rows, so that every message stays small

_KEEPALIVE_MS = 2000
# Both ends notice a dead link within twice this time; gRPC's default is two hours.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_AT_MOST),
    ("grpc.max_send_message_length", MESSAGE_BYTES_AT_MOST),
    # Nothing of a fleet goes through the proxies that the environment names for other programs: a controller is dialed
    # where its address says.
    ("grpc.enable_http_proxy", 0),
    # A controller shares its port with nobody; by default the kernel would spread agents over both.
    ("grpc.so_reuseport", 0),
)


# Paths of the calls on the wire. They are written out, and a test compares them with the schema, because importing the
# schema of the control plane would slow down runs that do not need it.
JOIN, ATTACH = "/heyfleet.Fleet/Join", "/heyfleet.Fleet/Attach"
RUN, COLLECT, ROSTER = "/heyfleet.Control/Run", "/heyfleet.Control/Collect", "/heyfleet.Control/Roster"
