# The same decision as policy.go's, for Open Policy Agent with its Envoy plugin.
package bench.peers

default answer := {"allowed": false, "http_status": 401}

answer := {
	"allowed": true,
	"headers": {
		"x-tenant-id": claims.tenantId,
		"x-user-id": claims.sub,
		"x-token-id": claims.jti,
		"x-roles": concat(",", claims.roles),
	},
	"request_headers_to_remove": ["x-csp-nonce"],
} if {
	token := trim_prefix(input.attributes.request.http.headers.authorization, "Bearer ")
	[valid, _, claims] := io.jwt.decode_verify(token, {
		"cert": data.bench.key, "alg": "ES256",
		"iss": data.bench.issuer, "aud": data.bench.audience,
	})
	valid
	claims.tenantId != ""
}
