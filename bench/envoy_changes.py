"""The changes of edge.yaml that ``bench.envoy_settings`` measures, one at a time."""

from collections.abc import Callable
from typing import NamedTuple

from bench.envoys import HTTP_OPTIONS, Config, address


class Edge(NamedTuple):
    """A configuration, and the addresses a change may want."""

    config: Config
    socket: str
    """A Unix socket on which the constant-reply server listens, beside its port."""

    @property
    def manager(self) -> Config:
        """The HTTP connection manager of the checked listener."""
        listeners = self.config["static_resources"]["listeners"]
        (listener,) = [each for each in listeners if each["name"] == "https"]
        found: Config = listener["filter_chains"][0]["filters"][0]["typed_config"]
        return found

    @property
    def authz(self) -> Config:
        """The ext_authz filter."""
        return self.filter("ext_authz")

    def filter(self, name: str) -> Config:
        """Return one HTTP filter's own part."""
        filters = self.manager["http_filters"]
        (found,) = [each["typed_config"] for each in filters if each["name"].endswith(f".{name}")]
        part: Config = found
        return part

    @property
    def cluster(self) -> Config:
        """The cluster of the sidecar's Checks."""
        clusters = self.config["static_resources"]["clusters"]
        (found,) = [each for each in clusters if each["name"] == "sidecar_authz"]
        part: Config = found
        return part

    @property
    def http2(self) -> Config:
        """The HTTP/2 options towards the sidecar."""
        options = self.cluster["typed_extension_protocol_options"][HTTP_OPTIONS]
        part: Config = options["explicit_http_config"]["http2_protocol_options"]
        return part


class Change(NamedTuple):
    """One thing done otherwise than in edge.yaml."""

    name: str
    apply: Callable[[Edge], None]
    verdict: str
    """What edge.yaml does about it, and why."""
    concurrency: int = 1


def nothing(_edge: Edge) -> None:
    """Leave it as it is."""


def every_header(edge: Edge) -> None:
    """Send the sidecar all headers."""
    del edge.authz["allowed_headers"]


def unix_socket(edge: Edge) -> None:
    """Ask over a Unix socket."""
    (locality,) = edge.cluster["load_assignment"]["endpoints"]
    locality["lb_endpoints"] = [{"endpoint": {"address": address(edge.socket)}}]


def raw_headers(edge: Edge) -> None:
    """Keep repeated headers apart."""
    edge.authz["encode_raw_headers"] = True


def no_validation(edge: Edge) -> None:
    """Believe the sidecar's header mutations."""
    edge.authz["validate_mutations"] = False


def no_metadata(edge: Edge) -> None:
    """Drop what the sidecar says for the log."""
    edge.authz["enable_dynamic_metadata_ingestion"] = False


def envoy_headers(edge: Edge) -> None:
    """Leave Envoy's own headers off the call, or put them on."""
    options = edge.authz["grpc_service"]["envoy_grpc"]
    options["skip_envoy_headers"] = not options.get("skip_envoy_headers", False)


def no_huffman(edge: Edge) -> None:
    """Write header values towards the sidecar as they are."""
    edge.http2["enable_huffman_encoding"] = False


def nghttp2_codec(edge: Edge) -> None:
    """Speak HTTP/2 to the sidecar with the older codec."""
    edge.http2["use_oghttp2_codec"] = False


def no_hpack_table(edge: Edge) -> None:
    """Compress no headers by a table."""
    edge.http2["hpack_table_size"] = 0


def no_router_stats(edge: Edge) -> None:
    """Count nothing per response code in the router."""
    router = edge.filter("router")
    router["dynamic_stats"] = not router.get("dynamic_stats", True)


def no_histograms(edge: Edge) -> None:
    """Keep no histograms of clusters and listeners."""
    suffixes = ("upstream_rq_time", "downstream_rq_time", "downstream_cx_length_ms",
                "upstream_cx_length_ms", "upstream_cx_connect_ms")  # fmt: skip
    patterns = [{"suffix": each} for each in suffixes]
    edge.config["stats_config"] = {"stats_matcher": {"exclusion_list": {"patterns": patterns}}}


def no_stats(edge: Edge) -> None:
    """Keep no statistics at all."""
    edge.config["stats_config"] = {"stats_matcher": {"reject_all": True}}


def no_access_log(edge: Edge) -> None:
    """Write no access log."""
    edge.manager["access_log"] = []


def text_access_log(edge: Edge) -> None:
    """Write the same fields as text."""
    (log,) = edge.manager["access_log"]
    fields = log["typed_config"]["log_format"]["json_format"]
    line = " ".join(fields.values()) + "\n"
    log["typed_config"]["log_format"] = {"text_format_source": {"inline_string": line}}


def no_request_id(edge: Edge) -> None:
    """Give requests no id."""
    edge.manager["generate_request_id"] = False


def no_header_mutation(edge: Edge) -> None:
    """Leave the safety net of headers out."""
    filters = edge.manager["http_filters"]
    edge.manager["http_filters"] = [
        each for each in filters if "header_mutation" not in each["name"]
    ]


def no_normalizing(edge: Edge) -> None:
    """Take paths as they come."""
    for name in ("normalize_path", "merge_slashes", "path_with_escaped_slashes_action"):
        edge.manager.pop(name)


def no_check(edge: Edge) -> None:
    """Ask nobody."""
    filters = edge.manager["http_filters"]
    edge.manager["http_filters"] = [each for each in filters if "ext_authz" not in each["name"]]


CHANGES = (
    Change("the same again", nothing, "how far from nothing noise is"),
    Change("no Check at all", no_check, "what the Check costs Envoy"),
    Change("every header to the sidecar", every_header, "no: only those it reads are sent"),
    Change("repeated headers apart (`encode_raw_headers`)", raw_headers, "no"),
    Change("Unix socket to the sidecar", unix_socket, "yours to choose: no difference seen"),
    Change("Envoy's own headers left off the call", envoy_headers, "no: no gain"),
    Change("no Huffman coding towards the sidecar", no_huffman, "no: no gain"),
    Change("nghttp2 instead of oghttp2 towards it", nghttp2_codec, "no: no gain"),
    Change("no HPACK table towards it", no_hpack_table, "no: it costs"),
    Change("header mutations not validated", no_validation, "no: security"),
    Change("metadata of the decision dropped", no_metadata, "no: tenant and reason in the log"),
    Change("no statistics by response code", no_router_stats, "no: dashboards need them"),
    Change("no histograms", no_histograms, "no: no gain"),
    Change("no statistics at all", no_stats, "no: blind"),
    Change("no access log", no_access_log, "no: the record of every request"),
    Change("access log as text", text_access_log, "no: JSON is what tools read"),
    Change("no request ids", no_request_id, "no: they tie the logs together"),
    Change("no `header_mutation`", no_header_mutation, "no: security"),
    Change("paths not normalised", no_normalizing, "no: security"),
    Change("two worker threads", nothing, "as many as cores", concurrency=2),
)
