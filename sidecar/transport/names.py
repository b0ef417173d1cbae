"""The names Envoy calls us by."""

CHECK_SERVICE = "envoy.service.auth.v3.Authorization"
CHECK_METHOD = f"/{CHECK_SERVICE}/Check"
