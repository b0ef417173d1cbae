"""The gRPC names by which Envoy calls the sidecar."""

CHECK_SERVICE = "envoy.service.auth.v3.Authorization"
CHECK_METHOD = f"/{CHECK_SERVICE}/Check"
